"""Every way to open a checkpoint refuses bad files with one message, and accepts a good one."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint as load_with_mmengine

import mmvmlp
from mmvmlp.visualization.contact_sheet import draw_contact_sheet

# Checkpoints of a narrow network are read and written in a tenth of the time.
ARCH = {'depths': (1, 1, 1, 1), 'channels': (8, 12, 16, 20)}
NARROW = f"""
_base_ = '{Path('configs/mask_rcnn_hire_mlp_t_digits.py').resolve()}'
model = dict(
    backbone=dict(arch=dict(**{ARCH}, _delete_=True)),
    neck=dict(in_channels={list(ARCH['channels'])}),
    roi_head=dict(bbox_head=dict(fc_out_channels=16)),
)
# Without the hook that our configs have: the commands set it for any config.
default_hooks = dict(
    _delete_=True,
    checkpoint=dict(type='CheckpointHook', interval=1),
    visualization=dict(type='DetVisualizationHook'),
)
"""
SMALL = (
    'train_cfg.val_interval=9',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.indices=2',
    'train_dataloader.dataset.pipeline.2.scale=(64,64)',
    'val_dataloader.dataset.indices=1',
    'test_dataloader.dataset.indices=1',
)


class Run:
    """Runs commands in this process on small data."""

    def __init__(self, folder, data, monkeypatch):
        self.folder, self.data, self.monkeypatch = folder, data, monkeypatch
        self.work_dir = folder / 'work'
        self.config = folder / 'narrow.py'
        self.config.write_text(NARROW)

    def command(self, name, *arguments):
        arguments = [str(argument) for argument in arguments]
        self.monkeypatch.setattr(sys, 'argv', [f'{name}.py', *arguments])
        with pytest.raises(SystemExit) as exited:
            runpy.run_path(f'tools/{name}.py', run_name='__main__')
        if exited.value.code:
            raise exited.value

    def train(self, *arguments, options=(), epochs=1):
        self.command(
            *('train', self.config, '--work-dir', self.work_dir, '--data-root', self.data),
            *(*arguments, '--cfg-options', *SMALL, f'train_cfg.max_epochs={epochs}', *options),
        )
        assert (self.work_dir / f'epoch_{epochs}.pth').is_file()

    def train_from(self, file):
        self.train(options=[f'load_from={file}'])

    def resume(self, file):
        self.train('--resume', file, epochs=2)

    def resume_latest(self, file):
        self.work_dir.mkdir()
        latest = self.work_dir / 'epoch_1.pth'
        latest.write_bytes(file.read_bytes())
        (self.work_dir / 'last_checkpoint').write_text(str(latest))
        self.train('--resume', epochs=2)

    def backbone_checkpoint(self, file):
        self.train('--backbone-checkpoint', file)

    def pretrained_backbone(self, file):
        pretrained = f'model.backbone.init_cfg.checkpoint={file}'
        self.train(options=['model.backbone.init_cfg.type=Pretrained', pretrained])

    def pretrained_model(self, file):
        self.train(options=['model.init_cfg.type=Pretrained', f'model.init_cfg.checkpoint={file}'])

    def pretrained_neck(self, file):
        self.train(
            options=[
                'model.neck.init_cfg.type=Pretrained',
                f'model.neck.init_cfg.checkpoint={file}',
                'model.neck.init_cfg.prefix=neck',
            ]
        )

    def test(self, file):
        out = self.folder / 'metrics.json'
        self.command(
            *('test', self.config, file, '--work-dir', self.work_dir, '--data-root', self.data),
            *('--out', out, '--cfg-options', *SMALL),
        )
        assert out.is_file()

    def predict(self, file):
        image = next((self.data / 'val2017').iterdir())
        out = self.folder / 'out'
        self.command(
            *('predict', image, '--config', self.config, '--checkpoint', file, '--out-dir', out),
            *('--device', 'cpu'),
        )
        assert (out / 'predictions.json').is_file()

    def publish(self, file):
        out = self.folder / 'published'
        self.command('publish', file, out, '--config', self.config)
        assert (out / 'README.md').is_file()

    def contact_sheet(self, file):
        config = Config.fromfile(self.config)
        config.val_dataloader.dataset.data_root = str(self.data)
        sheet = self.folder / 'sheet.png'
        draw_contact_sheet(config, file, sheet, count=1)
        assert sheet.is_file()

    def python(self, file):
        backbone = mmvmlp.HireMLP(ARCH, out_norm=True)
        before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
        try:
            mmvmlp.load_checkpoint(backbone, file)
        except mmvmlp.CheckpointError:
            after = backbone.state_dict()
            assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
            raise

    def mmengine(self, file):
        """Load as the toolboxes' inferencers do, without comparing."""
        Config.fromfile(self.config)
        load_with_mmengine(torch.nn.Linear(1, 1), str(file))


WAYS = [name for name, value in vars(Run).items() if callable(value) and name[0] != '_']
WAYS = [name for name in WAYS if name not in ('command', 'train')]
BAD = {
    'hostile': 'posix.system is refused',
    'other_architecture': 'of different shape',
    'not_finite': 'not finite',
    'nested': 'contains itself',
    'file_of_classes': 'in place of class names',
    'state_of_optimizer': 'has shape (3,)',
}


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory, digits_folder):
    """Return a good checkpoint from a short training, and bad ones made from it."""
    folder = tmp_path_factory.mktemp('checkpoints')
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = Run(folder, digits_folder, monkeypatch)
        run.train()
    good = run.work_dir / 'epoch_1.pth'
    contents = torch.load(good, weights_only=False)

    class Payload:
        def __reduce__(self):
            return (__import__('os').system, (f'touch {folder}/payload-ran',))

    secrets = folder / 'secrets.txt'
    secrets.write_text('\n'.join(f'secret {number}' for number in range(10)))
    state = contents['state_dict']
    transposed = {
        key: tensor.transpose(0, 1).contiguous() if tensor.ndim == 4 else tensor
        for key, tensor in state.items()
    }
    key = next(key for key in state if key.startswith('neck') and key.endswith('weight'))
    of_backbone = next(key for key in state if key.endswith('stem.conv.weight'))
    meta = {**contents['meta'], 'dataset_meta': {'classes': str(secrets)}}
    nested = {'meta': contents['meta']}
    nested['state_dict'] = nested
    made = {
        'hostile': {**contents, 'payload': Payload()},
        'other_architecture': {**contents, 'state_dict': transposed},
        'not_finite': {
            **contents,
            'state_dict': {
                **state,
                key: torch.full_like(state[key], np.nan),
                of_backbone: torch.full_like(state[of_backbone], np.inf),
            },
        },
        'nested': nested,
        'file_of_classes': {**contents, 'meta': meta},
        'state_of_optimizer': {
            **contents,
            'optimizer': {
                **contents['optimizer'],
                'state': {
                    number: {**value, 'exp_avg': torch.zeros(3)}
                    for number, value in contents['optimizer']['state'].items()
                },
            },
        },
    }
    for name, value in made.items():
        torch.save(value, folder / f'{name}.pth')
    return {'good': good, **{name: folder / f'{name}.pth' for name in made}}


@pytest.fixture
def run(tmp_path, digits_folder, monkeypatch):
    return Run(tmp_path, digits_folder, monkeypatch)


def test_hostile_file_would_run_code(checkpoints):
    torch.load(checkpoints['hostile'], weights_only=False)
    marker = checkpoints['hostile'].parent / 'payload-ran'
    assert marker.is_file()
    marker.unlink()


@pytest.mark.parametrize('way', WAYS)
def test_good_file_is_read_once(run, checkpoints, monkeypatch, way):
    read, load = [], torch.load

    def counted(*arguments, **options):
        read.append(arguments[0])
        return load(*arguments, **options)

    monkeypatch.setattr(torch, 'load', counted)
    getattr(run, way)(checkpoints['good'])
    # These are checked before mmengine reads them to initialise weights.
    assert len(read) == (2 if way in ('pretrained_model', 'pretrained_neck') else 1)


@pytest.mark.parametrize(
    ('way', 'kind'),
    [
        (way, kind)
        for way in WAYS
        for kind in BAD
        # mmengine itself compares nothing, and only resuming uses the optimiser state.
        if (way, kind) != ('mmengine', 'other_architecture')
        and (kind != 'state_of_optimizer' or way.startswith('resume'))
    ],
)
def test_bad_file_is_refused_without_side_effects(run, checkpoints, capfd, way, kind):
    file = checkpoints[kind]
    if way in ('python', 'contact_sheet', 'mmengine'):
        with pytest.raises(mmvmlp.CheckpointError) as raised:
            getattr(run, way)(file)
        message = str(raised.value)
    else:
        with pytest.raises(SystemExit) as exited:
            getattr(run, way)(file)
        assert exited.value.code == 1
        output = capfd.readouterr().err
        assert output.count('error: ') == 1
        assert 'Traceback' not in output
        message = output.partition('error: ')[2]
    assert BAD[kind] in message
    assert 'weights_only' not in message
    assert (str(file) in message) or way == 'resume_latest'
    assert not (file.parent / 'payload-ran').exists()
    # With resume_latest, the bad file itself is in the work folder.
    written = {path.name for path in run.folder.rglob('*.*') if path.name != 'epoch_1.pth'}
    assert way == 'resume_latest' or not (run.work_dir / 'epoch_1.pth').exists()
    assert (
        not {'epoch_2.pth', 'metrics.json', 'predictions.json', 'sheet.png', 'README.md'} & written
    )

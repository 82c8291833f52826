"""Every way to open a checkpoint refuses bad files with one message, and accepts a good one."""

import argparse
import ast
import re
import runpy
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmengine.runner import load_checkpoint as load_with_mmengine

import mmvmlp
from mmvmlp.checkpoints import find_weights
from mmvmlp.checkpoints.published import FOLDER_VARIABLE
from mmvmlp.cli import COMMANDS
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


class OtherRun(Run):
    """Opens checkpoints in ways that share the reader, and whose results other tests look at."""

    def convert(self, file):
        self.command('convert', file, self.folder / 'converted.pth')

    def verify(self, file):
        self.command('verify', file)

    def export(self, file):
        self.command('export', self.config, file, '--out', self.folder / 'exported.onnx')

    def exported(self, file):
        self.command(
            *('test', self.config, file, '--exported', file, '--data-root', self.data),
            *('--work-dir', self.work_dir),
        )

    def report(self, file):
        records = self.work_dir / '20260101_000000/vis_data'
        records.mkdir(parents=True)
        (records / 'scalars.json').write_text('{"loss": 1.0, "epoch": 1, "step": 1}\n')
        Config.fromfile(self.config).dump(records / 'config.py')
        shutil.copy(file, self.work_dir / 'epoch_1.pth')
        self.command('report', self.work_dir, '--data-root', self.data, '--device', 'cpu')

    def inspect_network(self, file):
        self.command(
            *('inspect_network', self.config, '--checkpoint', file, '--parts', 'activations'),
            *('--noise', 1, '--out-dir', self.folder / 'inspection'),
        )

    def app(self, file):
        self.command('app', '--config', self.config, '--checkpoint', file)

    def check_config(self, file):
        self.command(
            *('check_config', self.config, '--data-root', self.data),
            *('--cfg-options', *SMALL, f'load_from={file}'),
        )

    def fused(self, file):
        self.command(
            *('test', self.config, file, '--work-dir', self.work_dir, '--data-root', self.data),
            *('--fuse', '--cfg-options', *SMALL),
        )

    def teacher(self, file):
        from mmvmlp.engine.teacher import Teacher

        Teacher('configs/classify_hire_mlp_t_digits.py', str(file), None, None)

    def teacher_of_timm(self, file):
        from mmvmlp.engine.teacher import Teacher

        Teacher('timm/resmlp_12_224', str(file), None, 10)

    def detection_inferencer(self, file):
        from mmdet.apis import DetInferencer

        DetInferencer(str(self.config), str(file), device='cpu')

    def inferencer_without_a_config(self, file):
        from mmdet.apis import DetInferencer

        DetInferencer(weights=str(file), device='cpu')

    def init_detector(self, file):
        from mmdet.apis import init_detector

        init_detector(str(self.config), str(file), device='cpu')

    def segmentation_inferencer(self, file):
        from mmseg.apis import MMSegInferencer

        MMSegInferencer('configs/upernet_hire_mlp_t_digits.py', str(file), device='cpu')

    def classification_inferencer(self, file):
        from mmpretrain import ImageClassificationInferencer

        ImageClassificationInferencer('configs/classify_hire_mlp_t_digits.py', str(file), 'cpu')

    def classifier_of_mmpretrain(self, file):
        from mmpretrain import get_model

        get_model('configs/classify_hire_mlp_t_digits.py', pretrained=str(file))

    def published(self, file):
        """Put the file where published weights are downloaded to."""
        self.monkeypatch.setenv(FOLDER_VARIABLE, str(self.folder))
        weights = find_weights('conv_mlp_s.in1k')
        shutil.copy(file, self.folder / weights.file_name)
        return weights

    def hub_of_mmengine(self, file):
        weights = self.published(file)
        CheckpointLoader.load_checkpoint(f'mmvmlp://{weights.address}')

    def weights_by_name(self, file):
        mmvmlp.build_backbone('conv_mlp_s', weights=self.published(file).name)

    def from_pretrained(self, file):
        shutil.copy('configs/classify_hire_mlp_t_digits.py', self.folder / 'config.py')
        shutil.copy(file, self.folder / 'weights.safetensors')
        mmvmlp.from_pretrained(self.folder)


def ways_of(runs):
    return [name for name, value in vars(runs).items() if callable(value) and name[0] != '_']


WAYS = [name for name in ways_of(Run) if name not in ('command', 'train')]
OTHER_WAYS = [name for name in ways_of(OtherRun) if name != 'published']
ARGUMENTS = {
    'train --backbone-checkpoint': 'backbone_checkpoint',
    'train --resume': 'resume',
    'test checkpoint': 'test',
    'test --exported': 'exported',
    'predict --checkpoint': 'predict',
    'app --checkpoint': 'app',
    'report work_dirs': 'report',
    'convert source': 'convert',
    'verify checkpoint': 'verify',
    'publish checkpoint': 'publish',
    'export checkpoint': 'export',
    'inspect-network --checkpoint': 'inspect_network',
}
"""Ways by the argument of a command that takes a checkpoint."""

NO_CHECKPOINTS = {
    *(f'{command} --work-dir' for command in ('train', 'test')),
    *('test --runtime', 'test --precision', 'convert out', 'convert --network', 'export --out'),
    *('benchmark --runtime', 'export --whole'),
    *('verify --config', 'publish --license'),
}
"""Arguments whose description speaks of checkpoints, and that are not read as one."""

READERS = {
    'mmvmlp/checkpoints/reading.py': {'np.load', 'safe_open', 'torch.load'},
    'mmvmlp/checkpoints/screening.py': {'pickle.Unpickler'},
    # What it has just exported.
    'mmvmlp/deploy/export.py': {'torch.export.load'},
    # What its own processes hand on.
    'mmvmlp/inference/ray_prediction.py': {'pickle.loads'},
}
"""Functions that read files of weights, or pickles, by the file that calls them."""

UNPICKLING = re.compile(
    r'(torch(\.\w+)*|np|numpy|c?pickle|cloudpickle|dill|joblib|pandas|pd|shelve)'
    r'\.(load\w*|open|read_pickle|Unpickler)|safe_open|\w*load_checkpoint\w*'
)
BAD = {
    'hostile': 'posix.system is refused',
    'other_architecture': 'of different shape',
    'not_finite': 'not finite',
    'nested': 'contains itself',
    'file_of_classes': 'in place of class names',
    'state_of_optimizer': 'has shape (3,)',
}
OF_ALL_READERS = ('not_finite', 'nested', 'file_of_classes')


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory, digits_folder):
    """Return good checkpoints from a short training, and bad ones made from it."""
    folder = tmp_path_factory.mktemp('checkpoints')
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = Run(folder, digits_folder, monkeypatch)
        run.train()
    contents = torch.load(run.work_dir / 'epoch_1.pth', weights_only=False)

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
    config = f'open({str(folder / "payload-ran")!r}, "w")'
    hub = contents['message_hub']
    made = {
        # mmengine runs the configs in these places.
        'good': {
            **contents,
            'meta': {**contents['meta'], 'config': config, 'cfg': config},
            'message_hub': {**hub, 'runtime_info': {**hub['runtime_info'], 'cfg': config}},
        },
        'old': {**contents, 'meta': {**contents['meta'], 'folder': Path('work')}},
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
    return {name: folder / f'{name}.pth' for name in made}


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
    assert not (checkpoints['good'].parent / 'payload-ran').exists()
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
        # Those that fit are compared by one function, which refuses these, too.
        and (kind not in OF_ALL_READERS or way in ('predict', 'mmengine'))
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


@pytest.mark.parametrize('way', OTHER_WAYS)
def test_hostile_file_runs_nothing(tmp_path, digits_folder, monkeypatch, checkpoints, capfd, way):
    run, file = OtherRun(tmp_path, digits_folder, monkeypatch), checkpoints['hostile']
    with pytest.raises((SystemExit, ValueError)) as raised:
        getattr(run, way)(file)
    printed = ''.join(capfd.readouterr()) + str(raised.value)
    # These read no pickle at all.
    if way not in ('exported', 'from_pretrained'):
        assert BAD['hostile'] in printed
    assert 'Traceback' not in printed
    assert not (file.parent / 'payload-ran').exists()


def test_the_config_in_a_checkpoint_is_not_run(run, checkpoints):
    from mmdet.apis import DetInferencer

    with pytest.raises(ValueError, match='Cannot find the config in the checkpoint'):
        DetInferencer(weights=str(checkpoints['good']), device='cpu')
    assert not (checkpoints['good'].parent / 'payload-ran').exists()


def test_every_argument_for_a_checkpoint_is_attacked(monkeypatch):
    """Fail for a new argument, until a way above opens it."""

    class Parsed(Exception):
        pass

    def stop(parser, *arguments, **options):
        raise Parsed(parser)

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    found = set()
    for command in COMMANDS:
        module = import_module(f'mmvmlp.cli.{command.replace("-", "_")}')
        with pytest.raises(Parsed) as parsed:
            getattr(module, 'parse_arguments', module.main)()
        for action in parsed.value.args[0]._actions:
            name = action.option_strings[0] if action.option_strings else action.dest
            about = f'{name} {action.metavar} {action.help}'.lower()
            if action.nargs != 0 and re.search(r'checkpoint|weights|resume|\.p[kt]|export', about):
                found.add(f'{command} {name}')
    assert found == ARGUMENTS.keys() | NO_CHECKPOINTS
    assert set(ARGUMENTS.values()) <= {*WAYS, *OTHER_WAYS}


def test_nothing_else_reads_weights_or_pickles():
    """Fail for a new call of a function that unpickles, wherever it stands."""
    found = {}
    for folder in ('mmvmlp', 'tools', 'configs', 'projects', 'development', 'demo'):
        for file in Path(folder).rglob('*.py'):
            nodes = ast.walk(ast.parse(file.read_text(encoding='utf-8')))
            named = {
                ast.unparse(node) for node in nodes if isinstance(node, (ast.Attribute, ast.Name))
            }
            named = {name for name in named if UNPICKLING.fullmatch(name)} - {'load_checkpoint'}
            if named:
                found[str(file)] = named
    assert found == READERS


def test_mmengine_reads_with_our_reader_whatever_the_address():
    for toolbox in ('mmdet.apis', 'mmseg.apis', 'mmpretrain.apis'):
        import_module(toolbox)
    loaders = {loader.__module__ for loader in CheckpointLoader._schemes.values()}
    assert loaders == {'mmvmlp.checkpoints.mmengine_reading'}


POSITIONS = {
    'top level': lambda payload: payload,
    'value': lambda payload: {'a': torch.zeros(1), 'payload': payload},
    'weight': lambda payload: {'state_dict': {'a': torch.zeros(1), 'b': payload}},
    'average': lambda payload: {'state_dict': {}, 'ema_state_dict': {'a': payload}},
    'optimizer': lambda payload: {'optimizer': {'state': {0: {'exp_avg': payload}}}},
    'scheduler': lambda payload: {'param_schedulers': [{'last_step': payload}]},
    'message hub': lambda payload: {'message_hub': {'runtime_info': {'last_ckpt': payload}}},
    'records': lambda payload: {'meta': {'dataset_meta': {'classes': [payload]}}},
    'tuple': lambda payload: {'a': (1, (2, payload))},
    'key': lambda payload: {payload: torch.zeros(1)},
    'array': lambda payload: {'a': np.array([payload], dtype=object)},
}


@pytest.mark.parametrize('suffix', ['.pth', '.pkl', '.bin', '.tar', '.safetensors', '.npz'])
@pytest.mark.parametrize('position', POSITIONS)
@pytest.mark.parametrize('zipped', [True, False])
def test_no_position_of_a_payload_runs_it(tmp_path, position, suffix, zipped):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / 'payload-ran'), 'w')

    file = tmp_path / f'checkpoint{suffix}'
    contents = POSITIONS[position](Payload())
    torch.save(contents, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(mmvmlp.CheckpointError, match=re.escape(str(file))):
        mmvmlp.checkpoints.read_checkpoint(file)
    assert not (tmp_path / 'payload-ran').exists()


def test_own_old_files_are_read_where_they_are_trusted(run, checkpoints):
    run.command(
        *('test', run.config, checkpoints['old'], '--trust-checkpoint', '--cfg-options', *SMALL),
        *('--work-dir', run.work_dir, '--data-root', run.data),
    )
    run.train('--trust-checkpoint', options=[f'load_from={checkpoints["old"]}'])

"""The commands that train and test, run as a user runs them, on data of a user's layout."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from untrained import save_untrained

from mmvmlp.datasets.digit_scenes import make_digit_scenes

DIGITS_CONFIG = 'configs/mask_rcnn_hire_mlp_t_digits.py'
SEGMENTATION_CONFIG = 'configs/upernet_hire_mlp_t.py'
COCO_CONFIG = 'configs/mask_rcnn_hire_mlp_s.py'
TINY_CONFIG = 'configs/mask_rcnn_hire_mlp_t.py'
# After so few steps no class of 81 reaches the usual threshold, and without any detection there
# is no AP to compare.
EVERY_SCORE = 'model.test_cfg.rcnn.score_thr=0.001'
# COCO's images and numbers of RoIs take minutes per step on a CPU.
SMALL = (
    'val_dataloader.dataset.pipeline.1.scale=(166,100)',
    'test_dataloader.dataset.pipeline.1.scale=(166,100)',
    'model.roi_head.bbox_head.fc_out_channels=64',
    'model.train_cfg.rcnn.sampler.num=32',
    'model.test_cfg.rpn.max_per_img=100',
)


def validation_metrics(work_dir: Path) -> dict:
    """Return the last validation's metrics from a run's record."""
    newest = max(work_dir.glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in newest.read_text().splitlines()]
    return [line for line in lines if 'coco/bbox_mAP' in line][-1]


def logged(work_dir: Path) -> str:
    """Return the log files of a folder's runs, which have every line; the terminal has not."""
    return ''.join(file.read_text() for file in sorted(work_dir.glob('*/*.log')))


def assert_test_gives_what_validation_gave(run, config, work_dir, data_root, *options):
    results = work_dir / 'results.json'
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    run(
        *('tools/test.py', config, checkpoint, '--work-dir', work_dir / 'test'),
        *('--data-root', data_root, '--out', results, *options),
    )
    tested, validated = json.loads(results.read_text()), validation_metrics(work_dir)
    for name in ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/segm_mAP', 'coco/segm_mAP_50'):
        assert tested[name] == validated[name]
    return tested


@pytest.mark.slow
def test_a_digits_detector_learns_and_tests_as_it_validated(run, tmp_path, digits_folder):
    run(
        *('tools/train.py', DIGITS_CONFIG, '--work-dir', tmp_path, '--data-root', digits_folder),
        *('--cfg-options', 'train_cfg.max_epochs=2', 'train_cfg.val_interval=2', EVERY_SCORE),
        *('train_dataloader.dataset.indices=64', 'param_scheduler.1.end=2'),
        *('val_dataloader.dataset.indices=8', 'randomness.seed=0'),
    )
    lines = [
        json.loads(line)
        for line in next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()
    ]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert losses[-1] < 0.95 * losses[0]
    tested = assert_test_gives_what_validation_gave(
        *(run, DIGITS_CONFIG, tmp_path, digits_folder, '--cfg-options', EVERY_SCORE),
        'test_dataloader.dataset.indices=8',
    )
    # Equal zeros would prove nothing.
    assert tested['coco/bbox_mAP_50'] > 0


@pytest.mark.slow
def test_the_coco_config_trains_is_killed_resumes_and_tests(run, tmp_path, coco_named_folder):
    command = [
        *('tools/train.py', TINY_CONFIG, '--work-dir', tmp_path),
        *('--data-root', coco_named_folder, '--cfg-options', 'train_cfg.max_epochs=2'),
        *('default_hooks.logger.interval=1', 'train_dataloader.num_workers=1', EVERY_SCORE),
        'val_dataloader.num_workers=1',
        *('train_dataloader.dataset.pipeline.2.scale=(166,100)', *SMALL),
    ]
    with (tmp_path / 'killed.txt').open('w+') as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=output, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 600
        while not re.search(r'Epoch\(train\) +\[2\]\[1/2\]', logged(tmp_path)):
            assert process.poll() is None, Path(output.name).read_text()[-6000:]
            assert time.monotonic() < deadline, logged(tmp_path)[-6000:]
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_1.pth')

    resumed = run(*command, '--resume')
    assert 'resumed epoch: 1, iter: 2' in resumed
    assert not re.search(r'Epoch\(train\) +\[1\]', resumed)
    assert (tmp_path / 'epoch_2.pth').is_file()
    assert_test_gives_what_validation_gave(
        *(run, TINY_CONFIG, tmp_path, coco_named_folder, '--cfg-options', EVERY_SCORE, *SMALL),
    )


@pytest.mark.slow
def test_a_network_of_one_stride_and_a_fixed_size_trains_at_several_scales_and_resumes(
    run, tmp_path, coco_named_folder
):
    command = [
        *('tools/train.py', 'configs/mask_rcnn_resmlp_s12.py', '--work-dir', tmp_path),
        *('--data-root', coco_named_folder, '--cfg-options', EVERY_SCORE),
        *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False'),
        *('val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False'),
        # COCO's images are larger, and its scales with them.
        'train_dataloader.dataset.pipeline.2.type=RandomResize',
        'train_dataloader.dataset.pipeline.2.scale=[(222,64),(222,160)]',
        *(*SMALL, 'default_hooks.logger.interval=1'),
    ]
    run(*command, 'train_cfg.max_epochs=1')
    losses = re.findall(r'Epoch\(train\) .* loss: ([\d.]+|nan|inf)', logged(tmp_path))
    assert len(losses) == 2
    assert all(0 < float(loss) < 100 for loss in losses)
    resumed = run(*command, 'train_cfg.max_epochs=2', '--resume')
    assert 'resumed epoch: 1, iter: 2' in resumed
    assert (tmp_path / 'epoch_2.pth').is_file()
    assert 0 <= validation_metrics(tmp_path)['coco/bbox_mAP'] <= 1


@pytest.mark.slow
def test_a_segmentor_is_tested_at_several_scales(run, tmp_path):
    config = tmp_path / 'of_few_classes.py'
    base = Path('configs/sem_fpn_hire_mlp_t.py').resolve()
    config.write_text(f"_base_ = '{base}'\nmodel = dict(decode_head=dict(num_classes=10))\n")
    checkpoint = save_untrained(config, tmp_path / 'model.pth')
    data = make_digit_scenes(tmp_path / 'ade', 'ade', train=1, val=2, size=96, progress=False)
    results = [tmp_path / name for name in ('plain.json', 'tta.json')]
    scales = [
        f'tta_pipeline.1.transforms.0.{number}.scale=({4 * side},{side})'
        for number, side in enumerate((48, 64, 96, 112, 128, 160))
    ]
    for result, options in zip(results, ((), ('--tta',)), strict=True):
        run(
            *('tools/test.py', config, checkpoint, '--work-dir', tmp_path / 'work', *options),
            *('--data-root', data, '--out', result, '--cfg-options', *scales),
            *('test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False'),
            'test_dataloader.dataset.pipeline.1.scale=(384,96)',
        )
    plain, augmented = (json.loads(result.read_text()) for result in results)
    assert plain.keys() == augmented.keys() >= {'mIoU', 'aAcc'}
    assert plain != augmented
    output = run(
        *('tools/test.py', COCO_CONFIG, checkpoint, '--tta', '--data-root', data),
        expect=1,
    )
    assert 'has no tta_model and no tta_pipeline' in last_lines(output)


RANKS_CONFIG = """
_base_ = '{base}'
custom_imports = dict(imports=['save_parameters_of_each_rank'], allow_failed_imports=False)
custom_hooks = [dict(type='SaveParametersOfEachRank', folder='{folder}')]
"""
RANKS_HOOK = """
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class SaveParametersOfEachRank(Hook):
    def __init__(self, folder):
        self.folder = folder

    def after_train(self, runner):
        model = runner.model.module
        parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        torch.save(parameters, f'{self.folder}/rank_{runner.rank}.pth')
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'layout', 'options'),
    [
        (DIGITS_CONFIG, 'coco', ['train_cfg.max_epochs=1']),
        (
            SEGMENTATION_CONFIG,
            'ade',
            [
                *('train_cfg.max_iters=3', 'train_cfg.val_interval=3'),
                *('model.data_preprocessor.size=(64,64)', 'model.decode_head.channels=64'),
                *(f'{split}_dataloader.num_workers=0' for split in ('train', 'val')),
                *(f'{split}_dataloader.persistent_workers=False' for split in ('train', 'val')),
                'train_dataloader.dataset.pipeline.2.scale=(256,64)',
                'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
                'val_dataloader.dataset.pipeline.1.scale=(256,64)',
            ],
        ),
    ],
)
def test_two_processes_stay_equal(tmp_path, monkeypatch, config, layout, options):
    make_digit_scenes(tmp_path / 'data', layout, train=8, val=2, progress=False)
    child = tmp_path / 'two_processes.py'
    child.write_text(RANKS_CONFIG.format(base=Path(config).resolve(), folder=tmp_path))
    (tmp_path / 'save_parameters_of_each_rank.py').write_text(RANKS_HOOK)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv('PYTHON', sys.executable)
    result = subprocess.run(
        [
            *('tools/dist_train.sh', child, '2', '--work-dir', tmp_path / 'work'),
            *('--data-root', tmp_path / 'data'),
            *('--cfg-options', *options, 'train_dataloader.batch_size=2'),
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-6000:]
    first, second = (torch.load(tmp_path / f'rank_{rank}.pth') for rank in (0, 1))
    assert len(first) > 200
    assert all(torch.equal(first[name], second[name]) for name in first)


def last_lines(output: str) -> str:
    """Return the part of an output behind its `error:`, and see that there is no traceback."""
    assert 'Traceback' not in output
    assert output.count('error: ') == 1
    return output.partition('error: ')[2]


def test_missing_data_names_folder_layout_and_option(run, tmp_path):
    output = run(
        'tools/train.py', COCO_CONFIG, '--work-dir', tmp_path / 'work',
        '--data-root', tmp_path / 'nowhere', expect=1,
    )  # fmt: skip
    message = last_lines(output)
    assert f'{tmp_path}/nowhere/' in message
    assert 'annotations/instances_train2017.json' in message
    assert 'val2017/' in message
    assert '--data-root' in message
    assert not (tmp_path / 'work').exists()


def test_a_missing_annotation_file_is_named(run, tmp_path, coco_named_folder):
    folder = tmp_path / 'coco'
    shutil.copytree(coco_named_folder, folder)
    (folder / 'annotations' / 'instances_val2017.json').unlink()
    output = run(
        'tools/train.py', COCO_CONFIG, '--work-dir', tmp_path / 'work',
        '--cfg-options', f'data_root={folder}', expect=1,
    )  # fmt: skip
    missing = last_lines(output).partition('Expected')[0]
    assert 'instances_val2017.json' in missing
    assert 'instances_train2017.json' not in missing


@pytest.mark.parametrize('damage', ['truncated', 'rubbish'])
def test_a_corrupt_image_is_named(run, tmp_path, coco_named_folder, damage):
    folder = tmp_path / 'coco'
    shutil.copytree(coco_named_folder, folder)
    for image in sorted((folder / 'train2017').glob('*.jpg')):
        contents = image.read_bytes()
        image.write_bytes(contents[: len(contents) // 2] if damage == 'truncated' else b'rubbish')
    output = run(
        'tools/train.py', TINY_CONFIG, '--work-dir', tmp_path / 'work',
        '--data-root', folder, expect=1,
    )  # fmt: skip
    assert re.search(r"error: image '.*/train2017/\d+\.jpg' is ", output), output[-3000:]
    assert 'Traceback' not in output
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.parametrize(
    ('option', 'named'),
    [
        ('model.backbone.arch=huge', ["arch='huge'", "'tiny'", "'small'", "'base'", "'large'"]),
        ('model.backbone.out_indices=(0,4)', ['out_indices=(0, 4)', '0-3']),
        ('model.backbone.drop_path=0.1', ["'drop_path'", "'drop_path_rate'"]),
    ],
)
def test_wrong_backbone_arguments_are_named(run, tmp_path, coco_named_folder, option, named):
    output = run(
        'tools/train.py', COCO_CONFIG, '--work-dir', tmp_path / 'work',
        '--data-root', coco_named_folder, '--cfg-options', option, expect=1,
    )  # fmt: skip
    message = last_lines(output)
    assert all(part in message for part in named), message


@pytest.mark.parametrize('kind', ['truncated', 'foreign', 'missing'])
def test_wrong_checkpoints_are_named(run, tmp_path, coco_named_folder, kind):
    file = tmp_path / 'weights.pth'
    if kind != 'missing':
        torch.save({'state_dict': {'layer1.0.conv1.weight': torch.zeros(1000)}}, file)
    if kind == 'truncated':
        file.write_bytes(file.read_bytes()[:1000])
    named = {
        'truncated': ['cannot be read', 'truncated'],
        'foreign': ['layer1.0.conv1.weight', 'another network'],
        'missing': ['does not exist'],
    }[kind]
    for command in (
        ['tools/train.py', COCO_CONFIG, '--backbone-checkpoint', file],
        ['tools/test.py', COCO_CONFIG, file],
    ):
        output = run(
            *command, '--work-dir', tmp_path / 'work', '--data-root', coco_named_folder, expect=1
        )
        message = last_lines(output)
        assert str(file) in message
        if kind == 'foreign' and 'test.py' in command[0]:
            assert 'does not fit this MaskRCNN' in message
        else:
            assert all(part in message for part in named), message


def test_float16_without_a_gpu_says_what_does_not_need_one(run, tmp_path, coco_named_folder):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    output = run('tools/train.py', COCO_CONFIG, '--amp', '--data-root', coco_named_folder, expect=1)
    assert 'bfloat16' in last_lines(output)


@pytest.mark.slow
def test_bfloat16_trains_backbone_and_neck_only(run, tmp_path, digits_folder):
    # The same four scenes in each of the ten steps, so that their losses can be compared.
    run(
        *('tools/train.py', DIGITS_CONFIG, '--work-dir', tmp_path, '--amp', 'bfloat16'),
        *('--data-root', digits_folder, '--cfg-options', 'train_cfg.max_epochs=10'),
        *('train_cfg.val_interval=10', 'train_dataloader.dataset.indices=4'),
        *('val_dataloader.dataset.indices=4', 'default_hooks.logger.interval=1'),
    )
    losses = [float(value) for value in re.findall(r' loss: ([\d.]+|nan|inf)', logged(tmp_path))]
    assert len(losses) == 10
    assert losses[-1] < losses[0]

"""Changes that commands make to configs of each toolbox."""

import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, RUNNERS
from mmengine.runner import Runner

from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config import settings as module
from mmvmlp.config.launcher import set_launcher
from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.config.required_files import check_checkpoints, check_data, named_checkpoints
from mmvmlp.config.settings import (
    build_runner,
    set_auto_scale_lr,
    set_backbone_checkpoint,
    set_drawing,
    set_durable_training,
    set_log,
    set_mixed_precision,
    set_resume,
    set_tensorboard,
    set_test_time_augmentation,
    set_work_dir,
)

CONFIG = 'configs/mask_rcnn_hire_mlp_s.py'


def strings(value):
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize('root', ['/data/coco', '/data/coco/', 'elsewhere'])
@pytest.mark.parametrize('as_option', [False, True])
def test_data_root_reaches_data_sets_and_evaluators(root, as_option):
    if as_option:
        config = load_config(CONFIG, {'data_root': root, 'train_cfg.max_epochs': 1})
        assert config.train_cfg.max_epochs == 1
    else:
        config = load_config(CONFIG)
        set_data_root(config, root)
    parts = [
        config[f'{split}_{part}']
        for split in ('train', 'val', 'test')
        for part in ('dataloader', 'evaluator')
        if f'{split}_{part}' in config
    ]
    assert not [text for text in strings(parts) if 'data/coco/' in text and root not in text]
    ann_file = f'{root.rstrip("/")}/annotations/instances_val2017.json'
    assert config.test_evaluator.ann_file == ann_file
    assert config.train_dataloader.dataset.data_root == f'{root.rstrip("/")}/'


def test_data_root_reaches_into_wrapped_data_sets():
    inner = {'type': 'CocoDataset', 'data_root': 'data/coco/'}
    config = Config(
        {
            'data_root': 'data/coco/',
            'train_dataloader': {'dataset': {'type': 'RepeatDataset', 'dataset': inner}},
            'val_evaluator': [{'ann_file': 'data/coco/a.json'}, {'ann_file': 'data/cocoa.json'}],
        }
    )
    set_data_root(config, 'new')
    assert config.train_dataloader.dataset.dataset.data_root == 'new/'
    assert [e.ann_file for e in config.val_evaluator] == ['new/a.json', 'data/cocoa.json']


@pytest.mark.parametrize('variable', [{}, {'data_root': ''}, {'data_root': None}])
def test_config_without_data_root_is_named(variable):
    dataset = {'type': 'CocoDataset', 'data_prefix': {'img': 'train2017'}}
    settings = {**variable, 'train_dataloader': {'dataset': dataset}}
    config = Config(settings)
    with pytest.raises(ValueError, match='no variable data_root'):
        set_data_root(config, 'new')
    assert config.to_dict() == settings


def test_empty_data_root_is_refused():
    with pytest.raises(ValueError, match="data_root='': a folder name"):
        set_data_root(load_config(CONFIG), '')


@pytest.mark.parametrize(
    ('dataset', 'missing'),
    [
        ({'data_root': '{}', 'ann_file': 'a.json', 'data_prefix': {'img': 'b'}}, ['a.json', 'b']),
        ({'data_root': '{}', 'data_prefix': {'img_path': 'i', 'seg_map_path': 's'}}, ['i', 's']),
        ({'data_root': '{}', 'data_prefix': 'train'}, ['train']),
        ({'data_root': '{}/nowhere'}, ['nowhere']),
    ],
    ids=['mmdet', 'mmseg', 'mmpretrain', 'folder only'],
)
@pytest.mark.parametrize('wrapped', [False, True])
def test_missing_data_is_named_for_each_toolbox(tmp_path, dataset, missing, wrapped):
    dataset = {**dataset, 'data_root': dataset['data_root'].format(tmp_path)}
    loader = {'dataset': {'dataset': dataset} if wrapped else dataset}
    config = Config({'train_dataloader': loader})
    with pytest.raises(FileNotFoundError, match='--data-root') as error:
        check_data(config)
    for name in missing:
        assert str(tmp_path / name) in str(error.value)
        path = tmp_path / name
        if path.suffix:
            path.touch()
        else:
            path.mkdir()
    check_data(config)


def test_digit_scenes_have_no_test_time_augmentation():
    config = load_config('configs/upernet_hire_mlp_t_digits.py')
    with pytest.raises(ValueError, match='has no tta_pipeline'):
        set_test_time_augmentation(config)


def test_remote_annotations_with_settings_of_their_own_are_not_checked():
    check_data(Config({'val_evaluator': {'type': 'CocoMetric', 'ann_file': 's3://coco/val.json'}}))
    storage = {'backend': 's3', 'endpoint_url': 'http://127.0.0.1:9'}
    dataset = {'data_root': 's3://coco', 'ann_file': 'train.json', 'backend_args': storage}
    check_data(Config({'train_dataloader': {'dataset': dataset}}))


def test_weights_of_a_backbone_are_not_read_from_an_object_store():
    init_cfg = {'type': 'Pretrained', 'checkpoint': 's3://weights/hire_mlp_small.pth'}
    with pytest.raises(ValueError, match=r"'s3://weights/hire_mlp_small\.pth'.* download it first"):
        check_checkpoints(Config({'model': {'backbone': {'init_cfg': init_cfg}}}))


@pytest.mark.parametrize('several', [False, True])
def test_missing_annotations_of_an_evaluator_are_named(tmp_path, several):
    evaluator = {'type': 'CocoMetric', 'ann_file': str(tmp_path / 'val.json')}
    config = Config(
        {
            'val_dataloader': {'dataset': {'data_root': str(tmp_path)}},
            'val_evaluator': [evaluator] if several else evaluator,
        }
    )
    with pytest.raises(FileNotFoundError, match=r'val\.json'):
        check_data(config)
    (tmp_path / 'val.json').touch()
    check_data(config)


def test_missing_config_is_named():
    with pytest.raises(FileNotFoundError, match=r'configs/none\.py'):
        load_config('configs/none.py')


NOT_CONFIGS = {
    'text.txt': ('no config', 'Only py/yml/yaml/json'),
    'text.py': ('no config', 'SyntaxError.* line 1'),
    'list.json': ('[1, 2]', "'list' object"),
    'image.py': (b'\x89PNG\xff', 'UnicodeDecodeError'),
    'mistake.py': ('model = dict(\n    type=Name)', r'mistake\.py, line 2: NameError'),
    'child.py': ("_base_ = 'gone.py'\nmodel = dict()", r'gone\.py'),
    'variables.py': ('data_root = None', 'has no model'),
    'config.py': ('model = dict()', None),
}


@pytest.mark.parametrize('name', NOT_CONFIGS)
def test_invalid_config_gives_one_message(tmp_path, capsys, name):
    contents, reason = NOT_CONFIGS[name]
    file = tmp_path / name
    file.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    if reason is None:
        assert load_config(file).model == {}
        return
    with pytest.raises(SystemExit), one_clear_error():
        load_config(file)
    assert re.match(f'error: config {str(file)!r} .*{reason}', capsys.readouterr().err)


@pytest.mark.parametrize(
    'option',
    [
        'model.backbone.arch.x',
        'train_dataloader.dataset.pipeline.99.type',
        'train_dataloader.dataset.pipeline.type',
        'train_dataloader.batch_size.0',
    ],
)
def test_option_that_cannot_be_merged_gives_one_message(capsys, option):
    with pytest.raises(SystemExit), one_clear_error():
        load_config(CONFIG, {option: 'tiny'})
    assert capsys.readouterr().err.startswith(f'error: --cfg-options {option}=tiny: ')
    assert load_config(CONFIG, {'train_dataloader.dataset.pipeline.0.type': 'tiny'})


def test_backbone_checkpoint_replaces_any_init_cfg(tmp_path):
    config = load_config(CONFIG)
    weights = tmp_path / 'weights.pth'
    with pytest.raises(FileNotFoundError, match=r'weights\.pth.*does not exist'):
        set_backbone_checkpoint(config, weights)
    weights.touch()
    for checkpoint in (str(weights), 'https://example.org/weights.pth'):
        set_backbone_checkpoint(config, checkpoint)
        assert config.model.backbone.init_cfg == {
            'type': 'mmvmlp.OfficialPretrained',
            'checkpoint': checkpoint,
        }
    with pytest.raises(ValueError, match='no backbone'):
        set_backbone_checkpoint(Config({'model': {}}), weights)


@pytest.mark.parametrize('setting', ['load_from', 'model.backbone.init_cfg.checkpoint'])
def test_missing_checkpoints_to_start_from_are_named(tmp_path, setting):
    weights = tmp_path / 'weights.pth'
    config = Config({'model': {'backbone': {}}, 'load_from': None})
    check_checkpoints(config)
    config.merge_from_dict({setting: str(weights)})
    with pytest.raises(FileNotFoundError, match=r'weights\.pth.*does not exist'):
        check_checkpoints(config)
    weights.touch()
    check_checkpoints(config)


def test_learning_rate_is_scaled_only_with_a_base_batch_size():
    config = load_config(CONFIG)
    set_auto_scale_lr(config)
    assert config.auto_scale_lr == {'enable': True, 'base_batch_size': 16}
    with pytest.raises(ValueError, match='base_batch_size'):
        set_auto_scale_lr(Config({}))


def test_work_dir_is_named_after_the_config(tmp_path):
    config = load_config(CONFIG)
    set_work_dir(config, None)
    assert Path(config.work_dir) == Path('work_dirs/mask_rcnn_hire_mlp_s')
    set_work_dir(config, 'mine')
    assert config.work_dir == 'mine'
    (tmp_path / 'file').touch()
    with pytest.raises(NotADirectoryError, match="work_dir '.*file' is not a folder"):
        set_work_dir(config, str(tmp_path / 'file'))


LAUNCHED = {
    'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE'),
}


@pytest.mark.parametrize('launcher', LAUNCHED)
def test_missing_launcher_is_named(monkeypatch, launcher):
    variables = LAUNCHED[launcher]
    for name in (*variables, 'MASTER_ADDR'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=f"launcher='{launcher}': {variables[0]}, .*is not set"):
        set_launcher(Config({'model': {}}), launcher)
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        # Removed again after the test, also where the launcher sets them.
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    for number, name in enumerate(variables):
        monkeypatch.setenv(name, str(number))
    if launcher == 'mpi':
        monkeypatch.setenv('MASTER_ADDR', '3')
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    config = Config({'model': {}})
    set_launcher(config, launcher)
    # mmengine reads torchrun's variables, whoever started the processes.
    assert config.launcher == 'pytorch'
    names = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR')
    assert [os.environ[name] for name in names] == ['0', '1', '2', '3']
    assert os.environ['MASTER_PORT']


def test_the_first_machine_of_slurm_is_that_of_scontrol(monkeypatch, tmp_path):
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    for name in LAUNCHED['slurm']:
        monkeypatch.setenv(name, '0')
    monkeypatch.setenv('SLURM_NODELIST', 'gpu[7-8]')
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    with pytest.raises(ValueError, match=r"SLURM_NODELIST='gpu\[7-8\]'; set MASTER_ADDR"):
        set_launcher(Config({'model': {}}), 'slurm')
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames gpu[7-8]" ] && echo gpu7 && echo gpu8')
    scontrol.chmod(0o755)
    set_launcher(Config({'model': {}}), 'slurm')
    assert os.environ['MASTER_ADDR'] == 'gpu7'


@pytest.mark.parametrize(
    ('settings', 'named'),
    [
        ({'runner_type': 'FlexibleRunner'}, "runner_type='FlexibleRunner'"),
        ({'strategy': {'type': 'FSDPStrategy'}}, "strategy={'type': 'FSDPStrategy'}"),
        (
            {'model_wrapper_cfg': {'type': 'MMFullyShardedDataParallel'}},
            "model_wrapper_cfg.type='MMFullyShardedDataParallel'",
        ),
        ({'optim_wrapper': {'type': 'DeepSpeedOptimWrapper'}}, 'optim_wrapper.type='),
    ],
)
def test_engines_that_split_a_model_are_refused_with_what_to_do_instead(settings, named):
    with pytest.raises(ValueError, match=r'tools/dist_train\.sh') as refused:
        set_launcher(Config({'model': {}, **settings}), 'none')
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ('hooks', 'expected'),
    [
        ({}, {'logger': {'type': 'mmvmlp.TimedLoggerHook'}}),
        (
            {'default_hooks': {'logger': {'type': 'LoggerHook', 'interval': 7}}},
            {'logger': {'type': 'mmvmlp.TimedLoggerHook', 'interval': 7}},
        ),
        ({'default_hooks': {'logger': None}}, {'logger': None}),
        ({'default_hooks': {'logger': {'type': 'Mine'}}}, {'logger': {'type': 'Mine'}}),
    ],
)
def test_only_the_default_logger_is_replaced(hooks, expected):
    config = Config(hooks)
    set_log(config)
    assert config.default_hooks == expected


@pytest.mark.parametrize('installed', [True, False])
@pytest.mark.parametrize(
    ('settings', 'extended'),
    [
        ({}, ['LocalVisBackend', 'mmengine.TensorboardVisBackend']),
        (
            {'visualizer': {'vis_backends': [{'type': 'WandbVisBackend'}]}},
            ['WandbVisBackend', 'mmengine.TensorboardVisBackend'],
        ),
        (
            {'visualizer': {'vis_backends': [{'type': 'TensorboardVisBackend'}]}},
            ['TensorboardVisBackend'],
        ),
        ({'visualizer': {'vis_backends': []}}, []),
    ],
)
def test_curves_for_tensorboard_where_it_is_installed(monkeypatch, installed, settings, extended):
    monkeypatch.setattr(module, 'find_spec', lambda name: object() if installed else None)
    config = Config(settings)
    set_tensorboard(config)
    if installed:
        backends = config.visualizer.vis_backends
        assert [backend['type'] for backend in backends] == extended
    else:
        assert config.to_dict() == settings


@pytest.mark.parametrize(
    ('hooks', 'expected'),
    [
        ({}, {'checkpoint': {'type': 'mmvmlp.CheckpointHook', 'interval': 1}}),
        (
            {'checkpoint': {'type': 'CheckpointHook', 'max_keep_ckpts': 2}},
            {'checkpoint': {'type': 'mmvmlp.CheckpointHook', 'max_keep_ckpts': 2}},
        ),
        ({'checkpoint': {'type': 'Mine'}}, {'checkpoint': {'type': 'Mine'}}),
        ({'checkpoint': None, 'finite_loss': None, 'exact_resume': None}, {'checkpoint': None}),
        (
            {'checkpoint': None, 'finite_loss': {'action': 'skip'}},
            {
                'checkpoint': None,
                'finite_loss': {'type': 'mmvmlp.FiniteLossHook', 'action': 'skip'},
            },
        ),
    ],
)
def test_hooks_of_durable_training_keep_their_settings(hooks, expected):
    config = Config({'default_hooks': hooks})
    set_durable_training(config)
    defaults = {
        'exact_resume': {'type': 'mmvmlp.ExactResumeHook'},
        'finite_loss': {'type': 'mmvmlp.FiniteLossHook'},
    }
    kept = {name: hook for name, hook in defaults.items() if hooks.get(name, '') is not None}
    assert config.default_hooks == {**kept, **expected}


def test_custom_runner_is_built(tmp_path):
    class OwnRunner(Runner):
        pass

    settings = {
        'model': {'type': 'ToyModel'},
        'work_dir': str(tmp_path),
        'custom_hooks': [],
        'runner_type': 'OwnRunner',
    }
    with pytest.raises(ValueError, match="runner_type='OwnRunner' is not registered"):
        build_runner(Config(settings))
    RUNNERS.module_dict['OwnRunner'] = OwnRunner
    MODELS.module_dict['ToyModel'] = lambda **_: torch.nn.Linear(1, 1)
    try:
        assert type(build_runner(Config(settings))) is OwnRunner
        del settings['runner_type']
        assert type(build_runner(Config(settings))) is Runner
    finally:
        del RUNNERS.module_dict['OwnRunner'], MODELS.module_dict['ToyModel']


def test_drawing_requires_a_toolbox(tmp_path):
    config = Config({'default_scope': 'mmengine', 'work_dir': str(tmp_path)})
    with pytest.raises(ValueError, match="default_scope='mmengine'.*mmdet, mmseg, mmpretrain"):
        set_drawing(config, 'drawn')
    config.default_scope = 'mmdet'
    set_drawing(config, 'drawn')
    assert config.default_hooks.visualization.test_out_dir == str(tmp_path / 'drawn')


def test_resuming_without_a_checkpoint_is_an_error_only_for_a_named_file(tmp_path):
    config = load_config(CONFIG)
    set_work_dir(config, str(tmp_path))
    set_resume(config, 'auto')
    assert not config.resume
    with pytest.raises(FileNotFoundError, match='none.pth'):
        set_resume(config, str(tmp_path / 'none.pth'))


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="dtype='float8'.*bfloat16"):
        set_mixed_precision(load_config(CONFIG), 'float8')


def replace_neck(config, neck):
    """Give a config a list of necks, or none."""
    if neck == 'list':
        first = config.model.neck
        again = {**first, 'in_channels': [first.out_channels] * first.num_outs}
        config.model.neck = [first, again]
    elif neck == 'none':
        del config.model['neck']


@pytest.mark.parametrize(
    ('name', 'neck'),
    [
        ('mask_rcnn_hire_mlp_t_digits', 'its own'),
        ('mask_rcnn_hire_mlp_t_digits', 'list'),
        ('classify_hire_mlp_t_digits', 'its own'),
        ('classify_hire_mlp_t_digits', 'none'),
        ('upernet_hire_mlp_t_digits', 'its own'),
    ],
)
def test_bfloat16_stays_inside_backbone_and_neck(tmp_path, name, neck):
    config = load_config(f'configs/{name}.py')
    replace_neck(config, neck)
    set_mixed_precision(config, 'bfloat16')
    config.work_dir = str(tmp_path)
    config.train_dataloader = config.train_cfg = config.optim_wrapper = None
    config.param_scheduler = config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.test_dataloader = config.test_cfg = config.test_evaluator = None
    runner = Runner.from_cfg(config)
    runner.call_hook('before_run')
    seen = {}
    parts = [runner.model.backbone]
    parts += [runner.model.neck] if getattr(runner.model, 'neck', None) is not None else []
    for number, part in enumerate(parts):
        inner = [module for module in part.modules() if not list(module.children())][-1]
        inner.register_forward_hook(lambda *call, number=number: seen.update({number: call[-1]}))
    maps = runner.model.extract_feat(torch.randn(2, 3, 64, 64))
    assert len(seen) == len(parts)
    assert {level.dtype for level in maps} == {torch.float32}
    assert {result.dtype for result in seen.values()} == {torch.bfloat16}


def test_checkpoints_that_a_config_names_are_found_at_any_depth():
    teacher = {'model': 'timm/resnet18', 'checkpoint': 'teacher.pth'}
    model = {'teacher': teacher, 'parts': [{'init_cfg': [{'checkpoint': 'part.pth'}]}]}
    settings = {
        'load_from': 'start.pth',
        'model': model,
        'default_hooks': {'checkpoint': {'type': 'CheckpointHook'}},
    }
    assert list(named_checkpoints(settings)) == ['start.pth', 'teacher.pth', 'part.pth']

"""Every config under ``configs/``: what it builds fits together."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from mmvmlp.backbones.base import registered_families
from mmvmlp.engine.run_config import load_config
from mmvmlp.ops import Affine, LayerNorm2d, LayerScale

CONFIGS = sorted(Path(__file__).parents[1].joinpath('configs').glob('*.py'))

every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


@cache
def loaded(path: Path) -> Config:
    """Load a config once for all tests, which only read it."""
    return load_config(path)


def build(config: Config, device='meta'):
    """Build a config's model; on 'meta', without the time and the memory that weights take."""
    init_default_scope(config.default_scope)
    model = deepcopy(config.model)
    model.type = f'{config.default_scope}.{model.type}'
    with torch.device(device):
        return MODELS.build(model)


@every_config
def test_names_can_be_imported(path):
    assert path.stem.isidentifier()


@every_config
def test_neck_and_heads_fit_what_the_backbone_emits(path):
    config = loaded(path)
    model = build(config)
    levels, neck = model.backbone.feature_info, config.model.neck
    if isinstance(neck, list):
        (level,) = levels
        assert (neck[0].in_channels, neck[0].stride) == (level.channels, level.stride)
        levels, neck = model.neck[0].feature_info, neck[1]
    assert neck.in_channels == [info.channels for info in levels]
    strides = [info.stride for info in levels]
    assert strides == [4, 8, 16, 32]
    generator = config.model.rpn_head.anchor_generator
    assert generator.strides[: len(strides)] == strides
    for extractor in ('bbox_roi_extractor', 'mask_roi_extractor'):
        assert config.model.roi_head[extractor].featmap_strides == strides


@every_config
def test_norms_are_not_decayed_and_everything_else_is(path):
    config = loaded(path)
    model = build(config)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    decay = {
        id(parameter): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, (_BatchNorm, LayerNorm2d, Affine, LayerScale))
        for parameter in module.parameters()
    }
    for name, parameter in model.named_parameters():
        expected = 0 if id(parameter) in norms else config.optim_wrapper.optimizer.weight_decay
        assert decay[id(parameter)] == expected, name


@pytest.mark.parametrize(
    ('name', 'millions'),
    [('t', 37.7), ('s', 52.8), ('b', 77.9), ('l', 115.2)],
)
@pytest.mark.parametrize('schedule', ['', '_3x'])
def test_mask_rcnn_has_the_published_size(name, schedule, millions):
    model = build(load_config(f'configs/mask_rcnn_hire_mlp_{name}{schedule}.py'))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == millions


@pytest.mark.parametrize(
    'path',
    [path for path in CONFIGS if not path.stem.endswith(('_3x', '_digits'))],
    ids=lambda path: path.stem,
)
def test_coco_recipe_is_that_of_the_published_table(path):
    config = loaded(path)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, 0.05)
    assert config.train_cfg.max_epochs == 12
    assert config.auto_scale_lr.base_batch_size == 16
    scales = [step.scale for step in config.train_dataloader.dataset.pipeline if 'scale' in step]
    assert scales == [(1333, 800)]


@every_config
def test_inherits_from_any_folder(path, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{path}'\nmodel = dict(backbone=dict(frozen_stages=1))\n")
    config = load_config(child)
    assert config.model.backbone.frozen_stages == 1
    assert config.model.backbone.type.startswith('mmvmlp.')


def test_every_family_has_configs_for_coco_and_for_the_digits():
    for kind in (True, False):
        types = {
            loaded(path).model.backbone.type
            for path in CONFIGS
            if path.stem.endswith('_digits') == kind
        }
        assert types == {f'mmvmlp.{family.__name__}' for family in registered_families()}


def test_the_readmes_own_config_builds(tmp_path):
    readme = Path('README.md').read_text()
    text = readme.partition("```python\n_base_ = 'mmdet::")[2].partition('```')[0]
    child = tmp_path / 'own.py'
    child.write_text("_base_ = 'mmdet::" + text)
    config = load_config(child)
    config.model.backbone.init_cfg = None
    model = build(config, 'cpu').eval()
    assert len(model.extract_feat(torch.randn(1, 3, 64, 96))) == 5


def test_the_readmes_pyramid_builds():
    readme = Path('README.md').read_text()
    program = readme.partition("```python\nbackbone = dict(type='mmvmlp.ResMLP'")[2]
    settings = {}
    exec("backbone = dict(type='mmvmlp.ResMLP'" + program.partition('```')[0], settings)
    init_default_scope('mmdet')
    maps = MODELS.build(settings['backbone'])(torch.randn(1, 3, 64, 96))
    for neck in settings['neck']:
        maps = MODELS.build(neck)(maps)
    assert [level.shape[2:] for level in maps] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]


def test_the_readmes_python_runs(capsys):
    readme = Path('README.md').read_text()
    program = readme.partition('```python\nimport torch')[2].partition('```')[0]
    exec('import torch' + program, {})
    printed = capsys.readouterr().out
    assert '(1, 128, 60, 80) FeatureInfo(channels=128, stride=8)' in printed
    assert printed.endswith('torch.Size([1, 1000])\n')

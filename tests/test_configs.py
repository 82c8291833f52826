"""Every config under ``configs/``: what it builds fits together."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from leaf_configs import CONFIGS, by_method_and_family
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope
from pages import blocks_of
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from untrained import build

from mmvmlp.backbones.base import registered_families
from mmvmlp.config.loading import load_config
from mmvmlp.ops import Affine, LayerNorm2d, LayerScale

NETWORKS = {
    path.stem.removeprefix('classify_')
    for path in CONFIGS
    if path.stem.startswith('classify_')
    and not path.stem.endswith(('_digits', '_finetune', '_distill'))
}

GROUPS = {name: paths for name, paths in by_method_and_family().items() if len(paths) > 1}

every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


@cache
def loaded(path: Path) -> Config:
    """Load a config once for all tests, which only read it."""
    return load_config(path)


@cache
def built(path: Path):
    """Build a config's model once for all tests, which only look at it."""
    return build(loaded(path))


@every_config
def test_names_can_be_imported(path):
    assert path.stem.isidentifier()


@every_config
def test_training_survives_interruptions_also_in_the_toolboxes_own_programs(path):
    hooks = loaded(path).default_hooks
    types = [hooks[name].type for name in ('checkpoint', 'exact_resume', 'finite_loss')]
    assert types == ['mmvmlp.CheckpointHook', 'mmvmlp.ExactResumeHook', 'mmvmlp.FiniteLossHook']


@every_config
def test_necks_and_heads_fit_what_the_backbone_emits(path):
    config, model = loaded(path), built(path)
    levels, necks = model.backbone.feature_info, config.model.get('neck') or []
    necks = necks if isinstance(necks, list) else [necks]
    if necks and necks[0].type == 'mmvmlp.SimplePyramid':
        single = isinstance(necks[0].stride, int)
        for key, values in (
            ('in_channels', [level.channels for level in levels]),
            ('stride', [level.stride for level in levels]),
        ):
            assert ([necks[0][key]] if single else list(necks[0][key])) == values
        first = model.neck[0] if len(necks) > 1 else model.neck
        levels, necks = first.feature_info, necks[1:]
    channels, strides = (
        [getattr(level, key) for level in levels] for key in ('channels', 'stride')
    )
    for fpn in necks:
        if 'in_channels' in fpn:
            assert fpn.in_channels == channels
            assert fpn.get('start_level', 0) == 0
    if config.default_scope == 'mmpretrain':
        assert config.model.head.in_channels == channels[-1]
    elif config.default_scope == 'mmseg':
        assert strides == [4, 8, 16, 32]
        heads = [config.model.decode_head, config.model.get('auxiliary_head')]
        if 'strides' in heads[0]:
            assert (heads[0].in_channels, heads[0].strides) == (channels, strides)
        elif necks:
            assert heads == [heads[0], None]
            assert heads[0].feature_strides == strides
        else:
            assert heads[0].in_channels == channels
            assert heads[1].in_channels == channels[heads[1].in_index]
    elif 'panoptic_head' in config.model:
        head = config.model.panoptic_head
        assert (head.in_channels, head.strides) == (channels, strides)
    elif config.model.type == 'DINO':
        assert strides == [8, 16, 32]
    else:
        head = config.model.get('rpn_head') or config.model.bbox_head
        assert head.anchor_generator.strides[: len(strides)] == strides
        for extractor in ('bbox_roi_extractor', 'mask_roi_extractor'):
            if extractor in config.model.get('roi_head', {}):
                assert strides == [4, 8, 16, 32]
                assert config.model.roi_head[extractor].featmap_strides == strides


def values_of(key, settings):
    """Yield all values of a key, at any depth of a config."""
    items = settings.values() if isinstance(settings, dict) else settings
    if isinstance(settings, dict) and key in settings:
        yield settings[key]
    for item in items:
        if isinstance(item, (dict, list)):
            yield from values_of(key, item)


@every_config
def test_heads_know_the_classes_of_the_data(path):
    config = loaded(path)
    init_default_scope(config.default_scope)
    numbers = set(values_of('num_classes', config.model))
    things = {
        key: set(values_of(f'num_{key}_classes', config.model)) for key in ('things', 'stuff')
    }
    for split in ('train', 'val', 'test'):
        for dataset in data_sets(config[f'{split}_dataloader'].dataset):
            known = DATASETS.get(f'{config.default_scope}.{dataset.type}').METAINFO
            classes = dataset.get('metainfo', {}).get('classes') or known.get('classes')
            if 'panoptic_head' in config.model:
                assert things == {
                    'things': {len(known['thing_classes'])},
                    'stuff': {len(known['stuff_classes'])},
                }
            elif classes:
                assert numbers == {len(classes)}
            else:
                # Its folders name the classes.
                assert (dataset.type, len(numbers)) == ('CustomDataset', 1)


def data_sets(settings):
    """Return the data sets in the settings of one, also inside wrappers like RepeatDataset."""
    inner = settings.get('datasets') or settings.get('dataset')
    inner = [inner] if isinstance(inner, dict) else inner
    return [found for each in inner for found in data_sets(each)] if inner else [settings]


@every_config
def test_weights_are_decayed_and_norms_and_biases_are_not(path):
    config, model = loaded(path), built(path)
    # A model that was built for another test left another scope.
    init_default_scope(config.default_scope)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    decay = {
        id(parameter): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    types = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, LayerNorm2d, Affine, LayerScale)
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, types)
        for parameter in module.parameters()
    }
    # Mask2Former's are not decayed in its published recipe, DINO's are.
    embeddings = ('query_embed.weight', 'query_feat.weight', 'level_embed.weight')
    for name, parameter in model.named_parameters():
        exempt = id(parameter) in norms or name.endswith('bias')
        if path.stem.startswith('mask2former'):
            exempt = exempt or name.endswith(embeddings)
        expected = 0 if exempt else config.optim_wrapper.optimizer.weight_decay
        assert decay[id(parameter)] == expected, name


# The fields of a config in which networks of one method and family may differ, beside variables
# that only the file itself uses. tests/test_recipes.py has the published value of each.
OF_A_NETWORK = re.compile(
    r'model\.(backbone\.(arch|drop_path_rate)|neck(\.\d)?\.(in_channels|stride)|\w*head\.in_channels)'
    r'|optim_wrapper\.optimizer\.lr|train_dataloader\.batch_size|auto_scale_lr\.base_batch_size'
)


def settings_of_all_networks(config):
    """Return the settings that configs of one method and family share, by their dotted names."""

    def flat(value, name=''):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            dotted = f'{name}{key}'
            if isinstance(item, dict) or (isinstance(item, list) and item):
                yield from flat(item, f'{dotted}.')
            elif not OF_A_NETWORK.match(dotted):
                yield dotted, item

    parts = ('model', '_dataloader', '_evaluator', '_cfg', 'optim_wrapper', 'param_scheduler')
    return {
        name: value
        for key in config
        if key.endswith(parts) or 'hooks' in key or key == 'data_preprocessor'
        for name, value in flat({key: config[key]})
    }


@pytest.mark.parametrize('name', GROUPS)
def test_networks_of_a_family_are_trained_and_tested_alike(name):
    """One of them stands for all in tests/test_config_runs.py."""
    first, *others = (settings_of_all_networks(loaded(path).to_dict()) for path in GROUPS[name])
    assert 'model.backbone.type' in first and 'train_dataloader.dataset.pipeline.0.type' in first
    assert all(settings == first for settings in others)


def millions(path):
    return round(sum(p.numel() for p in built(path).parameters()) / 1e6, 1)


@pytest.mark.parametrize(
    ('method', 'sizes'),
    [
        ('mask_rcnn_{}', [37.7, 52.8, 77.9, 115.2]),
        ('mask_rcnn_{}_3x', [37.7, 52.8, 77.9, 115.2]),
        ('retinanet_{}', [27.8, 42.9, 68.0, 105.9]),
        ('upernet_{}', [48.0, 63.1, 88.2, 127.4]),
        ('sem_fpn_{}', [21.8, 36.9, 62.0, 99.3]),
        ('classify_{}', [18.0, 33.1, 58.2, 95.7]),
    ],
)
def test_hire_mlps_models_have_the_published_sizes(method, sizes):
    names = [method.format(f'hire_mlp_{size}') for size in 'tsbl']
    by_name = {path.stem: path for path in CONFIGS}
    assert [millions(by_name[name]) for name in names] == sizes


@pytest.mark.parametrize('by_name', [False, True])
@every_config
def test_builds_when_inherited_from_any_folder(path, tmp_path, monkeypatch, by_name):
    monkeypatch.chdir(tmp_path)
    base = f'mmvmlp::{path.name}' if by_name else path
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{base}'\nmodel = dict(backbone=dict(frozen_stages=1))\n")
    inherited = load_config(child)
    frozen = inherited.model.backbone.pop('frozen_stages')
    # What trains and predicts by its path does so when it is inherited.
    assert inherited.to_dict() == loaded(path).to_dict()
    inherited.model.backbone.frozen_stages = frozen
    # By name it is the same config.
    assert by_name or build(inherited).backbone.frozen_stages == 1


@pytest.mark.parametrize('family', registered_families(), ids=lambda family: family.__name__)
def test_every_family_has_a_classifier(family):
    assert any(network.startswith(f'{family.name_prefix}_') for network in NETWORKS)


@pytest.mark.parametrize('method', ['classify', 'mask_rcnn', 'retinanet', 'sem_fpn', 'upernet'])
def test_every_method_has_every_network(method):
    names = {path.stem for path in CONFIGS}
    assert not {f'{method}_{network}' for network in NETWORKS} - names


def test_every_family_has_a_config_for_the_digits():
    types = {
        loaded(path).model.backbone.type
        for path in CONFIGS
        if path.stem.startswith('mask_rcnn') and path.stem.endswith('_digits')
    }
    assert types == {f'mmvmlp.{family.__name__}' for family in registered_families()}


def test_the_readmes_own_config_builds(tmp_path):
    child = tmp_path / 'own.py'
    child.write_text(blocks_of('README.md', 'python', 'Configs')[0].text)
    config = load_config(child)
    config.model.backbone.init_cfg = None
    model = build(config, 'cpu').eval()
    assert len(model.extract_feat(torch.randn(1, 3, 64, 96))) == 5


def test_model_data_and_schedule_combine_as_documented(tmp_path):
    child = tmp_path / 'own.py'
    child.write_text(blocks_of('docs/training.md', 'python', 'Other data sets')[0].text)
    config = load_config(child)
    assert config.train_dataloader.dataset.type == 'Objects365V2Dataset'
    assert build(config).roi_head.bbox_head.num_classes == 365


def test_the_pyramid_of_the_page_of_pyramids_builds():
    (block,) = blocks_of('docs/concepts/pyramids.md', 'python')
    settings = {}
    exec(block.text, settings)
    init_default_scope('mmdet')
    maps = MODELS.build(settings['backbone'])(torch.randn(1, 3, 64, 96))
    for neck in settings['neck']:
        maps = MODELS.build(neck)(maps)
    assert [level.shape[2:] for level in maps] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]

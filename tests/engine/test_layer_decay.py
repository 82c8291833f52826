"""Layer-wise learning-rate decay in models of the three toolboxes."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.config.loading import load_config
from mmvmlp.ops import Affine, LayerNorm2d, LayerScale

LR, RATE, WEIGHT_DECAY = 0.1, 0.5, 0.05


def optimizer_config(**paramwise):
    return {
        'optimizer': {'type': 'AdamW', 'lr': LR, 'weight_decay': WEIGHT_DECAY},
        'constructor': 'mmvmlp.LayerDecayOptimWrapperConstructor',
        'paramwise_cfg': {'layer_decay_rate': RATE, **paramwise},
    }


def settings_of(model, config):
    """Return the optimizer settings of each parameter by name."""
    optimizer = build_optim_wrapper(model, config).optimizer
    settings = {
        id(parameter): group for group in optimizer.param_groups for parameter in group['params']
    }
    return {name: settings[id(p)] for name, p in model.named_parameters() if p.requires_grad}


def model_of(toolbox, backbone):
    """Build a model of a toolbox around a backbone that emits its last level."""
    init_default_scope(toolbox)
    channels = MODELS.build(backbone).feature_info[-1].channels
    with torch.device('meta'):
        return MODELS.build(
            {
                'mmpretrain': {
                    'type': 'mmpretrain.ImageClassifier',
                    'backbone': backbone,
                    'head': {
                        'type': 'mmpretrain.LinearClsHead',
                        'num_classes': 5,
                        'in_channels': channels,
                    },
                },
                'mmseg': {
                    'type': 'mmseg.EncoderDecoder',
                    'backbone': backbone,
                    'decode_head': {
                        'type': 'mmseg.FCNHead',
                        'num_classes': 5,
                        'in_channels': channels,
                        'in_index': 0,
                        'channels': 16,
                    },
                },
                'mmdet': {
                    'type': 'mmdet.RetinaNet',
                    'backbone': backbone,
                    'neck': {
                        'type': 'mmdet.FPN',
                        'in_channels': [channels],
                        'out_channels': 16,
                        'num_outs': 2,
                    },
                    'bbox_head': {
                        'type': 'mmdet.RetinaHead',
                        'num_classes': 5,
                        'in_channels': 16,
                        'anchor_generator': {
                            'type': 'mmdet.AnchorGenerator',
                            'ratios': [1.0],
                            'scales': [8],
                            'strides': [32, 64],
                        },
                    },
                },
            }[toolbox]
        )


@pytest.mark.parametrize('toolbox', ['mmdet', 'mmpretrain', 'mmseg'])
@pytest.mark.parametrize('family', registered_families(), ids=lambda family: family.__name__)
def test_rates_follow_the_depth_and_norms_are_not_decayed(family, toolbox):
    model = model_of(
        toolbox,
        {
            'type': f'mmvmlp.{family.__name__}',
            'arch': family.small_arch,
            'out_indices': (-1,),
            'out_norm': True,
        },
    )
    settings = settings_of(model, optimizer_config())
    num_layers = sum(len(stage.blocks) for stage in model.backbone.stages) + 2
    of_layers = [
        group['lr']
        for name, group in settings.items()
        if name.startswith(('backbone.stem', 'backbone.stages'))
    ]
    assert of_layers == sorted(of_layers)
    expected = [LR * RATE**exponent for exponent in range(1, num_layers)]
    assert sorted(set(of_layers), reverse=True) == pytest.approx(expected)
    last_layer = {
        name: group for name, group in settings.items() if name.startswith('backbone.norm')
    }
    last_layer |= {name: g for name, g in settings.items() if not name.startswith('backbone.')}
    assert len(last_layer) > 2
    assert all(group['lr'] == LR for group in last_layer.values())
    without_decay = {
        f'{module_name}.{name}'
        for module_name, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, (_BatchNorm, nn.GroupNorm, LayerNorm2d, Affine, LayerScale))
        or name == 'bias'
    }
    assert len(without_decay) > 20
    for name, group in settings.items():
        assert group['weight_decay'] == (0 if name in without_decay else WEIGHT_DECAY), name


def test_single_backbone_frozen_stages_and_other_options():
    backbone = MODELS.build({'type': 'mmvmlp.HireMLP', 'frozen_stages': 1})
    custom = {'stages.3': {'lr_mult': 0.1, 'decay_mult': 1.0}}
    settings = settings_of(backbone, optimizer_config(custom_keys=custom))
    assert not any(name.startswith(('stem', 'stages.0')) for name in settings)
    last = settings['stages.3.blocks.1.channel_mlp.fc2.weight']
    assert last['lr'] == pytest.approx(LR * 0.1 * RATE)
    config = optimizer_config()
    del config['optimizer']['weight_decay']
    config['optimizer']['type'] = 'SGD'
    rates = {group['lr'] for group in settings_of(backbone, config).values()}
    assert len(rates) > 5


def test_backbone_learns_at_a_lower_rate():
    backbone = {'type': 'mmvmlp.HireMLP', 'arch': mmvmlp.HireMLP.small_arch, 'out_indices': (-1,)}
    model = model_of('mmpretrain', backbone)
    config = {**optimizer_config(), 'paramwise_cfg': {'backbone_lr_mult': 0.1}}
    for name, group in settings_of(model, config).items():
        rate = LR / 10 if name.startswith('backbone.') else LR
        assert group['lr'] == pytest.approx(rate)
        if name.endswith(('norm1.weight', '.bias')):
            assert group['weight_decay'] == 0


@pytest.mark.parametrize('key', ['layer_decay_rate', 'backbone_lr_mult'])
@pytest.mark.parametrize('rate', [None, 0, 1.5, 'half'])
def test_invalid_rates_are_named(key, rate):
    with pytest.raises(ValueError, match=f'{key}={rate!r}'):
        build_optim_wrapper(nn.Linear(1, 1), optimizer_config(**{key: rate}))


def test_missing_requirements_are_named():
    with pytest.raises(TypeError, match='Linear'):
        build_optim_wrapper(nn.Linear(1, 1), optimizer_config())
    config = optimizer_config()
    del config['optimizer']['lr']
    with pytest.raises(ValueError, match='lr'):
        build_optim_wrapper(MODELS.build({'type': 'mmvmlp.HireMLP'}), config)
    config = optimizer_config()
    del config['paramwise_cfg']['layer_decay_rate']
    with pytest.raises(ValueError, match='layer_decay_rate or backbone_lr_mult is missing'):
        build_optim_wrapper(nn.Linear(1, 1), config)


def test_fine_tuning_keeps_the_ratios_of_learning_rates():
    config = load_config('configs/classify_hire_mlp_s_finetune.py')
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        model = MODELS.build(config.model)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    first = [group['lr'] for group in optimizer.param_groups]
    for settings in config.param_scheduler:
        del settings['convert_to_iter_based']
    schedule = [
        PARAM_SCHEDULERS.build(settings, default_args={'optimizer': optimizer})
        for settings in config.param_scheduler
    ]
    optimizer.step()
    for _ in range(config.train_cfg.max_epochs - 1):
        for scheduler in schedule:
            scheduler.step()
    last = [group['lr'] for group in optimizer.param_groups]
    assert max(last) < 0.1 * max(first)
    assert [rate / max(last) for rate in last] == pytest.approx(
        [rate / max(first) for rate in first]
    )

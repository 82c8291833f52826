"""Parameters and MACs against formulas; the model zoo's tests have the published tables."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import exit_status
from mmengine.config import Config
from torch import nn

from mmvmlp.analysis.complexity import SHAPES, count_complexity
from mmvmlp.config.loading import load_config


def counted(name, *shape):
    config = load_config(f'configs/{name}.py')
    return count_complexity(config, *(shape or SHAPES[config.default_scope]))


def backbone_macs(backbone, height, width):
    config = Config(
        {
            'default_scope': 'mmpretrain',
            'model': {'type': 'mmpretrain.ImageClassifier', 'backbone': backbone},
        }
    )
    (part,) = count_complexity(config, height, width)
    return part.macs


ARCH = {'depth': 4, 'channels': 8, 'patch_size': 16}
# Per block and channel: one product over all 16 native tokens; `resize` brings 6x4 tokens to 4x4
# and back, along H and along W; `window` has two windows.
NATIVE, RESIZE, WINDOW = 16**2, 16**2 + 6 * 4 * 4 + 4 * 4 * 4 + 6 * 4 * 4 + 6 * 4 * 4, 2 * 16**2


@pytest.mark.parametrize(
    ('name', 'arch', 'channels', 'parameters', 'macs'),
    [
        ('classify_smlpnet_t', 'tiny_ratio2', 640, 19.2e6, 4.0e9),
        ('classify_resmlp_s12', 's36', 384, 44.7e6, 8.9e9),
        ('classify_resmlp_s12', 'b24', 768, 115.7e6, 23.0e9),
        ('classify_resmlp_s12', 's12_p8', 384, 22.1e6, 14.0e9),
        ('classify_resmlp_s12', 'b24_p8', 768, 129.1e6, 100.2e9),
    ],
)
def test_published_counts_of_variants_without_a_config(name, arch, channels, parameters, macs):
    config = load_config(f'configs/{name}.py')
    config.model.backbone.arch = arch
    config.model.head.in_channels = channels
    parts = count_complexity(config, *SHAPES[config.default_scope])
    assert sum(part.parameters for part in parts) == pytest.approx(parameters, rel=0.01)
    # The last digit printed is rounded.
    assert sum(part.macs for part in parts) == pytest.approx(macs, rel=0.01, abs=0.055e9)


@pytest.mark.parametrize(
    ('arch', 'channels', 'millions'),
    [
        ('s32', 512, 19),
        ('s16', 512, 18),
        ('b32', 768, 60),
        ('b16', 768, 59),
        ('l32', 1024, 206),
        ('l16', 1024, 207),
        ('h14', 1280, 431),
    ],
)
def test_published_parameters_of_mixers_which_leave_out_the_head(arch, channels, millions):
    config = load_config('configs/classify_mlp_mixer_b16.py')
    config.model.backbone.arch = arch
    config.model.head.in_channels = channels
    parts = {part.name: part for part in count_complexity(config, *SHAPES['mmpretrain'])}
    assert round(parts['backbone'].parameters / 1e6) == millions


def outside_token_mixing(tokens):
    stem, channel_mlp = 3 * 16**2 * 8, 8 * 8**2
    return tokens * (stem + 4 * channel_mlp)


@pytest.mark.parametrize(
    ('height', 'resolution', 'mixing'),
    [
        (64, 'native', NATIVE),
        (64, 'resize', NATIVE),
        (64, 'window', NATIVE),
        (96, 'resize', RESIZE),
        (96, 'window', WINDOW),
    ],
)
def test_dense_token_mixing_is_counted_as_the_formulas_say(height, resolution, mixing):
    backbone = {
        'type': 'mmvmlp.ResMLP',
        'arch': {**ARCH, 'image_size': 64},
        'resolution': resolution,
        'out_indices': (-1,),
    }
    expected = outside_token_mixing(height // 16 * 4) + 4 * 8 * mixing
    assert backbone_macs(backbone, height, 64) == expected


def test_a_shift_has_no_macs():
    # arXiv 2106.07477, section 3.4: 2 c^2 beside the channel MLP, a token and block.
    backbone = {'type': 'mmvmlp.S2MLP', 'arch': ARCH, 'out_indices': (-1,)}
    assert backbone_macs(backbone, 64, 80) == outside_token_mixing(20) + 4 * 20 * 2 * 8**2


def test_parts_of_a_segmentor_and_its_training_only_head():
    parts = {part.name: part for part in counted('upernet_hire_mlp_t', 512, 512)}
    assert list(parts) == ['backbone', 'decode_head', 'auxiliary_head']
    assert parts['auxiliary_head'].macs == 0
    assert parts['auxiliary_head'].parameters > 700_000
    smaller = {part.name: part for part in counted('upernet_hire_mlp_t', 256, 256)}
    assert parts['backbone'].macs > 3.9 * smaller['backbone'].macs


def test_proposals_and_masks_are_counted_each():
    config = load_config('configs/mask_rcnn_hire_mlp_t.py')
    one, two = (
        {part.name: part.macs for part in count_complexity(config, 64, 64, **numbers)}
        for numbers in (
            {'num_proposals': 1, 'num_masks': 1},
            {'num_proposals': 2, 'num_masks': 3},
        )
    )
    assert two['roi_head.bbox_head'] == 2 * one['roi_head.bbox_head']
    assert two['roi_head.mask_head'] == 3 * one['roi_head.mask_head']
    assert one['backbone'] == two['backbone']


@pytest.mark.slow
def test_transformers_have_the_published_macs(tmp_path):
    file = tmp_path / 'dino.py'
    file.write_text("_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'")
    original = Config.fromfile(file)
    original.model.backbone.init_cfg = None
    # Four levels and ResNet-50: 279 G (arXiv 2203.03605, Table 1).
    parts = {part.name: part for part in count_complexity(original, *SHAPES['mmdet'])}
    assert sum(part.macs for part in parts.values()) == pytest.approx(279e9, rel=0.01)
    assert list(parts)[2:] == ['encoder', 'query_selection', 'decoder', 'bbox_head']
    with pytest.raises(ValueError, match='85 positions .* 900 queries of DINO'):
        count_complexity(original, 64, 64)


@pytest.mark.parametrize('method', ['mask2former', 'mask2former_panoptic'])
def test_mask_queries_are_counted(method):
    small, large = (counted(f'{method}_hire_mlp_s', side, side)[-1] for side in (64, 128))
    assert small.name == ('decode_head' if method == 'mask2former' else 'panoptic_head')
    assert small.parameters == large.parameters > 19e6
    # The queries' own layers do not grow with the image.
    assert 1.5 * small.macs < large.macs < 4 * small.macs


def test_a_models_other_parts_are_not_left_out_in_silence():
    class WithMore(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Conv2d(3, 4, 1)
            self.elsewhere = nn.Linear(5, 1)

    config = Config({'model': {'type': WithMore}})
    with pytest.raises(ValueError, match='6 parameters outside backbone'):
        count_complexity(config, 32, 32)
    with pytest.raises(ValueError, match='no backbone'):
        count_complexity(Config({'model': {'type': nn.Identity}}), 32, 32)
    with pytest.raises(ValueError, match='height=0'):
        count_complexity(config, 0, 32)
    assert torch.empty(0).device.type == 'cpu'


def test_the_command_prints_parts_and_total():
    result = subprocess.run(
        [
            *(sys.executable, 'tools/complexity.py', 'configs/mask_rcnn_hire_mlp_s.py'),
            *('--shape', '800', '1280'),
        ],
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
    )
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()[2:]}
    assert rows['total'] == ['52.769', 'M', '255.613', 'G']
    assert list(rows)[1:4] == ['backbone', 'neck', 'rpn_head']


MODEL = """
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmvmlp.S2MLP', arch=dict(depth=4, channels=8), out_indices=(-1,)),
)
"""
CLASSIFIER = MODEL + "default_scope = 'mmpretrain'"
NO_SCOPE = "default_scope=None: the image size is known only for 'mmpretrain', 'mmdet', 'mmseg'"
SHAPE = ('--shape', 32, 32)


@pytest.mark.parametrize(
    ('text', 'arguments', 'message'),
    [
        (MODEL, (), NO_SCOPE),
        (MODEL + "default_scope = 'mmengine'", (), "default_scope='mmengine': the image size"),
        ('model = dict(arch=3)', SHAPE, "the config's model={'arch': 3}: a mapping with a 'type'"),
        (
            MODEL.replace('mmpretrain.', ''),
            SHAPE,
            "the config's model cannot be built with default_scope=None: Ima",
        ),
        (CLASSIFIER, ('--shape', 0, 0), 'height=0: a number above 0 is accepted'),
        (CLASSIFIER, ('--shape', 32, -1), 'width=-1: a number above 0 is accepted'),
        (CLASSIFIER, ('--shape', 8, 8), 'images of 8x8 pixels are too small for S2MLP'),
        (CLASSIFIER, (*SHAPE, '--proposals', -1), 'num_proposals=-1: a number above 0 is accepted'),
        (CLASSIFIER, (*SHAPE, '--masks', 0), 'num_masks=0: a number above 0 is accepted'),
    ],
)
def test_the_command_refuses_with_one_line(text, arguments, message, tmp_path, monkeypatch, capsys):
    config = tmp_path / 'config.py'
    config.write_text(text)
    assert exit_status(monkeypatch, 'tools/complexity.py', config, *arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f'error: {message}')
    assert printed.err.count('\n') == 1
    assert 'total' not in printed.out


@pytest.mark.parametrize('arguments', [SHAPE, ()])
def test_the_command_takes_a_shape_or_that_of_papers(arguments, tmp_path, monkeypatch, capsys):
    config = tmp_path / 'config.py'
    config.write_text(CLASSIFIER)
    assert exit_status(monkeypatch, 'tools/complexity.py', config, *arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith('total')

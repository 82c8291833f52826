"""The contract of every registered backbone, whatever its family."""

import copy
import dataclasses
import inspect
import itertools
import math
import subprocess
import sys
import textwrap
import typing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.export import Dim

import mmvmlp
from mmvmlp.backbones.base import FeatureInfo, registered_families
from mmvmlp.build import smallest_backbones
from mmvmlp.ops import DropPath

BACKBONES = mmvmlp.list_backbones()
FLAGS = ('out_norm', 'norm_eval', 'with_cp')
FAMILIES = registered_families()
every_backbone = pytest.mark.parametrize('name', BACKBONES)
every_family = pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.__name__)
FAMILIES_AND_POLICIES = [
    (family, resolution)
    for family in FAMILIES
    for resolution in ([None] if family.size_free else ['resize', 'window'])
]
every_family_and_policy = pytest.mark.parametrize(
    ('family', 'resolution'),
    FAMILIES_AND_POLICIES,
    ids=lambda value: getattr(value, '__name__', str(value)),
)


def with_policies(names):
    """Return (name, policy) for all policies of registered backbones; None is of the size-free."""
    family_of = {
        f'{family.name_prefix}_{variant}': family
        for family in FAMILIES
        for variant in family.variants
    }
    return [
        (name, resolution)
        for name in names
        for resolution in ([None] if family_of[name].size_free else ['resize', 'window'])
    ]


def small(family, **kwargs):
    torch.manual_seed(0)
    return family(arch=family.small_arch, **kwargs)


def shallow(family, resolution):
    torch.manual_seed(0)
    # Compiling takes as long as there are blocks: one per stage, and two where they alternate.
    fewer = {'depths': (1, 2, 1, 1)} if 'depths' in family.small_arch else {'depth': 4}
    return family(arch={**family.small_arch, **fewer}, resolution=resolution).eval()


@pytest.mark.parametrize(('name', 'resolution'), with_policies(BACKBONES))
def test_maps_are_what_feature_info_says(name, resolution):
    with torch.device('meta'):
        backbone = mmvmlp.build_backbone(name, resolution=resolution)
        maps = backbone(torch.empty(1, 3, 97, 160))
    assert isinstance(maps, tuple)
    assert len(maps) == 4
    for level, info in zip(maps, backbone.feature_info, strict=True):
        assert isinstance(info, FeatureInfo)
        sides = [level.shape[2] - 97 / info.stride, level.shape[3] - 160 / info.stride]
        assert level.shape[:2] == (1, info.channels)
        assert all(abs(side) < 1 for side in sides)


def test_strides_are_those_of_a_pyramid_or_of_the_patches():
    for name in BACKBONES:
        with torch.device('meta'):
            backbone = mmvmlp.build_backbone(name)
        patch_size = getattr(backbone.arch, 'patch_size', None)
        of_a_pyramid = [patch_size] * 4 if patch_size else [4, 8, 16, 32]
        strides = list(getattr(backbone.arch, 'strides', of_a_pyramid))
        assert [info.stride for info in backbone.feature_info] == strides, name


@every_family
def test_the_smallest_variant_has_the_fewest_parameters(family):
    with torch.device('meta'):
        parameters = {
            variant: sum(parameter.numel() for parameter in family(variant).parameters())
            for variant in family.variants
        }
    assert parameters[family.smallest_variant] == min(parameters.values())


@every_backbone
def test_registered_in_the_scope_of_the_package(name):
    from mmengine.registry import MODELS

    with torch.device('meta'):
        family = type(mmvmlp.build_backbone(name))
        variant = name.removeprefix(f'{family.name_prefix}_')
        built = MODELS.build({'type': f'mmvmlp.{family.__name__}', 'arch': variant})
    assert type(built) is family


@every_family_and_policy
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_forward_and_backward_at_any_size(family, resolution, data):
    backbone = small(family, out_norm=True, resolution=resolution)
    smallest = backbone.minimum_size
    height, width = (data.draw(st.integers(smallest, 320)) for _ in range(2))
    maps = backbone(torch.randn(2, 3, height, width))
    sum(level.square().mean() for level in maps).backward()
    for level, info in zip(maps, backbone.feature_info, strict=True):
        assert level.shape[1] == info.channels
        for side, pixels in zip(level.shape[2:], (height, width), strict=True):
            assert abs(side - pixels / info.stride) < 1
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def assert_runs_forward_and_backward(backbone, height, width):
    """Run it in float32 and in bfloat16 autocast: maps, strides and gradients must be right."""
    image = torch.randn(1, 3, height, width)
    for autocast in (False, True):
        backbone.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            maps = backbone(image)
        sum(level.float().square().mean() for level in maps).backward()
        for level, info in zip(maps, backbone.feature_info, strict=True):
            assert level.shape[:2] == (1, info.channels)
            for side, pixels in zip(level.shape[2:], (height, width), strict=True):
                assert abs(side - pixels / info.stride) < 1
            assert level.isfinite().all()
        for key, parameter in backbone.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize(
    ('name', 'resolution'),
    with_policies(smallest_backbones()),
)
def test_a_published_network_of_each_family_runs_below_and_above_its_native_size(name, resolution):
    # Batch statistics of one image are undefined where a level is a single position.
    backbone = mmvmlp.build_backbone(name, resolution=resolution, norm_eval=True)
    for sides in ((129, 70), (65, 273)):
        assert_runs_forward_and_backward(backbone, *sides)


@every_family_and_policy
def test_runs_at_the_size_of_a_detectors_images(family, resolution):
    assert_runs_forward_and_backward(small(family, resolution=resolution), 800, 1216)


@every_family
@pytest.mark.parametrize('out_norm', [False, True])
@pytest.mark.parametrize(
    'out_indices',
    [levels for n in (1, 2, 3, 4) for levels in itertools.combinations(range(4), n)],
    ids=str,
)
def test_no_parameter_is_unused(family, out_indices, out_norm):
    backbone = small(family, out_indices=out_indices, out_norm=out_norm)
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert len(maps) == len(out_indices)
    sum(level.sum() for level in maps).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@every_family
def test_out_indices_are_kept_in_order_and_left_alone(family):
    given_indices = [3, -4, 1]
    backbone = small(family, out_indices=given_indices).eval()
    assert given_indices == [3, -4, 1]
    ordered = small(family).eval()
    image = torch.randn(1, 3, 64, 64)
    for level, index in zip(backbone(image), (3, 0, 1), strict=True):
        torch.testing.assert_close(level, ordered(image)[index])
    assert backbone.feature_info == tuple(ordered.feature_info[index] for index in (3, 0, 1))


@every_family
@pytest.mark.parametrize(
    'out_indices', [(0, 4), (-5,), (1, 1), (3, -1), (), (0.5,), (True,), 2, '01']
)
def test_wrong_out_indices_are_refused(family, out_indices):
    with pytest.raises(ValueError, match=r'out_indices=.*0-3'):
        small(family, out_indices=out_indices)


@every_family
@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        *(('in_channels', value) for value in (0, 3.0, True, '3', None)),
        *(('drop_path_rate', value) for value in (1.0, -0.1, True, '0.1', math.nan, None)),
        *(('frozen_stages', value) for value in (5, -2, True, 1.0, None)),
        *((flag, value) for flag in FLAGS for value in ('no', 1, None)),
        ('resolution', 'stretch'),
        ('norm_cfg', {'type': 'BatchNormalisation'}),
        ('norm_cfg', {'eps': 1e-6}),
        ('norm_cfg', 'BN'),
    ],
)
def test_wrong_values_are_named(family, argument, value):
    with pytest.raises(ValueError, match=f'{argument}='):
        small(family, **{argument: value})


@every_family
def test_numbers_of_numpy_are_numbers(family):
    backbone = small(
        family,
        in_channels=np.int64(3),
        out_indices=np.arange(2).tolist() + [np.int64(-1)],
        frozen_stages=np.int8(1),
        drop_path_rate=np.float32(0.5),
    )
    assert len(backbone(torch.randn(2, 3, 64, 64))) == 3
    for name in ('in_channels', 'frozen_stages', 'drop_path_rate'):
        assert type(getattr(backbone, name)) in (int, float), name


def wrong_values(wanted):
    """Return values that no field of a type accepts."""
    if typing.get_origin(wanted) is tuple:
        element, *others = typing.get_args(wanted)
        values = [(value, *(1 for _ in others)) for value in wrong_values(element)]
        return [*values, (), (4,) * len(others), '4444', 4, None, {4: 4}]
    if wanted is bool or typing.get_origin(wanted) is typing.Literal:
        return ['no', 0, 1, None]
    wrong = [-1, math.nan, math.inf, None, 'x', '4', True, [4]]
    return [*wrong, 0] if wanted is float else [*wrong, 4.0]


ARCHITECTURES = [type(next(iter(family.variants.values()))) for family in FAMILIES]


@pytest.mark.parametrize(
    ('family', 'field', 'value'),
    [
        pytest.param(family, field, value, id=f'{family.__name__}-{field}-{value!r}')
        for family, architecture in zip(FAMILIES, ARCHITECTURES, strict=True)
        for field, wanted in typing.get_type_hints(architecture).items()
        for value in wrong_values(wanted)
    ],
)
def test_wrong_fields_of_an_architecture_are_named_with_what_is_accepted(family, field, value):
    with pytest.raises(ValueError, match=rf'^arch field {field}=.*accepted') as refused:
        family(arch={**family.small_arch, field: value})
    assert repr(value) in str(refused.value)


@every_family
def test_fields_of_an_architecture_may_be_lists_and_numbers_of_numpy(family):
    def other(value):
        if isinstance(value, tuple):
            return [other(element) for element in value]
        return value if isinstance(value, bool | str) else np.array(value)[()]

    with torch.device('meta'):
        expected = small(family).arch
        fields = dataclasses.asdict(expected)
        arch = family(arch={name: other(value) for name, value in fields.items()}).arch
    assert arch == expected
    assert repr(arch) == repr(expected)


@every_family
def test_an_mlp_without_hidden_channels_is_refused(family):
    variant = next(iter(family.variants.values()))
    by_stage = hasattr(variant, 'mlp_ratios')

    def build(ratio):
        field = {'mlp_ratios': (ratio,) * 4} if by_stage else {'mlp_ratio': ratio}
        family(arch={**family.small_arch, **field})

    build(0.125)
    with pytest.raises(ValueError, match='mlp_ratio=0.12: .*1/8 is accepted'):
        build(0.12)


@pytest.mark.parametrize('resolution', ['resize', 'window'])
@pytest.mark.parametrize('family', [family for family in FAMILIES if not family.size_free])
@torch.no_grad()
def test_policies_change_nothing_at_the_native_size(family, resolution):
    native = small(family, resolution='native').double().eval()
    backbone = small(family, resolution=resolution).double().eval()
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for ours, theirs in zip(backbone(image), native(image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@every_family
def test_native_refuses_other_sizes_and_names_the_policies(family):
    backbone = small(family, resolution='native')
    assert len(backbone(torch.randn(2, 3, 64, 64))) == 4
    if family.size_free:
        assert len(backbone(torch.randn(2, 3, 96, 64))) == 4
        return
    with pytest.raises(ValueError, match=r"96x64.*64x64 only.*'resize'.*'window'"):
        backbone(torch.randn(1, 3, 96, 64))


@every_family
def test_misspelled_arguments_are_named_with_what_is_accepted(family):
    with pytest.raises(TypeError, match=r"'drop_path'.*mean 'drop_path_rate'.*with_cp"):
        small(family, drop_path=0.1)


@every_family
def test_unknown_architectures_name_the_known_ones(family):
    variants = ', '.join(map(repr, family.variants))
    with pytest.raises(ValueError, match=f"arch='huge'.*{variants}"):
        family(arch='huge')
    with pytest.raises(ValueError, match='deepness.*accepts depth'):
        family(arch={**family.small_arch, 'deepness': 3})
    with pytest.raises(ValueError, match="'depths?'"):
        family(arch={})


def test_backbones_are_listed_by_pattern():
    assert mmvmlp.list_backbones('hire*') == [
        'hire_mlp_tiny',
        'hire_mlp_small',
        'hire_mlp_base',
        'hire_mlp_large',
    ]
    assert mmvmlp.list_backbones('resnet*') == []


@every_family
@pytest.mark.parametrize(
    ('shape', 'named'),
    [
        ((1, 4, 64, 64), '4'),
        ((3, 64, 64), '3, 64'),
    ],
)
def test_images_that_cannot_be_used_are_refused(family, shape, named):
    with pytest.raises(ValueError, match=named):
        small(family)(torch.zeros(shape))


@every_family
def test_images_below_the_minimum_size_are_refused_with_it(family):
    backbone = small(family)
    least = max(info.stride for info in backbone.feature_info)
    assert len(backbone.eval()(torch.zeros(1, 3, least, least))) == 4
    for height, width in ((least - 1, 64), (64, least - 1), (1, 1)):
        with pytest.raises(ValueError, match=f'{height}x{width} .* at least {least}'):
            backbone(torch.zeros(1, 3, height, width))


@every_family_and_policy
@pytest.mark.parametrize('sides', [(64, 64), (96, 50)], ids=str)
def test_no_images_give_maps_of_no_images(family, resolution, sides):
    backbone = small(family, resolution=resolution, out_norm=True)
    maps = backbone(torch.zeros(0, 3, *sides))
    assert [level.shape[1:] for level in maps] == [
        level.shape[1:] for level in backbone(torch.zeros(2, 3, *sides))
    ]
    assert [len(level) for level in maps] == [0] * 4
    sum(level.sum() for level in maps).backward()
    assert all(not parameter.grad.any() for parameter in backbone.parameters())
    assert all(statistic.isfinite().all() for statistic in backbone.buffers())


@every_family
def test_other_channels_than_three(family):
    maps = small(family, in_channels=5)(torch.randn(1, 5, 64, 64))
    assert len(maps) == 4


@every_family
def test_drop_path_follows_the_familys_schedule(family):
    backbone = small(family, drop_path_rate=0.3)
    stages = [
        [next((m.rate for m in b.modules() if isinstance(m, DropPath)), 0.0) for b in stage.blocks]
        for stage in backbone.stages
    ]
    every = [*itertools.chain(*stages)]
    first = 0.3 if family.has_constant_drop_path else 0.0
    for rates in stages if family.has_drop_path_per_stage else [every]:
        expected = torch.linspace(first, 0.3, len(rates)).tolist()
        # Stages may have no drop path at all.
        assert rates == pytest.approx(expected) or not any(rates)
    assert max(every) == pytest.approx(0.3)


@every_family
def test_drop_path_acts_in_training_only(family):
    backbone = small(family, drop_path_rate=0.9, norm_eval=True)
    image = torch.randn(8, 3, 64, 64)
    assert not torch.equal(backbone.train()(image)[3], backbone(image)[3])
    torch.testing.assert_close(backbone.eval()(image)[3], backbone(image)[3])


@every_family
@pytest.mark.parametrize('frozen_stages', [-1, 0, 2, 4])
def test_frozen_stages_stay_as_they_are(family, frozen_stages):
    backbone = small(family, frozen_stages=frozen_stages, out_norm=True)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    assert backbone.train() is backbone
    backbone(torch.randn(2, 3, 64, 64))
    frozen = ['stem.'] * (frozen_stages >= 0) + [f'stages.{i}.' for i in range(frozen_stages)]
    for key, parameter in backbone.named_parameters():
        assert parameter.requires_grad != key.startswith(tuple(frozen)), key
    for key, statistic in backbone.named_buffers():
        assert torch.equal(statistic, before[key]) == key.startswith(tuple(frozen)), key


@every_family
def test_norm_eval_keeps_running_statistics(family):
    backbone = small(family, norm_eval=True).train()
    before = {key: t.clone() for key, t in backbone.state_dict().items() if 'running' in key}
    backbone(torch.randn(2, 3, 64, 64))
    after = backbone.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@every_family
def test_recomputing_blocks_changes_neither_gradients_nor_statistics(family):
    image = torch.randn(2, 3, 64, 64)
    plain, recomputed = small(family), small(family, with_cp=True)
    for backbone in (plain, recomputed):
        sum(level.square().mean() for level in backbone(image)).backward()
    for (key, ours), theirs in zip(plain.named_parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, msg=key)
    for (key, ours), theirs in zip(plain.named_buffers(), recomputed.buffers(), strict=True):
        torch.testing.assert_close(theirs, ours, msg=key)


@every_family
def test_layer_depths_follow_the_data(family):
    backbone = small(family, out_norm=True)
    num_blocks = sum(len(stage.blocks) for stage in backbone.stages)
    depths = {}
    for name, _ in backbone.named_parameters():
        depth, num_layers = backbone.get_layer_depth(f'backbone.{name}', 'backbone.')
        assert num_layers == num_blocks + 2
        depths.setdefault(depth, name)
    assert sorted(depths) == list(range(num_blocks + 2))
    assert depths[0].startswith('stem')
    assert depths[num_blocks + 1].startswith('norm')
    assert backbone.get_layer_depth('neck.conv.weight', 'backbone.')[0] == num_blocks + 1


@every_family
def test_trains_in_bfloat16_autocast(family):
    backbone = small(family)
    image = torch.randn(2, 3, 70, 97)
    exact = backbone(image)
    with torch.autocast('cpu', torch.bfloat16):
        maps = backbone(image)
    assert maps[0].dtype == torch.bfloat16
    sum(level.float().square().mean() for level in maps).backward()
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())
    # Two training passes: batch norms use the batch, so both see the same statistics.
    assert (
        torch.nn.functional.cosine_similarity(
            maps[-1].float().flatten(), exact[-1].flatten(), dim=0
        )
        > 0.98
    )


@every_family
def test_channels_last_inside_and_nchw_outside(family):
    backbone = small(family)
    seen = []
    for stage in backbone.stages:
        for block in stage.blocks:
            block.register_forward_hook(lambda *call: seen.append(call[-1]))
    maps = backbone(torch.randn(2, 3, 70, 97))
    assert all(level.is_contiguous() for level in maps)
    assert seen
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


@every_family
def test_rois_are_cut_where_they_lie(family):
    from mmcv.ops import RoIAlign

    backbone = small(family).eval()
    stride = backbone.feature_info[0].stride
    level = backbone(torch.randn(1, 3, 16 * stride, 12 * stride))[0]
    whole = torch.tensor([[0.0, 0.0, 0.0, 12.0 * stride, 16.0 * stride]])
    cut = RoIAlign((16, 12), 1 / stride, sampling_ratio=1)(level, whole)
    torch.testing.assert_close(cut, level)


@every_family_and_policy
def test_exports_with_any_height_and_width(family, resolution):
    backbone = shallow(family, resolution)
    sides = {2: Dim('height', min=96, max=2048), 3: Dim('width', min=96, max=2048)}
    exported = torch.export.export(
        backbone, (torch.randn(2, 3, 101, 130),), dynamic_shapes=(sides,)
    ).module()
    for height, width in ((96, 96), (113, 288), (320, 99)):
        image = torch.randn(2, 3, height, width)
        for ours, theirs in zip(backbone(image), exported(image), strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@every_family_and_policy
@torch.no_grad()
def test_compiles_whole_with_any_height_and_width(family, resolution):
    torch._dynamo.reset()
    backbone = shallow(family, resolution)
    # One graph for all sizes, of the code that is taken when compiling; the next test generates
    # machine code.
    compiled = torch.compile(backbone, fullgraph=True, dynamic=True, backend='eager')
    with torch._dynamo.config.patch(error_on_recompile=True):
        for height, width in ((101, 130), (96, 288), (160, 97)):
            image = torch.randn(2, 3, height, width)
            for ours, theirs in zip(backbone(image), compiled(image), strict=True):
                torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('family', 'resolution'),
    # ResMLP's blocks are MLP-Mixer's, with one linear layer less and affine norms.
    [case for case in FAMILIES_AND_POLICIES if case[0].__name__ != 'ResMLP'],
    ids=lambda value: getattr(value, '__name__', str(value)),
)
@torch.no_grad()
def test_a_block_compiles_to_machine_code(family, resolution):
    torch._dynamo.reset()
    backbone = shallow(family, resolution)
    # The last of a stage that has two blocks where they alternate.
    block, channels = backbone.stages[1].blocks[-1], backbone.feature_info[1].channels
    x = torch.randn(2, channels, 13, 17).contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(block, fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(x), block(x), rtol=1e-4, atol=1e-5)


@every_family
def test_recomputation_compiles_and_counts_each_batch_once(family):
    torch._dynamo.reset()
    ordinary = shallow(family, None).train()
    backbone = copy.deepcopy(ordinary)
    backbone.with_cp = True
    images = torch.randn(2, 3, 64, 96)
    # Tracing the backward pass is what failed; the code generator does not matter here.
    compiled = torch.compile(backbone, fullgraph=True, backend='aot_eager')
    for network in (ordinary, compiled):
        sum(level.square().mean() for level in network(images)).backward()
    for ours, theirs in zip(backbone.parameters(), ordinary.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(backbone.buffers(), ordinary.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


@every_family
def test_signature_has_no_catch_all(family):
    kinds = {parameter.kind for parameter in inspect.signature(family).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def test_runs_where_only_torch_and_mmengine_are_installed():
    program = """
        import sys
        for name in ('mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'torchvision', 'sklearn'):
            sys.modules[name] = None
        import torch, mmvmlp
        from mmvmlp.build import smallest_backbones
        for name in smallest_backbones():
            backbone = mmvmlp.build_backbone(name, out_norm=True)
            print(len(backbone(torch.randn(2, 3, 64, 64))))
    """
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(program)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ['4'] * len(FAMILIES)

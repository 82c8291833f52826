"""Configs train as was published: the numbers of papers and released code, written here again."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from leaf_configs import OTHER_DATA

from mmvmlp.config.loading import load_config


class Recipe(NamedTuple):
    """Optimiser, learning rate, weight decay, images a step, epochs or iterations, warm-up."""

    optimizer: str
    lr: float
    weight_decay: float
    batch: int
    length: int
    warm_up: int | None


COCO_1X = Recipe('AdamW', 1e-4, 0.05, 16, 12, 500)
DEIT = Recipe('AdamW', 1e-3, 0.05, 1024, 300, 20)
# By name of the config; the first pattern that fits counts.
RECIPES = {
    'mask_rcnn_.*_cityscapes': COCO_1X._replace(lr=5e-5, batch=8, length=8),
    'faster_rcnn_.*_voc': COCO_1X._replace(lr=5e-5, length=4),
    'retinanet_.*_objects365': COCO_1X._replace(warm_up=10_000),
    'upernet_.*_cityscapes': Recipe('AdamW', 6e-5, 0.01, 16, 160_000, 1500),
    'upernet_.*_voc': Recipe('AdamW', 6e-5, 0.01, 16, 40_000, 1500),
    '(mask_rcnn|retinanet)_(conv|raft)_mlp_.*': COCO_1X._replace(weight_decay=1e-4),
    '(cascade_)?mask_rcnn_.*_3x': COCO_1X._replace(length=36),
    '((cascade_)?mask_rcnn|faster_rcnn|retinanet)_.*': COCO_1X,
    'dino_.*': Recipe('AdamW', 1e-4, 1e-4, 16, 12, None),
    'rtmdet_ins_.*': Recipe('AdamW', 4e-3, 0.05, 256, 300, 1000),
    'mask2former_panoptic_.*': Recipe('AdamW', 1e-4, 0.05, 16, 368_750, None),
    'mask2former_.*': Recipe('AdamW', 1e-4, 0.05, 16, 160_000, None),
    'upernet_.*_160k': Recipe('AdamW', 6e-5, 0.01, 16, 160_000, 1500),
    'upernet_.*': Recipe('AdamW', 1.2e-4, 0.01, 32, 80_000, 800),
    'sem_fpn_.*': Recipe('AdamW', 2e-4, 0.05, 32, 40_000, None),
    'classify_hire_mlp_t': DEIT._replace(lr=2e-3, batch=2048),
    'classify_(wave|cycle)_mlp_.*': DEIT._replace(warm_up=5),
    'classify_s2_mlp_v2_.*': DEIT._replace(lr=2e-3, warm_up=10),
    'classify_vip_.*': DEIT._replace(lr=2e-3, batch=2048),
    'classify_conv_mlp_.*': DEIT._replace(lr=5e-4, length=310),
    'classify_raft_mlp_.*': Recipe('AdamW', 2e-3, 0.05, 2048, 305, 5),
    'classify_resmlp_.*': Recipe('Lamb', 5e-3, 0.2, 2048, 400, 5),
    'classify_mlp_mixer_.*': Recipe('AdamW', 1e-3, 0.1, 4096, 300, 32),
    'classify_.*': DEIT,
}
# Recipes of our own.
UNPUBLISHED = '.*_(digits|finetune)'
CONFIGS = [
    path.stem
    for path in sorted(Path('configs').glob('*.py'))
    if not re.fullmatch(UNPUBLISHED, path.stem)
]
DROP_PATH_RATES = {
    'classify_as_mlp_{}': {'t': 0.2, 's': 0.3, 'b': 0.5},
    'mask_rcnn_as_mlp_{}': {'t': 0.2, 's': 0.2},
    'mask_rcnn_as_mlp_{}_3x': {'t': 0.2, 's': 0.2},
    'cascade_mask_rcnn_as_mlp_{}': {'t': 0.1, 's': 0.1, 'b': 0.2},
    'cascade_mask_rcnn_as_mlp_{}_3x': {'t': 0.2, 's': 0.2, 'b': 0.3},
    'upernet_as_mlp_{}_160k': {'t': 0.3, 's': 0.3, 'b': 0.5},
    'classify_conv_mlp_{}': {'s': 0.1, 'm': 0.1, 'l': 0.1},
    'mask_rcnn_conv_mlp_{}': {'s': 0.1, 'm': 0.1, 'l': 0.1},
    'sem_fpn_conv_mlp_{}': {'s': 0.1, 'm': 0.1, 'l': 0.1},
    'mask_rcnn_hire_mlp_{}': {'t': 0.0, 's': 0.1, 'b': 0.2, 'l': 0.3},
    'upernet_hire_mlp_{}': {'s': 0.2},
    'classify_raft_mlp_{}': {'s': 0.1, 'm': 0.1, 'l': 0.1},
    'mask_rcnn_raft_mlp_{}': {'s': 0.0, 'm': 0.0, 'l': 0.0},
    'sem_fpn_raft_mlp_{}': {'s': 0.0, 'm': 0.0, 'l': 0.0},
    'classify_smlpnet_{}': {'t': 0.0, 's': 0.2, 'b': 0.3},
    'classify_resmlp_{}': {'s12': 0.05},
    'classify_wave_mlp_{}': {'t': 0.1, 's': 0.1, 'm': 0.1},
    'classify_s2_mlp_v2_{}': {'small7': 0.1},
    'classify_vip_{}': {'small7': 0.1},
    'classify_cycle_mlp_{}': {'b1': 0.1, 'b2': 0.1, 'b3': 0.1},
}
# Sides that the shorter side is scaled to before a crop of 224 pixels: 0.875 and 0.9 of it.
TEST_SIDES = {
    'as_mlp_s': 256,
    'conv_mlp_s': 248,
    'hire_mlp_s': 256,
    'raft_mlp_s': 256,
    'smlpnet_s': 256,
    'resmlp_s12': 248,
    'mlp_mixer_b16': 256,
    'wave_mlp_s': 248,
    'vip_small7': 248,
    'cycle_mlp_b2': 256,
}
# Detectors whose published 1x schedule trains with random short sides of 480-800.
MULTISCALE = '(cascade_)?mask_rcnn_as_mlp_.*'


@pytest.mark.parametrize('name', CONFIGS)
def test_optimiser_and_schedule_are_the_published_ones(name):
    config = load_config(f'configs/{name}.py')
    optimizer, schedules = config.optim_wrapper.optimizer, config.param_scheduler
    schedule = schedules[0] if isinstance(schedules, list) else schedules
    recipe = Recipe(
        optimizer.type,
        optimizer.lr,
        optimizer.weight_decay,
        config.auto_scale_lr.base_batch_size,
        config.train_cfg.get('max_epochs') or config.train_cfg.max_iters,
        schedule.end if schedule.type == 'LinearLR' else None,
    )
    published = next(value for names, value in RECIPES.items() if re.fullmatch(names, name))
    assert recipe == published


@pytest.mark.parametrize('name', DROP_PATH_RATES)
def test_drop_path_is_the_published_one(name):
    rates = {
        size: load_config(f'configs/{name.format(size)}.py').model.backbone.drop_path_rate
        for size in DROP_PATH_RATES[name]
    }
    assert rates == DROP_PATH_RATES[name]


@pytest.mark.parametrize('network', TEST_SIDES)
def test_classifiers_are_tested_on_the_published_crop(network):
    resize, crop = (
        step
        for step in load_config(f'configs/classify_{network}.py').test_dataloader.dataset.pipeline
        if step.type in ('ResizeEdge', 'CenterCrop')
    )
    assert (resize.scale, crop.crop_size) == (TEST_SIDES[network], 224)


@pytest.mark.parametrize('network', ['conv_mlp_s', 'smlpnet_s', 'wave_mlp_s'])
def test_weights_are_averaged_as_in_the_official_code(network):
    hooks = load_config(f'configs/classify_{network}.py').custom_hooks
    (average,) = (hook for hook in hooks if hook.type == 'EMAHook')
    # What is called momentum here is 1 less the decay of 0.99996.
    assert average.momentum == pytest.approx(1 - 0.99996)


@pytest.mark.parametrize('size', ['s12', 's24'])
def test_distillation_changes_the_loss_of_resmlps_recipe_only(size):
    plain, distilled = (
        load_config(f'configs/classify_resmlp_{size}{ending}.py').to_dict()
        for ending in ('', '_distill')
    )
    assert plain['model'].pop('type') == 'ImageClassifier'
    model = distilled['model']
    assert model.pop('type') == 'mmvmlp.DistilledClassifier'
    assert model.pop('distillation') == 'hard'
    assert model.pop('teacher') == {'model': 'timm/regnety_160.deit_in1k', 'checkpoint': True}
    own = distilled.pop('custom_imports')['imports']
    assert own == [*plain.pop('custom_imports')['imports'], 'mmvmlp.engine.distillation']
    assert distilled == plain


COCO_DETECTORS = '((cascade_)?mask_rcnn|faster_rcnn|retinanet)_.*'


@pytest.mark.parametrize(
    'name',
    [
        name
        for name in CONFIGS
        if re.fullmatch(COCO_DETECTORS, name) and not name.endswith(('_3x', *OTHER_DATA))
    ],
)
def test_detectors_see_images_of_the_published_size(name):
    pipeline = load_config(f'configs/{name}.py').train_dataloader.dataset.pipeline
    several = re.fullmatch(MULTISCALE, name)
    published = [(1333, 480), (1333, 800)] if several else (1333, 800)
    assert [step.scale for step in pipeline if 'scale' in step] == [published]


# By name of the config: what a step of training and one of testing sees, and how often an image is
# repeated.
OTHER_DATA_SETS = {
    'mask_rcnn_hire_mlp_s_cityscapes': ([(2048, 800), (2048, 1024)], (2048, 1024), ('times', 8)),
    'faster_rcnn_hire_mlp_s_voc': ((1000, 600), (1000, 600), ('times', 3)),
    'mask_rcnn_hire_mlp_s_lvis': (
        [(1333, short) for short in range(640, 801, 32)],
        (1333, 800),
        ('oversample_thr', 1e-3),
    ),
    'retinanet_hire_mlp_s_objects365': ((1333, 800), (1333, 800), None),
    'upernet_hire_mlp_s_cityscapes': ((2048, 1024), (2048, 1024), None),
    'upernet_hire_mlp_s_voc': ((2048, 512), (2048, 512), None),
}


@pytest.mark.parametrize('name', [name for name in CONFIGS if name.endswith(OTHER_DATA)])
def test_other_data_sets_are_read_as_in_the_toolboxes(name):
    config = load_config(f'configs/{name}.py')
    trained, tested, repeated = OTHER_DATA_SETS[name]
    dataset = config.train_dataloader.dataset
    if repeated:
        key, value = repeated
        assert dataset[key] == value
        dataset = dataset.dataset
    for part in dataset.get('datasets', [dataset]):
        (resize,) = (step for step in part.pipeline if 'Resize' in step.type)
        assert resize.get('scale', resize.get('scales')) == trained
        assert part.pipeline[0].backend_args.backend == 'mmvmlp'
    load, resize, *_ = config.test_dataloader.dataset.pipeline
    assert load.backend_args.backend == 'mmvmlp'
    assert resize.scale == tested


def test_tests_on_lvis_keep_as_many_boxes_as_it_allows():
    config = load_config('configs/mask_rcnn_hire_mlp_s_lvis.py').model.test_cfg.rcnn
    assert (config.max_per_img, config.score_thr) == (300, 1e-4)


def test_as_mlps_classifier_clips_gradients_and_ends_low():
    config = load_config('configs/classify_as_mlp_t.py')
    assert config.optim_wrapper.clip_grad.max_norm == 5
    assert config.param_scheduler[-1].eta_min == 5e-6


def test_segmentors_have_the_released_auxiliary_head_and_scales():
    config = load_config('configs/upernet_hire_mlp_s.py')
    assert config.model.auxiliary_head.loss_decode.loss_weight == 0.4
    resize, crop = config.train_dataloader.dataset.pipeline[2:4]
    assert (resize.scale, resize.ratio_range) == ((2048, 512), (0.5, 2.0))
    assert crop.crop_size == (512, 512)

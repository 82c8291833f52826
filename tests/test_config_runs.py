"""A config of each method and family trains for a step, and predicts, on data of its layout."""

import dataclasses
from pathlib import Path

import pytest
import torch
from leaf_configs import by_method_and_family
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.datasets.digit_scenes import make_digit_scenes

# tests/test_configs.py compares the others of a group with this one.
CONFIGS = [paths[0] for paths in by_method_and_family().values()]
# The sides of images are divided by this, to a size that a test can afford.
SHRINKAGE = {'mmdet': 8, 'mmseg': 8, 'mmpretrain': 3.5}


@pytest.fixture(scope='module')
def folders(tmp_path_factory, coco_named_folder, digits_folder):
    """Return the data of each toolbox, and of the configs for the digit scenes."""
    made = tmp_path_factory.mktemp('data')
    make_digit_scenes(made / 'ade', 'ade', train=4, val=2, size=(96, 128), progress=False)
    make_digit_scenes(made / 'imagenet', 'imagenet', train=10, val=10, progress=False)
    return {
        'mmdet': coco_named_folder,
        'mmseg': made / 'ade',
        'mmpretrain': made / 'imagenet',
        'digits': digits_folder,
    }


def shrunk(value, factor):
    """Return a pipeline with smaller sizes."""
    if isinstance(value, dict):
        return {
            key: smaller(item, factor) if key in ('scale', 'crop_size') else shrunk(item, factor)
            for key, item in value.items()
        }
    return [shrunk(item, factor) for item in value] if isinstance(value, list) else value


def smaller(size, factor):
    if isinstance(size, (list, tuple)):
        return type(size)(smaller(side, factor) for side in size)
    return int(size / factor)


def shallow(backbone):
    """Return the architecture of a config's backbone with a block a stage, and all its channels."""
    with torch.device('meta'):
        arch = MODELS.build(backbone).arch
    fields = dataclasses.asdict(arch)
    return {**fields, **({'depth': 4} if 'depth' in fields else {'depths': (1, 1, 1, 1)})}


def on_small_data(path: Path, folders) -> Config:
    config = load_config(path)
    config.model.backbone.arch = shallow(config.model.backbone)
    scope = config.default_scope
    digits = path.stem.endswith('_digits')
    set_data_root(config, folders['digits' if digits and scope == 'mmdet' else scope])
    for split in ('train', 'val'):
        loader = config[f'{split}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.sampler.type = 'DefaultSampler'
        if not digits:
            loader.dataset.pipeline = shrunk(loader.dataset.pipeline, SHRINKAGE[scope])
    for split in ('train', 'val'):
        # The data set of ImageNet insists on its thousand classes.
        dataset = config[f'{split}_dataloader'].dataset
        if dataset.type == 'ImageNet':
            dataset.type, dataset.data_prefix = 'CustomDataset', dataset.pop('split')
    if 'roi_head' in config.model:
        stages = config.model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 32
        config.model.test_cfg.rpn.max_per_img = 100
    if 'teacher' in config.model:
        # Its published weights are a download.
        config.model.teacher.update(model='timm/resnet10t', checkpoint=False)
    if scope == 'mmseg':
        config.model.data_preprocessor.size = (64, 64)
    config.model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    return config


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_trains_a_step_and_predicts(path, folders):
    torch.manual_seed(0)
    config = on_small_data(path, folders)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    batch = next(iter(Runner.build_dataloader(config.train_dataloader)))
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    loss, _ = model.parse_losses(losses)
    assert loss.isfinite()
    loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    before = [parameter.detach().clone() for parameter in model.parameters()]
    wrapper.step()
    after = list(model.parameters())
    assert all(parameter.isfinite().all() for parameter in after)
    assert not all(torch.equal(*pair) for pair in zip(before, after, strict=True))

    model.eval()
    batch = next(iter(Runner.build_dataloader(config.val_dataloader)))
    (first, *_) = model.val_step(batch)
    if config.default_scope == 'mmdet':
        assert first.pred_instances.scores.isfinite().all()
        assert {'bboxes', 'labels'} <= set(first.pred_instances.keys())
        assert ('masks' in first.pred_instances) == ('roi_head' in config.model)
    elif config.default_scope == 'mmseg':
        assert first.pred_sem_seg.data.shape[1:] == first.ori_shape
    else:
        assert first.pred_score.shape == (config.model.head.num_classes,)
        assert first.pred_score.sum().item() == pytest.approx(1, abs=1e-4)

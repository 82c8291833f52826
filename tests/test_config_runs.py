"""A config of each method and family trains for a step, and predicts, on data of its layout."""

import dataclasses
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from layouts import (
    add_panoptic_annotations,
    make_cityscapes,
    make_lvis,
    make_objects365,
    make_voc,
)
from leaf_configs import by_method_and_family
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from pycocotools.coco import COCO

from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.datasets.digit_scenes import make_digit_scenes

# tests/test_configs.py compares the others of a group with this one.
CONFIGS = [paths[0] for paths in by_method_and_family().values()]
# The sides of images are divided by this, to a size that a test can afford.
SIZES = ('scale', 'scales', 'size', 'img_scale', 'crop_size', 'max_size', 'bbox_min_size')
SHRINKAGE = {'mmdet': 8, 'mmseg': 8, 'mmpretrain': 3.5}


@pytest.fixture(scope='module')
def folders(tmp_path_factory, coco_named_folder, digits_folder):
    """Return a folder of data for each folder that a config names."""
    add_panoptic_annotations(coco_named_folder)
    made = tmp_path_factory.mktemp('data')
    make_digit_scenes(made / 'ade', 'ade', train=4, val=2, size=(96, 128), progress=False)
    make_digit_scenes(made / 'imagenet', 'imagenet', train=10, val=10, progress=False)
    return {
        'data/coco/': coco_named_folder,
        'data/digits/': digits_folder,
        **dict.fromkeys(('data/ade/ADEChallengeData2016/', 'data/digits_ade/'), made / 'ade'),
        **dict.fromkeys(
            ('data/imagenet/', 'data/digits_classes/', 'data/images/'), made / 'imagenet'
        ),
        'data/cityscapes/': make_cityscapes(coco_named_folder, made / 'cityscapes'),
        'data/VOCdevkit/': make_voc(coco_named_folder, made / 'voc'),
        'data/VOCdevkit/VOC2012/': made / 'voc/VOC2012',
        'data/lvis_v1/': make_lvis(coco_named_folder, made / 'lvis'),
        'data/Objects365/Obj365_v2/': make_objects365(coco_named_folder, made / 'objects365'),
    }


@pytest.fixture
def _readers(monkeypatch):
    """Stand in for the readers of COCO's and LVIS's authors, which are on GitHub only.

    The release of lvis on PyPI fails with newer versions of numpy.
    """
    utils = SimpleNamespace(rgb2id=lambda colours: colours.astype(np.int64) @ [1, 256, 256**2])
    monkeypatch.setitem(sys.modules, 'panopticapi', SimpleNamespace(utils=utils))
    monkeypatch.setitem(sys.modules, 'panopticapi.utils', utils)
    monkeypatch.setitem(sys.modules, 'lvis', SimpleNamespace(LVIS=LVIS))


class LVIS(COCO):
    """The methods of lvis that mmdet's data set calls."""

    def get_cat_ids(self):
        return self.getCatIds()

    def get_img_ids(self):
        return self.getImgIds()

    def load_imgs(self, identifiers):
        return self.loadImgs(identifiers)

    def get_ann_ids(self, img_ids):
        return self.getAnnIds(img_ids)

    def load_anns(self, identifiers):
        return self.loadAnns(identifiers)

    @property
    def cat_img_map(self):
        return self.catToImgs


def shrunk(value, factor):
    """Return settings with smaller sizes, which keep objects and read masks in RLE."""
    if isinstance(value, dict):
        small = {
            key: smaller(item, factor) if key in SIZES else shrunk(item, factor)
            for key, item in value.items()
        }
        fixed = {'poly2mask': True}
        if value.get('type') == 'RandomResize':
            fixed['ratio_range'] = (0.5, 0.5)
        return {**small, **{key: item for key, item in fixed.items() if key in value}}
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
    set_data_root(config, folders[config.data_root])
    for split in ('train', 'val'):
        loader = config[f'{split}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.sampler.type = 'DefaultSampler'
        if not digits:
            # RTMDet starts from smaller images.
            factor = SHRINKAGE[scope] / (2 if config.model.type == 'RTMDet' else 1)
            loader.dataset = shrunk(loader.dataset, factor)
    for split in ('train', 'val'):
        # The data set of ImageNet insists on its thousand classes.
        dataset = config[f'{split}_dataloader'].dataset
        if dataset.type == 'ImageNet':
            dataset.type, dataset.data_prefix = 'CustomDataset', dataset.pop('split')
    if config.model.type == 'DINO':
        config.model.num_queries = 30
        config.model.encoder.num_layers = config.model.decoder.num_layers = 1
    head = config.model.get('panoptic_head') or config.model.get('decode_head') or {}
    if 'transformer_decoder' in head:
        head.pixel_decoder.encoder.num_layers = head.transformer_decoder.num_layers = 1
    preprocessor = config.model.get('data_preprocessor') or {}
    if preprocessor.get('batch_augments'):
        preprocessor.batch_augments = shrunk(preprocessor.batch_augments, SHRINKAGE[scope])
    if 'roi_head' in config.model:
        stages = config.model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 32
        heads = config.model.roi_head.bbox_head
        for head in heads if isinstance(heads, list) else [heads]:
            head.fc_out_channels = 32
        for part in ('rpn', 'rcnn'):
            config.model.test_cfg[part].max_per_img = 10
    if 'teacher' in config.model:
        # Its published weights are a download.
        config.model.teacher.update(model='timm/resnet10t', checkpoint=False)
    if config.model.get('decode_head', {}).get('type') == 'UPerHead':
        config.model.decode_head.channels = 32
    if scope == 'mmseg' and not digits:
        config.model.data_preprocessor = shrunk(config.model.data_preprocessor, SHRINKAGE[scope])
    config.model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    return config


def model_and_batch(config: Config):
    torch.manual_seed(0)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    model.init_weights()
    batch = next(iter(Runner.build_dataloader(config.train_dataloader)))
    return model, model.data_preprocessor(batch, training=True)


@pytest.mark.slow
def test_mix_ins_change_images_and_average_weights(folders, tmp_path):
    file = tmp_path / 'mixed.py'
    file.write_text(
        "_base_ = ['mmvmlp::mask_rcnn_hire_mlp_t.py', 'mmvmlp::_base_/ema.py',\n"
        "          'mmvmlp::_base_/large_scale_jitter.py']\n"
        'train_dataloader = dict(dataset=dict(pipeline=_base_.jittered_pipeline))\n'
        'model = dict(data_preprocessor=dict(batch_augments=_base_.jittered_batch))\n'
    )
    config = on_small_data(file, folders)
    assert [hook.type for hook in config.custom_hooks] == ['EMAHook']
    model, data = model_and_batch(config)
    assert data['inputs'].shape == (2, 3, 128, 128)
    assert {sample.gt_instances.masks.width for sample in data['data_samples']} == {128}
    assert model.parse_losses(model(**data, mode='loss'))[0].isfinite()


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
@pytest.mark.usefixtures('_readers')
def test_trains_a_step_and_predicts(path, folders):
    config = on_small_data(path, folders)
    model, data = model_and_batch(config)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
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
        has_masks = re.match('(cascade_)?mask_rcnn|rtmdet_ins|mask2former', path.stem)
        assert ('masks' in first.pred_instances) == bool(has_masks)
        assert ('pred_panoptic_seg' in first) == ('panoptic_head' in config.model)
    elif config.default_scope == 'mmseg':
        assert first.pred_sem_seg.data.shape[1:] == first.ori_shape
    else:
        assert first.pred_score.shape == (config.model.head.num_classes,)
        assert first.pred_score.sum().item() == pytest.approx(1, abs=1e-4)

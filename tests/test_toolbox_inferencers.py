"""The toolboxes' own inferencers and init functions, on our configs, from an empty folder."""

from pathlib import Path

import cv2
import mmengine.hub
import numpy as np
import pytest
from leaf_configs import OTHER_DATA
from mmengine.registry import init_default_scope

from mmvmlp.backbones.base import registered_families
from mmvmlp.config.loading import load_config

CONFIGS = Path(__file__).parents[1] / 'configs'
METHODS = {
    'mask_rcnn': 'mmdet',
    'retinanet': 'mmdet',
    'cascade_mask_rcnn': 'mmdet',
    'upernet': 'mmseg',
    'sem_fpn': 'mmseg',
    'classify': 'mmpretrain',
}
# A config of one's own, with images that a test can afford.
SMALL = {
    'mmdet': """
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (96, 64)
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
""",
    'mmseg': """
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (256, 64)
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
""",
    'mmpretrain': '',
}


def smallest_networks(method):
    """Return one config of each family that the method has, the one with the fewest bytes."""
    for family in registered_families():
        paths = [
            path
            for path in sorted(CONFIGS.glob(f'{method}_{family.name_prefix}_*.py'))
            if not path.stem.endswith(('_digits', '_finetune', '_distill', '_160k', *OTHER_DATA))
        ]
        small = [path for path in paths if path.stem.split('_')[-1] in ('t', 's12', 's16', 'deep')]
        yield from (small or paths)[-1:]


# Every method with one family, and every family with one method of each toolbox; what a config
# builds does not depend on how it is inherited, as tests/test_configs.py compares.
CASES = [
    (method, path.name, 'by name')
    for method in METHODS
    for path in smallest_networks(method)
    if '_hire_mlp_' in path.name or method in ('retinanet', 'sem_fpn', 'classify')
]
CASES += [(*case[:2], 'by path') for case in CASES if case[1].startswith('mask_rcnn')]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def detect(config, inputs):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    inferencer = DetInferencer(str(config), device='cpu', show_progress=False)
    model = init_detector(str(config), device='cpu')
    for value in inputs:
        (found,) = inferencer(value, no_save_vis=True)['predictions']
        assert np.isfinite(found['scores']).all()
        instances = inference_detector(model, value).pred_instances
        assert instances.bboxes.shape == (len(instances.scores), 4)
        assert getattr(model, 'with_mask', False) == ('masks' in found)


def segment(config, inputs):
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    inferencer = MMSegInferencer(str(config), device='cpu', show_progress=False)
    model = init_model(str(config), device='cpu')
    for value in inputs:
        assert inferencer(value)['predictions'].shape == (48, 64)
        assert inference_model(model, value).pred_sem_seg.data.shape == (1, 48, 64)


def classify(config, inputs):
    from mmpretrain import FeatureExtractor, ImageClassificationInferencer, get_model

    # mmpretrain alone leaves the scope as another toolbox set it.
    init_default_scope('mmpretrain')
    inferencer = ImageClassificationInferencer(str(config), pretrained=False, device='cpu')
    model = get_model(str(config), pretrained=False, device='cpu')
    extractor = FeatureExtractor(model)
    for value in inputs:
        (found,) = inferencer(value)
        assert found['pred_scores'].shape == (1000,)
        (features,) = extractor(value)[0]
        assert features.shape == (model.head.in_channels,)


CLIENTS = {'mmdet': detect, 'mmseg': segment, 'mmpretrain': classify}


@pytest.mark.parametrize(('method', 'name', 'inherited'), CASES, ids=lambda value: value)
def test_inferencers_take_files_and_arrays(tmp_path, monkeypatch, image, method, name, inherited):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('image.png', image)
    base = f'mmvmlp::{name}' if inherited == 'by name' else CONFIGS / name
    toolbox = METHODS[method]
    Path('own.py').write_text(f"_base_ = '{base}'\n{SMALL[toolbox]}")
    CLIENTS[toolbox]('own.py', ['image.png', image])


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('retinanet_hire_mlp_t.py', 'RetinaNet'),
        ('sem_fpn_hire_mlp_t.py', 'EncoderDecoder'),
        ('classify_resmlp_s12.py', 'ImageClassifier'),
    ],
)
def test_the_hub_and_our_commands_take_configs_by_name(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    assert type(mmengine.hub.get_model(f'mmvmlp::{name}')).__name__ == kind
    assert load_config(f'mmvmlp::{name}').model.type == kind
    with pytest.raises(FileNotFoundError, match="'mmvmlp::none.py' does not exist in"):
        load_config('mmvmlp::none.py')

"""Whole detectors in both runtimes: what they detect, and what is refused."""

import json
import textwrap
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from untrained import save_untrained

from mmvmlp.deploy import whole_export
from mmvmlp.deploy.metadata import read_metadata
from mmvmlp.deploy.runtimes import RUNTIMES, load_runtime
from mmvmlp.deploy.substitution import ExportedModelHook
from mmvmlp.deploy.whole_export import largest_difference, predictions
from mmvmlp.inference.trained_model import load_trained_model

ROOT = Path(__file__).parents[2]
NANO = (
    ROOT / 'configs/mask_rcnn_hire_mlp_nano_digits.py',
    ROOT / 'demo/mask_rcnn_hire_mlp_nano_digits.safetensors',
)
CONFIG = f"""
    _base_ = '{ROOT}/configs/KIND_hire_mlp_t.py'
    arch = dict(_delete_=True, depths=(1, 1, 1, 1), channels=(8, 16, 24, 32), mlp_ratio=2)
"""
MODELS = {
    'retinanet': """
    model = dict(
        backbone=dict(arch=arch),
        neck=dict(in_channels=[16, 24, 32], out_channels=32),
        bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=7),
    )
    """,
    'mask_rcnn': """
    roi = dict(out_channels=32)
    head = dict(in_channels=32, num_classes=7)
    model = dict(
        backbone=dict(arch=arch),
        neck=dict(in_channels=[8, 16, 24, 32], out_channels=32),
        rpn_head=dict(in_channels=32, feat_channels=32),
        roi_head=dict(
            bbox_roi_extractor=roi,
            bbox_head=dict(fc_out_channels=32, **head),
            mask_roi_extractor=roi,
            mask_head=dict(num_convs=1, conv_out_channels=32, **head),
        ),
        test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50)),
    )
    """,
}


FACTORS = {
    'retina_cls': 100,
    'retina_reg': 10,
    'rpn_cls': 30,
    'rpn_reg': 10,
    'fc_cls': 100,
    'fc_reg': 30,
}


def save_detector(kind, folder):
    """Save a small detector of random weights, which is surer than at the start of training."""
    config, checkpoint = folder / f'{kind}.py', folder / f'{kind}.pth'
    parts = CONFIG.replace('KIND', kind), MODELS[kind]
    config.write_text('\n'.join(map(textwrap.dedent, parts)))
    save_untrained(config, checkpoint, classes=list('abcdefg'))
    contents = torch.load(checkpoint)
    for name, factor in FACTORS.items():
        for key, weights in contents['state_dict'].items():
            if key.endswith(f'{name}.weight'):
                weights *= factor
    torch.save(contents, checkpoint)
    return config, checkpoint


@pytest.fixture(scope='module')
def retinanet(tmp_path_factory):
    return save_detector('retinanet', tmp_path_factory.mktemp('retinanet'))


def photograph(model, shape):
    """Return ``demo/digits.jpg`` in a size, as the model sees it."""
    pixels = cv2.resize(cv2.imread(str(ROOT / 'demo/digits.jpg')), shape[::-1])
    inputs = [torch.from_numpy(pixels).permute(2, 0, 1)]
    return model.data_preprocessor({'inputs': inputs}, False)['inputs']


def check_file(file, config, checkpoint, shape):
    """Compare a file's detections in images that its export has not seen with those of mmdet."""
    model = load_trained_model(Config.fromfile(config), checkpoint, 'cpu')
    image = photograph(model, shape)
    images = [image, image.flip(3)]
    expected = [predictions(model, image) for image in images]
    assert all(len(scores) > 5 for _, scores, *_ in expected)
    for name in RUNTIMES if file.suffix == '.onnx' else ['openvino']:
        run = load_runtime(name, file, threads=1)
        assert largest_difference(name, run, images, expected) < 1e-3
    return model, expected


@pytest.mark.slow
def test_the_small_detector_is_exported_with_masks(tmp_path, run):
    shape, file = (160, 192), tmp_path / 'nano.onnx'
    printed = run('tools/export.py', *NANO, '--out', file, '--whole', *shape)
    assert f'{file}: detection, differs' in printed
    model, ((boxes, _, _, masks), _) = check_file(file, *NANO, shape)
    assert masks.shape == (len(boxes), 28, 28)
    for name in RUNTIMES:
        nothing = load_runtime(name, file, threads=1)(torch.full((1, 3, *shape), 1e4))
        assert [output.shape for output in nothing] == [(0, 4), (0,), (0,), (0, 28, 28)]
    about = read_metadata(file)
    assert about['task'] == 'detection'
    assert json.loads(about['fixed_size']) == list(shape)
    names = [output['name'] for output in json.loads(about['outputs'])]
    assert names == ['boxes', 'scores', 'labels', 'masks']
    assert json.loads(about['class_names']) == list('0123456789')
    with pytest.raises(ValueError, match='is a whole detector, which takes images of one size'):
        ExportedModelHook(file, 'onnxruntime').before_test(SimpleNamespace(model=model))


@pytest.mark.slow
def test_mask_rcnn_of_several_classes_is_exported(tmp_path, run):
    shape, file = (128, 192), tmp_path / 'mask_rcnn.onnx'
    command = save_detector('mask_rcnn', tmp_path)
    run('tools/export.py', *command, '--out', file, '--whole', *shape)
    _, (detections, _) = check_file(file, *command, shape)
    assert len(detections[2].unique()) > 1
    masks = detections[3]
    assert masks.shape == (len(masks), 28, 28)
    # Masks of other classes would differ.
    assert masks.std() > 1e-2


def test_retinanet_is_exported(retinanet, tmp_path, run):
    shape, file = (128, 192), tmp_path / 'retinanet.xml'
    run('tools/export.py', *retinanet, '--out', file, '--whole', *shape)
    _, (detections, _) = check_file(file, *retinanet, shape)
    assert len(detections) == 3
    assert len(detections[2].unique()) > 1


def refused(run, folder, config, checkpoint, *options):
    """Return the message of a command that writes nothing."""
    folder.mkdir()
    arguments = (config, checkpoint, '--out', folder / 'x.onnx', *options)
    printed = run('tools/export.py', *arguments, expect=1)
    assert list(folder.iterdir()) == []
    return printed.partition('error: ')[2].strip()


def test_parts_that_are_not_exported_are_named(retinanet, tmp_path, run):
    command = (*retinanet, '--whole', 128, 128, '--cfg-options')
    of_head = refused(run, tmp_path / 'a', *command, 'model.bbox_head.type=FreeAnchorRetinaHead')
    assert of_head == (
        "mmdet's FreeAnchorRetinaHead cannot be exported whole, only RetinaHead; leave --whole out "
        'to export the pyramid'
    )
    of_nms = refused(run, tmp_path / 'b', *command, 'model.test_cfg.nms.type=soft_nms')
    assert "'type': 'soft_nms'" in of_nms


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (('--whole', '100', '160'), '--whole 100 160: the model pads such images to 128 160'),
        (('--whole', '0', '160'), '--whole 0 160: accepted are positive numbers'),
        (('--whole', '96', '96', '--int8', 'demo'), 'only the pyramid can be quantised'),
    ],
)
def test_wrong_options_are_named(retinanet, tmp_path, run, options, expected):
    assert expected in refused(run, tmp_path / 'empty', *retinanet, *options)


def test_a_detector_without_detections_is_refused(retinanet, tmp_path, run):
    options = ('--whole', 96, 96, '--cfg-options', 'model.test_cfg.score_thr=0.9999999')
    assert 'the model detects nothing' in refused(run, tmp_path / 'empty', *retinanet, *options)


def test_a_file_that_differs_is_not_written(retinanet, tmp_path, run, monkeypatch):
    """Here, since another detector is exported: its boxes are moved."""
    make = whole_export.whole_detector

    def of_another_model(*arguments):
        detector = make(*arguments)
        for anchors in detector.anchors:
            anchors += 0.1
        return detector

    monkeypatch.setattr(whole_export, 'whole_detector', of_another_model)
    message = refused(run, tmp_path / 'empty', *retinanet, '--whole', 96, 96)
    assert message.startswith('the exported detector is not the model: in onnxruntime')


def detections(*boxes):
    """Return detections of one class."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    scores = torch.linspace(0.9, 0.5, len(boxes))
    return boxes, scores, torch.zeros(len(boxes), dtype=torch.int64)


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (lambda b, s, c: (b[:1], s[:1], c[:1]), '1 detections instead of 2'),
        (lambda b, s, c: (b + 0.1, s, c), 'boxes differ by 1.0e-03, and 1e-04 is accepted'),
        (lambda b, s, c: (b, s - 1e-3, c), 'scores differ by 1.0e-03'),
        (lambda b, s, c: (b, s, c + 1), 'detections are others'),
        (lambda b, s, c: (b * np.nan, s, c), 'detections are others'),
        (lambda b, s, c: (b[[0, 0]], s[[0, 0]], c), 'detections are others'),
    ],
)
def test_every_difference_of_detections_is_one(change, expected):
    images, theirs = [torch.zeros(1, 3, 100, 50)], detections((0, 0, 9, 9), (20, 20, 60, 60))
    order = [1, 0]
    same = largest_difference('x', lambda _: [part[order] for part in theirs], images, [theirs])
    assert same == 0
    with pytest.raises(ValueError, match=expected):
        largest_difference('x', lambda _: change(*theirs), images, [theirs])

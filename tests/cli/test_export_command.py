"""The command that exports: what it writes for models of each toolbox, and what it refuses."""

import json
import textwrap
from pathlib import Path

import onnxruntime
import pytest
import torch
from mmengine.config import Config
from untrained import save_untrained

from mmvmlp.deploy.metadata import read_metadata
from mmvmlp.inference.trained_model import load_trained_model

ROOT = Path(__file__).parents[2]
ARCH = {'depths': (1, 1, 1, 1), 'channels': (8, 12, 16, 20)}
BACKBONE = f"_delete_=True, type='mmvmlp.HireMLP', arch={ARCH}, out_norm=True"
CONFIGS = {
    'classifier': f"""
        _base_ = '{ROOT}/configs/classify_hire_mlp_t.py'
        model = dict(
            backbone=dict({BACKBONE}, out_indices=(-1,)),
            head=dict(in_channels=20, num_classes=7),
        )
    """,
    'segmentor': f"""
        _base_ = '{ROOT}/configs/upernet_hire_mlp_t_digits.py'
        channels = [8, 12, 16, 20]
        model = dict(
            backbone=dict({BACKBONE}),
            decode_head=dict(in_channels=channels, channels=16),
            auxiliary_head=dict(in_channels=16),
        )
    """,
    'detector': f"""
        _base_ = '{ROOT}/configs/mask_rcnn_hire_mlp_t_digits.py'
        model = dict(backbone=dict({BACKBONE}), neck=dict(in_channels=[8, 12, 16, 20]))
    """,
}


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """Return a function that writes a config and a checkpoint of a small model."""
    folder = tmp_path_factory.mktemp('models')

    def save(kind):
        config, checkpoint = folder / f'{kind}.py', folder / f'{kind}.pth'
        if not config.exists():
            config.write_text(textwrap.dedent(CONFIGS[kind]))
            save_untrained(config, checkpoint, classes=list('abcdefg'))
        return config, checkpoint

    return save


def outputs_of(file, images):
    return onnxruntime.InferenceSession(file).run(None, {'images': images.numpy()})


@torch.no_grad()
def test_a_classifier_gives_logits(tmp_path, saved, run):
    config, checkpoint = saved('classifier')
    file = tmp_path / 'new folder' / 'classifier.onnx'
    printed = run('tools/export.py', config, checkpoint, '--out', file)
    assert str(file) in printed
    assert [path.name for path in file.parent.iterdir()] == ['classifier.onnx']
    model = load_trained_model(Config.fromfile(config), checkpoint, 'cpu')
    images = torch.randn(3, 3, 224, 230)
    (logits,) = outputs_of(file, images)
    torch.testing.assert_close(torch.from_numpy(logits), model(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_segmentor_gives_logits_of_every_pixel(tmp_path, saved, run):
    config, checkpoint = saved('segmentor')
    file = tmp_path / 'segmentor.onnx'
    run('tools/export.py', config, checkpoint, '--out', file)
    model = load_trained_model(Config.fromfile(config), checkpoint, 'cpu')
    images = torch.randn(1, 3, 130, 97)
    (logits,) = outputs_of(file, images)
    assert logits.shape == (1, 11, 130, 97)
    expected = model.inference(
        images, [{'img_shape': (130, 97), 'ori_shape': (130, 97), 'pad_shape': (130, 97)}]
    )
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_detector_gives_its_pyramid(tmp_path, saved, run):
    config, checkpoint = saved('detector')
    file = tmp_path / 'detector.onnx'
    run('tools/export.py', config, checkpoint, '--out', file)
    model = load_trained_model(Config.fromfile(config), checkpoint, 'cpu')
    images = torch.randn(2, 3, 160, 224)
    for ours, theirs in zip(outputs_of(file, images), model.extract_feat(images), strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), theirs, rtol=1e-4, atol=1e-5)
    metadata = read_metadata(file)
    assert json.loads(metadata['outputs']) == [
        {'name': f'map{level}', 'channels': 64, 'stride': stride}
        for level, stride in enumerate((4, 8, 16, 32))
    ]

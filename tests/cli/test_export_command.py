"""The command that exports: what it writes for models of each toolbox, and what it refuses."""

import json
import shutil
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from exported import save_model
from mmengine.config import Config

import mmvmlp
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.deploy import export
from mmvmlp.deploy.metadata import read_metadata
from mmvmlp.deploy.runtimes import load_runtime
from mmvmlp.deploy.substitution import ExportedModelHook
from mmvmlp.inference.predictors import make_predictor
from mmvmlp.inference.trained_model import load_trained_model


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('models')


def exported(run, folder, kind, name, *options):
    """Export a small model; return the model, and the outputs of the file as a function."""
    config, checkpoint = save_model(kind, folder)
    file = folder / name
    printed = run('tools/export.py', config, checkpoint, '--out', file, *options)
    assert str(file) in printed
    model = load_trained_model(Config.fromfile(config), checkpoint, 'cpu')
    session = onnxruntime.InferenceSession(file) if file.suffix == '.onnx' else None

    def outputs(images):
        return [torch.from_numpy(o) for o in session.run(None, {'images': images.numpy()})]

    return model, outputs


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_classifier_gives_logits(folder, run):
    model, outputs = exported(run, folder, 'classifier', 'new folder/classifier.onnx')
    assert [path.name for path in (folder / 'new folder').iterdir()] == ['classifier.onnx']
    shutil.copy(folder / 'new folder/classifier.onnx', folder)
    images = torch.randn(3, 3, 224, 230)
    (logits,) = outputs(images)
    assert_close(logits, model(images))
    metadata = read_metadata(folder / 'new folder/classifier.onnx')
    assert {key: metadata[key] for key in ('task', 'channel_order', 'minimum_size')} == {
        'task': 'classification',
        'channel_order': 'RGB',
        'minimum_size': '8',
    }
    assert json.loads(metadata['mean']) == [123.675, 116.28, 103.53]
    assert json.loads(metadata['std']) == [58.395, 57.12, 57.375]
    assert json.loads(metadata['class_names']) == list('abcdefg')
    assert json.loads(metadata['outputs']) == [{'name': 'logits', 'channels': 7}]
    pipeline = json.loads(metadata['test_pipeline'])
    assert [step['type'].rpartition('.')[2] for step in pipeline] == [
        'LoadImageFromFile',
        'ResizeEdge',
        'CenterCrop',
        'PackInputs',
    ]
    assert (metadata['fixed_size'], metadata['precision']) == ('', 'fp32')
    assert metadata['mmvmlp_version'] == mmvmlp.__version__


@torch.no_grad()
def test_a_segmentor_gives_logits_of_every_pixel(folder, run):
    model, outputs = exported(run, folder, 'segmentor', 'segmentor.onnx')
    images = torch.randn(1, 3, 130, 97)
    (logits,) = outputs(images)
    shapes = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape'), (130, 97))
    assert_close(logits, model.inference(images, [shapes]))
    assert logits.shape == (1, 7, 130, 97)
    (output,) = json.loads(read_metadata(folder / 'segmentor.onnx')['outputs'])
    assert output == {'name': 'logits', 'channels': 7, 'stride': 1}


@torch.no_grad()
def test_a_detector_gives_its_pyramid(folder, run):
    model, outputs = exported(run, folder, 'detector', 'detector.onnx')
    images = torch.randn(2, 3, 160, 225)
    for ours, theirs in zip(outputs(images), model.extract_feat(images), strict=True):
        assert_close(ours, theirs)
    assert json.loads(read_metadata(folder / 'detector.onnx')['outputs']) == [
        {'name': f'map{level}', 'channels': 64, 'stride': stride}
        for level, stride in enumerate((4, 8, 16, 32))
    ]


def refused(run, *arguments):
    """Return the one message of a command that ends with status 1."""
    printed = run('tools/export.py', *arguments, expect=1)
    assert printed.count('error: ') == 1, printed
    assert 'Traceback' not in printed
    return printed.partition('error: ')[2]


def test_what_cannot_be_written_is_refused_before_anything_is_read(tmp_path, run):
    config, nowhere = 'configs/classify_s2_mlp_deep.py', tmp_path / 'nowhere.pth'
    (tmp_path / 'file').touch()
    for name, options, expected in (
        ('model.engine', (), "model.engine': accepted are names in .onnx, .xml, .pt2"),
        ('file/model.onnx', (), f"'{tmp_path}/file' is not a folder"),
        ('model.onnx', ('--int8', 'demo_missing.jpg'), "image 'demo_missing.jpg': there is no"),
        ('model.onnx', ('--int8', 'docs/images'), 'int8 is for OpenVINO, whose files end in .xml'),
        ('model.onnx', (), f'checkpoint {str(nowhere)!r} does not exist'),
    ):
        message = refused(run, config, nowhere, '--out', tmp_path / name, *options)
        assert expected in message
    assert [path.name for path in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize('package', ['onnx', 'onnxscript', 'onnxruntime', 'openvino'])
def test_a_missing_package_is_named_with_the_extra(tmp_path, run, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    config = 'configs/classify_s2_mlp_deep.py'
    message = refused(run, config, tmp_path / 'x.pth', '--out', tmp_path / 'x.onnx')
    assert message == f'{package} is not installed; it comes with: pip install "mmvmlp[deploy]"\n'


def test_the_checkpoint_of_another_model_is_refused(folder, tmp_path, run):
    config, _ = save_model('classifier', folder)
    _, other = save_model('segmentor', folder)
    assert 'does not fit' in refused(run, config, other, '--out', tmp_path / 'x.onnx')
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_from_the_model_leaves_nothing_behind(folder, run, monkeypatch):
    """Here, since another model is exported: its weights are scaled."""
    convert = export.export_program

    def of_another_model(part, sizes, **kwargs):
        with torch.no_grad():
            part.model.backbone.stem.conv.weight.mul_(1.01)
        return convert(part, sizes, **kwargs)

    monkeypatch.setattr(export, 'export_program', of_another_model)
    config, checkpoint = save_model('classifier', folder)
    before = sorted(folder.iterdir())
    message = refused(run, config, checkpoint, '--out', folder / 'other.onnx')
    assert 'in onnxruntime, output 0 of 1 images of 8x8 pixels differs by' in message
    assert 'of its largest value, and 1e-04 is accepted' in message
    assert sorted(folder.iterdir()) == before


@torch.no_grad()
def test_a_program_runs_in_torch(folder, run):
    model, _ = exported(run, folder, 'classifier', 'classifier.pt2', '--no-fuse')
    about = {'metadata.json': ''}
    program = torch.export.load(folder / 'classifier.pt2', extra_files=about).module(
        check_guards=False
    )
    assert json.loads(about['metadata.json'])['minimum_size'] == '96'
    images = torch.randn(1, 3, 96, 131)
    assert_close(program(images)[0], model(images))


@torch.no_grad()
def test_an_integer_model_is_close_to_the_detector(folder, run, tmp_path):
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (160, 160, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{index}.png'), pixels)
    model, _ = exported(run, folder, 'detector', 'int8.xml', '--int8', tmp_path)
    metadata = read_metadata(folder / 'int8.xml')
    assert metadata['precision'] == 'int8'
    assert json.loads(metadata['outputs'])[3] == {'name': 'map3', 'channels': 64, 'stride': 32}
    integer = load_runtime('openvino', folder / 'int8.xml')
    with pytest.raises(ValueError, match=r'32x32 pixels.* at least 96x96'):
        integer(torch.randn(1, 3, 32, 32))
    images = torch.randn(2, 3, 160, 224)
    for ours, theirs in zip(
        integer(images),
        model.extract_feat(images),
        strict=True,
    ):
        ours = torch.from_numpy(ours)
        assert export.relative_difference(ours, theirs) > 1e-4
        assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), 0) > 0.95


def test_the_toolbox_judges_an_exported_detector(folder, run, tmp_path):
    config, checkpoint = save_model('detector', folder)
    file = folder / 'detector.onnx'
    if not file.exists():
        exported(run, folder, 'detector', file.name)
    data = make_digit_scenes(tmp_path / 'data', 'coco', train=1, val=2, size=96, progress=False)
    command = ('tools/test.py', config, checkpoint, '--data-root', data, '--work-dir', tmp_path)

    def metrics(*options):
        run(*command, *options, '--out', tmp_path / 'metrics.json')
        return json.loads((tmp_path / 'metrics.json').read_text())

    whole = metrics()
    assert metrics('--exported', file) == pytest.approx(whole, abs=1e-3)
    assert 'tta' in run(*command, '--exported', file, '--tta', expect=1)
    weights = torch.load(checkpoint)
    weights['state_dict']['backbone.stem.conv.bias'] += 1
    torch.save(weights, tmp_path / 'other.pth')
    command = ('tools/test.py', config, tmp_path / 'other.pth', *command[3:])
    assert 'has other weights than the checkpoint' in run(*command, '--exported', file, expect=1)
    assert 'nowhere.onnx' in run(*command, '--exported', tmp_path / 'nowhere.onnx', expect=1)


@pytest.mark.parametrize('kind', ['classifier', 'segmentor'])
def test_the_toolbox_predicts_with_an_exported_file(folder, run, kind):
    file = folder / f'{kind}.onnx'
    if not file.exists():
        exported(run, folder, kind, file.name)
    pixels = np.random.default_rng(0).integers(0, 256, (240, 256, 3), np.uint8)
    config, checkpoint = save_model(kind, folder)
    predictor = make_predictor(Config.fromfile(config), checkpoint)
    expected = predictor(pixels).record
    hook = ExportedModelHook(file, 'onnxruntime')
    model = predictor.model
    hook.before_test(SimpleNamespace(model=model))
    # What the file replaces is not used any more.
    model.backbone = None
    assert predictor(pixels).record == expected

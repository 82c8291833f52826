"""Runtimes refuse what they cannot run, and leave nothing behind."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from mmvmlp.deploy.export import save_openvino
from mmvmlp.deploy.openvino_core import openvino_core
from mmvmlp.deploy.runtimes import load_runtime


@pytest.mark.parametrize(
    ('name', 'options', 'expected'),
    [
        ('tensorrt', {}, "runtime='tensorrt': accepted are 'onnxruntime', 'openvino'"),
        ('onnxruntime', {'precision': 'bf16'}, "precision='bf16': onnxruntime runs in fp32 here"),
        ('openvino', {'threads': 0}, 'threads=0: a positive integer'),
    ],
)
def test_wrong_arguments_are_named(name, options, expected):
    with pytest.raises(ValueError, match=expected):
        load_runtime(name, b'', **options)


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_files_that_are_no_models_are_named(tmp_path, name):
    file = tmp_path / 'model.onnx'
    with pytest.raises(FileNotFoundError, match=r"model\.onnx' does not exist"):
        load_runtime(name, file)
    file.write_bytes(b'no model')
    with pytest.raises(ValueError, match=rf"model\.onnx' cannot be loaded by {name}"):
        load_runtime(name, file)
    file = file.rename(tmp_path / 'model.pt2')
    with pytest.raises(ValueError, match=rf'{name} runs .*\.onnx'):
        load_runtime(name, file)


@pytest.mark.parametrize(
    ('name', 'suffix'), [('onnxruntime', '.onnx'), ('openvino', '.onnx'), ('openvino', '.xml')]
)
def test_images_below_the_stated_minimum_size_are_refused(tmp_path, name, suffix):
    onnx = pytest.importorskip('onnx')

    def saved(metadata):
        images, outputs = (
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ['n', 3, 'h', 'w'])
            for name in ('images', 'outputs')
        )
        relu = onnx.helper.make_node('Relu', ['images'], ['outputs'])
        graph = onnx.helper.make_graph([relu], 'relu', [images], [outputs])
        opset = onnx.helper.make_opsetid('', 18)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
        file = tmp_path / f'model{suffix}'
        if suffix == '.xml':
            converted = openvino_core().read_model(model.SerializeToString())
            save_openvino(converted, file, metadata)
        else:
            onnx.helper.set_model_props(model, metadata)
            onnx.save(model, file)
        return load_runtime(name, file)

    run = saved({'minimum_size': '96'})
    assert run(np.ones((1, 3, 96, 97)))[0].shape == (1, 3, 96, 97)
    for height, width in ((95, 200), (200, 95)):
        expected = f'images of {height}x{width} pixels: the exported model accepts at least 96x96'
        with pytest.raises(ValueError, match=expected):
            run(torch.ones(1, 3, height, width))
    # Files of others state none.
    assert saved({})(np.ones((1, 3, 1, 2)))[0].shape == (1, 3, 1, 2)


LOADED_TWICE = """
import signal, subprocess, sys
from mmvmlp.deploy.runtimes import load_runtime

# As PyTorch's data loader does.
signal.signal(signal.SIGCHLD, lambda *_: None)
first, second = (load_runtime('openvino', sys.argv[1]) for _ in range(2))
del first, second
subprocess.run(['true'], check=True)
"""


def test_a_process_that_has_run_openvino_survives_the_end_of_a_child(tmp_path):
    openvino = pytest.importorskip('openvino')
    images = openvino.opset13.parameter([1, 3, 8, 8], np.float32)
    file = tmp_path / 'model.xml'
    openvino.save_model(openvino.Model([openvino.opset13.relu(images)], [images]), file)
    subprocess.run([sys.executable, '-c', LOADED_TWICE, str(file)], check=True)

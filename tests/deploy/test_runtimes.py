"""Runtimes refuse what they cannot run, and leave nothing behind."""

import subprocess
import sys

import numpy as np
import pytest

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

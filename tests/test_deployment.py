"""docs/deployment.md: its consumer runs as it is printed, without mmvmlp and torch."""

import subprocess
import sys

import numpy as np
import pytest
from exported import save_model
from mmengine.config import Config
from pages import blocks_of
from PIL import Image

from mmvmlp.deploy.export import export_checkpoint
from mmvmlp.inference.predictors import make_predictor

HIDING = """
import sys
for name in ('mmvmlp', 'torch', 'mmengine', 'mmcv'):
    sys.modules[name] = None
sys.argv[:] = sys.argv[1:]
exec(open(sys.argv[0]).read())
"""


def consumer():
    blocks = blocks_of('docs/deployment.md', 'python')
    (program,) = (block.text for block in blocks if block.text.startswith('"""Classify'))
    return program


def test_the_consumer_is_short():
    assert len([line for line in consumer().splitlines() if line]) <= 36


def test_the_consumer_gives_the_scores_of_the_command_that_predicts(tmp_path):
    config, checkpoint = save_model('classifier', tmp_path)
    export_checkpoint(Config.fromfile(config), checkpoint, tmp_path / 'model.onnx')
    (tmp_path / 'classify.py').write_text(consumer())
    pixels = np.random.default_rng(0).integers(0, 256, (300, 401, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'image.png')

    def run(image):
        command = [sys.executable, '-c', HIDING, 'classify.py', 'model.onnx', image]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    result = run('image.png')
    assert result.returncode == 0, result.stderr
    printed = [line.split() for line in result.stdout.splitlines()]
    predictor = make_predictor(Config.fromfile(config), checkpoint)
    expected = predictor(pixels[..., ::-1]).record['classes']
    assert [name for *_, name in printed] == [entry['class_name'] for entry in expected]
    for (_, score, _), entry in zip(printed, expected, strict=True):
        assert float(score) == pytest.approx(entry['score'], abs=2e-4)

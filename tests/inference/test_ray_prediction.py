"""Prediction on a Ray cluster of this machine, in which a process that predicts is killed."""

from functools import partial

import pytest
from blobs import BlobDetector, make_detector, write_scenes

from mmvmlp.inference import ray_prediction
from mmvmlp.inference.prediction_files import PredictionOptions, predict_files
from mmvmlp.inference.ray_prediction import predict_files_on_ray
from mmvmlp.inference.sources import find_sources


@pytest.mark.slow
def test_a_killed_worker_loses_and_repeats_no_image(tmp_path, monkeypatch):
    # For the modules of the tests in the cluster's processes.
    monkeypatch.setenv('PYTHONPATH', '.:tests')
    # Several chunks in a block, so that it is killed within one.
    monkeypatch.setattr(ray_prediction, 'BLOCKS', 3)
    write_scenes(tmp_path / 'in', 23)
    sources = find_sources([str(tmp_path / 'in')])
    options = PredictionOptions(shard_size=5)
    out, once = tmp_path / 'out', tmp_path / 'killed'
    predict_files_on_ray(
        partial(make_detector, once), sources, out, options, address='local', progress=False
    )
    assert once.exists()
    predict_files(BlobDetector(), sources, tmp_path / 'here', options, progress=False)
    written, expected = (
        {file.name: file.read_bytes() for file in folder.iterdir()}
        for folder in (out, tmp_path / 'here')
    )
    assert len(expected) == 23 + 5 + 1
    assert written == expected

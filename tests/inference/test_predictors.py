"""Predictions in a batch are those of one image at a time, for each toolbox."""

import cv2
import numpy as np
import pytest
from untrained import save_untrained

from mmvmlp.config.loading import load_config
from mmvmlp.inference.predictors import make_predictor


@pytest.mark.parametrize(
    'config', ['mask_rcnn_hire_mlp_nano', 'upernet_hire_mlp_t', 'classify_hire_mlp_t']
)
def test_a_batch_is_predicted_as_its_images_alone(tmp_path, digits_folder, config):
    file = f'configs/{config}_digits.py'
    checkpoint = save_untrained(file, tmp_path / 'model.pth')
    predictor = make_predictor(load_config(file), checkpoint, score_threshold=0.1)
    scenes = sorted((digits_folder / 'val2017').iterdir())[:3]
    images = [cv2.imread(str(scene)) for scene in scenes]
    alone = [predictor.predict([predictor.pipeline(image)])[0] for image in images]
    together = predictor.predict([predictor.pipeline(image) for image in images])
    for one, other in zip(alone, together, strict=True):
        if predictor.task == 'detection':
            assert len(one) == len(other) > 0
            np.testing.assert_allclose(one.bboxes, other.bboxes, atol=0.01)
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
            assert one.labels.tolist() == other.labels.tolist()
        elif predictor.task == 'segmentation':
            assert one.shape == images[0].shape[:2]
            assert (one == other).mean() > 0.999
        else:
            np.testing.assert_allclose(one, other, atol=1e-5)
    if predictor.task == 'classification':
        assert np.abs(alone[0] - alone[1]).max() > 1e-4

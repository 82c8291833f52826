"""A contact sheet of a real detector on real data."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmvmlp.config.loading import load_config
from mmvmlp.visualization.contact_sheet import draw_contact_sheet

DIGITS_CONFIG = 'configs/mask_rcnn_hire_mlp_t_digits.py'


@pytest.fixture
def config(digits_folder):
    return load_config(DIGITS_CONFIG, {'data_root': digits_folder})


@pytest.fixture
def checkpoint(config, tmp_path):
    init_default_scope('mmdet')
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save({'meta': {}, 'state_dict': model.state_dict()}, tmp_path / 'model.pth')
    return tmp_path / 'model.pth'


def test_a_sheet_of_validation_images(tmp_path, config, checkpoint):
    draw_contact_sheet(config, checkpoint, tmp_path / 'sheet.png', count=4, score_threshold=1.0)
    sheet = np.asarray(Image.open(tmp_path / 'sheet.png'))
    # Two rows of at most three pairs of images a third of a thousand pixels wide.
    assert 2000 < sheet.shape[1] < 2600
    assert 800 < sheet.shape[0] < 1100
    # With nothing above the threshold the prediction's side is the bare image, the other is not.
    colours = [len(np.unique(half.reshape(-1, 3), axis=0)) for half in (sheet, sheet[:100])]
    assert colours[0] > 1000 > colours[1]


def test_a_sheet_of_no_images_is_refused(tmp_path, config, checkpoint):
    with pytest.raises(ValueError, match='count=0'):
        draw_contact_sheet(config, checkpoint, tmp_path / 'sheet.png', count=0)
    assert not (tmp_path / 'sheet.png').exists()

"""Tiles: each object of a large image is found once, at its place."""

import cv2
import numpy as np
import pytest
from blobs import BlobDetector, draw_blobs, find_blobs
from pycocotools import mask as coco_mask

from mmvmlp.config.loading import load_config
from mmvmlp.inference.chunks import ChunkPredictor, LoadedImage
from mmvmlp.inference.predictors import make_predictor
from mmvmlp.inference.run_lengths import decode_mask, encode_mask, move_mask
from mmvmlp.inference.tiling import Tiling, merge_index_maps


def predict_tiled(predictor, image, tiling, batch_size=4):
    predict = ChunkPredictor(predictor, batch_size, tiling, draws=False, writes_index_maps=False)
    (result,) = predict(0, [LoadedImage('image.png', image.shape, image)])
    return result.record['detections']


def by_place(detections):
    return sorted((*each['box'], each['label'], each['score']) for each in detections)


@pytest.mark.parametrize('tiling', [Tiling(64, 25), Tiling(50, 40), Tiling(200, 0)])
def test_objects_that_tiles_cut_are_found_once(tiling):
    rng = np.random.default_rng(0)
    places = [(column, row) for row in range(0, 170, 24) for column in range(0, 250, 24)]
    corners = [tuple(np.add(place, rng.integers(0, 3, 2))) for place in places]
    image = draw_blobs((190, 275), corners)
    if tiling.size > 100:
        image = image[:, :200]
    detector = BlobDetector()
    expected = detector.record(find_blobs(image))['detections']
    found = predict_tiled(detector, image, tiling)
    assert by_place(found) == by_place(expected)
    assert [each['score'] for each in found] == sorted(
        (each['score'] for each in found), reverse=True
    )
    masks = {tuple(each['box']): coco_mask.decode(each['mask']) for each in expected}
    for each in found:
        np.testing.assert_array_equal(coco_mask.decode(each['mask']), masks[tuple(each['box'])])


def test_an_object_larger_than_the_overlap_is_not_lost():
    image = np.zeros((64, 200, 3), np.uint8)
    image[20:40, 30:150] = 200
    assert predict_tiled(BlobDetector(), image, Tiling(64, 20))


def test_pasted_scenes_are_found_as_alone(digits_folder):
    """A trained detector, on scenes that are one tile each."""
    predictor = make_predictor(
        load_config('configs/mask_rcnn_hire_mlp_nano_digits.py'),
        'demo/mask_rcnn_hire_mlp_nano_digits.safetensors',
        score_threshold=0.5,
    )
    files = sorted((digits_folder / 'val2017').iterdir())[:4]
    scenes = [cv2.imread(str(file)) for file in files]
    size = scenes[0].shape[0]
    image = np.vstack([np.hstack(scenes[:2]), np.hstack(scenes[2:])])
    found = predict_tiled(predictor, image, Tiling(size, 0))
    expected = []
    for number, scene in enumerate(scenes):
        place = np.tile([number % 2 * size, number // 2 * size], 2)
        for each in predictor(scene).record['detections']:
            expected.append({**each, 'box': (place + each['box']).tolist()})
    assert len(found) == len(expected) > 8
    for one, other in zip(
        sorted(found, key=lambda each: each['box']),
        sorted(expected, key=lambda each: each['box']),
        strict=True,
    ):
        np.testing.assert_allclose(one['box'], other['box'], atol=0.05)
        assert one['label'] == other['label']
        assert coco_mask.area(one['mask']) == pytest.approx(coco_mask.area(other['mask']), abs=3)
        assert one['mask']['size'] == [2 * size, 2 * size]


@pytest.mark.parametrize('shape', [(40, 60), (41, 33), (7, 90)])
def test_index_maps_of_tiles_are_put_together(shape):
    whole = np.random.default_rng(0).integers(0, 300, shape).astype(np.uint16)
    tiling = Tiling(16, 6)
    parts = []
    for left, top, right, bottom in tiling.tiles(shape):
        part = whole[top:bottom, left:right].copy()
        # A segmentor is worst at the border of a tile.
        part[:, :1] = whole[top:bottom, :1] if left == 0 else 999
        part[:1] = whole[:1, left:right] if top == 0 else 999
        if right < shape[1]:
            part[:, -1] = 999
        if bottom < shape[0]:
            part[-1] = 999
        parts.append(part)
    np.testing.assert_array_equal(merge_index_maps(parts, tiling, shape), whole)


@pytest.mark.parametrize('place', [(0, 0), (5, 3), (30, 20)])
def test_masks_move_without_being_decoded(place):
    for mask in (np.random.default_rng(0).random((20, 10)) > 0.5, np.zeros((20, 10), bool)):
        left, top = place
        expected = np.zeros((40, 40), bool)
        expected[top : top + 20, left : left + 10] = mask
        moved = move_mask(encode_mask(mask), left, top, 40, 40)
        np.testing.assert_array_equal(decode_mask(moved), expected)
        assert moved == encode_mask(expected)


def test_an_overlap_as_large_as_the_tile_is_refused():
    with pytest.raises(ValueError, match='tile_overlap=64: accepted are 0 to 63'):
        Tiling(64, 64).check()

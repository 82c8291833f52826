"""AP as pycocotools computes it, and errors as TIDE's paper defines them."""

import contextlib
import io

import numpy as np
import pytest
from hotcoco import COCO
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO as ReferenceCOCO
from pycocotools.cocoeval import COCOeval as ReferenceEvaluation

from mmvmlp.report.detection import (
    ERRORS,
    average_precisions,
    evaluate_coco,
    f1_of_images,
    precision_of,
)

SIZE = 120


def run_lengths(box):
    mask = np.zeros((SIZE, SIZE), np.uint8, order='F')
    left, top, width, height = (round(side) for side in box)
    mask[top : top + height, left : left + width] = 1
    encoded = coco_mask.encode(mask)
    return {'size': encoded['size'], 'counts': encoded['counts'].decode()}


def objects(boxes, **more):
    """Annotations or results of (image, class, box) in COCO's format."""
    return [
        {
            **{'id': index + 1, 'image_id': image, 'category_id': label, 'bbox': list(box)},
            **{'area': box[2] * box[3], 'iscrowd': 0, 'segmentation': run_lengths(box)},
            **{key: values[index] for key, values in more.items()},
        }
        for index, (image, label, box) in enumerate(boxes)
    ]


def dataset(annotations, images=6, classes=4):
    return {
        'images': [{'id': image, 'width': SIZE, 'height': SIZE} for image in range(images)],
        'categories': [{'id': label, 'name': f'c{label}'} for label in range(classes)],
        'annotations': annotations,
    }


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_ap_is_that_of_pycocotools(kind):
    random = np.random.default_rng(7)
    truth, found = [], []
    for _ in range(60):
        # The last class has no object.
        image, label = int(random.integers(6)), int(random.integers(3))
        box = [*random.uniform(0, 60, 2), *random.uniform(10, 50, 2)]
        truth.append((image, label, box))
        for _ in range(random.integers(4)):
            moved = np.array(box) + random.normal(scale=3, size=4)
            found.append((image, label if random.random() < 0.8 else 3, moved.clip(1).tolist()))
    # Ties in scores, too.
    scores = random.integers(1, 20, len(found)) / 20
    crowds = (random.random(len(truth)) < 0.1).astype(int).tolist()
    content = dataset(objects(truth, iscrowd=crowds))
    results = objects(found, score=scores.tolist())
    ours = evaluate_coco(COCO(content), results, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = ReferenceCOCO()
        reference.dataset = content
        reference.createIndex()
        evaluation = ReferenceEvaluation(reference, reference.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert 0.1 < evaluation.stats[0] < 0.9
    np.testing.assert_allclose(
        list(average_precisions(ours).values()), evaluation.stats[:3], rtol=0, atol=1e-12
    )
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    np.testing.assert_allclose(
        np.nan_to_num(precision_of(ours), nan=-1), precision, rtol=0, atol=1e-12
    )


OBJECT = (0, 0, (20, 20, 40, 40))
HIT = (0, 0, (20, 20, 40, 38))
ELSEWHERE = (80, 80, 30, 30)
OVERLAPPING = (20, 42, 40, 40)


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        ([HIT], {}),
        ([HIT, (0, 0, (20, 20, 40, 36))], {'Dupe': 1}),
        ([(0, 1, (20, 20, 40, 38))], {'Cls': 1}),
        ([(0, 0, OVERLAPPING)], {'Loc': 1}),
        ([(0, 1, OVERLAPPING)], {'Both': 1, 'Miss': 1}),
        ([HIT, (0, 0, ELSEWHERE)], {'Bkg': 1}),
        ([(0, 0, ELSEWHERE)], {'Bkg': 1, 'Miss': 1}),
        ([], {'Miss': 1}),
    ],
)
def test_errors_are_told_apart(found, expected):
    scores = [0.9 - 0.1 * index for index in range(len(found))]
    evaluation = evaluate_coco(
        COCO(dataset(objects([OBJECT]), images=1, classes=2)), objects(found, score=scores), 'bbox'
    )
    counts = evaluation.tide_errors()['counts']
    assert set(counts) == set(ERRORS)
    assert {key: count for key, count in counts.items() if count} == expected


def test_detections_of_low_scores_do_not_spoil_an_image():
    truth = COCO(dataset(objects([OBJECT, (1, 0, OBJECT[2])]), images=3, classes=2))
    found = [HIT, (0, 0, ELSEWHERE), (1, 0, HIT[2]), (1, 0, ELSEWHERE)]
    f1 = f1_of_images(truth, objects(found, score=[0.9, 0.2, 0.9, 0.4]))
    assert f1 == pytest.approx({0: 1.0, 1: 2 / 3})

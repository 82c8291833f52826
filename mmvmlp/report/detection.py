"""Evaluation of a detector: AP by class, precision and recall, kinds of errors, confusions.

AP is that of COCO, by hotcoco, which computes it as pycocotools does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from mmengine.structures import InstanceData

from mmvmlp.inference.run_lengths import encode_mask
from mmvmlp.optional_packages import import_optional
from mmvmlp.report.figures import Values, plot_bars, plot_precision_recall
from mmvmlp.report.findings import (
    Entry,
    Findings,
    Gallery,
    NotEvaluatedError,
    Table,
    confusions,
    decimal,
    fitting_scale,
    image_address,
    named_classes,
    worst_and_best,
)
from mmvmlp.report.validation import Validation
from mmvmlp.visualization.drawing import draw_instances

if TYPE_CHECKING:
    from hotcoco import COCO, COCOeval

SCORE_THRESHOLD = 0.3
"""Least score of what is drawn, and counts for confusions and for the order of the galleries."""

KINDS = {'bbox': 'box', 'segm': 'mask'}
"""Kinds of AP, by COCO's name."""

ERRORS = {
    'Cls': ('classification', 'right place, wrong class'),
    'Loc': ('localisation', 'right class, but an IoU of 0.1 to 0.5'),
    'Both': ('both', 'wrong class, and an IoU of 0.1 to 0.5'),
    'Dupe': ('duplicate', 'another, better detection has the object'),
    'Bkg': ('background', 'no object there'),
    'Miss': ('missed', 'an object without a detection or an error of the first two types'),
}
"""Types of errors by their names in TIDE (Bolya et al., 2020)."""


def find_in_detector(validation: Validation, gallery: int) -> Findings:
    """Evaluate a detector on its validation images.

    Args:
        validation: Its images and model.
        gallery: The most images in each of the galleries.

    Raises:
        ImportError: If hotcoco is missing.
        NotEvaluatedError: If the model gives no boxes.
    """
    names = validation.class_names
    annotations, results = _annotations_and_results(validation)
    truth = _dataset(validation, names, annotations)
    with_masks = bool(results) and all('segmentation' in each for each in (*annotations, *results))
    kinds = ['bbox', 'segm'] if with_masks else ['bbox']
    evaluated = {kind: evaluate_coco(truth, results, kind) for kind in kinds}
    findings = Findings(
        {
            f'{KINDS[kind]} {name}': value
            for kind, evaluation in evaluated.items()
            for name, value in average_precisions(evaluation).items()
        }
    )
    by_class = {kind: precision_of(evaluation) for kind, evaluation in evaluated.items()}
    objects = np.bincount(
        [annotation['category_id'] for annotation in annotations if not annotation['iscrowd']],
        minlength=len(names),
    )
    aps = {kind: _mean(values, (0, 1)) for kind, values in by_class.items()}
    for kind, values in by_class.items():
        recalls = np.array(evaluated[kind].params.rec_thrs)
        findings.figures += _figures(KINDS[kind], values, aps[kind], names, recalls)
    matrix, confused = _confusions(evaluated['bbox'], names)
    findings.figures += [_error_bars(evaluated), matrix]
    findings.tables += [
        Table(
            'Average precision by class',
            [
                *('class', 'objects'),
                *(f'{KINDS[kind]} {name}' for kind in kinds for name in ('AP', 'AP50')),
            ],
            [
                [
                    names[label],
                    str(objects[label]),
                    *(
                        decimal(value)
                        for kind in kinds
                        for value in (
                            aps[kind][label],
                            _mean(by_class[kind][:1, :, label], (0, 1)),
                        )
                    ),
                ]
                for label in np.argsort(-np.nan_to_num(aps['bbox'], nan=-1), kind='stable')
            ],
        ),
        _errors(evaluated),
        *confused,
    ]
    findings.galleries = _galleries(validation, gallery, truth, annotations, results)
    return findings


def evaluate_coco(truth: COCO, results: list[dict[str, Any]], kind: str) -> COCOeval:
    """Evaluate detections by the rules of COCO.

    Args:
        truth: The annotations.
        results: Detections as COCO's results have them.
        kind: ``'bbox'`` or ``'segm'``.
    """
    hotcoco = import_optional('hotcoco', 'demo')
    evaluation: COCOeval = hotcoco.COCOeval(truth, truth.load_res(results), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def f1_of_images(truth: COCO, results: list[dict[str, Any]]) -> dict[int, float]:
    """Return F1 at an IoU of 0.5 by image, for images with objects or detections.

    Args:
        truth: The annotations.
        results: The detections, of which those with a score below :data:`SCORE_THRESHOLD` do not
            count.
    """
    # hotcoco's `score_thr` is for its search of wrong labels only.
    counted = [result for result in results if result['score'] >= SCORE_THRESHOLD]
    summary = evaluate_coco(truth, counted, 'bbox').image_diagnostics(iou_thr=0.5)['img_summary']
    return {number: found['f1'] for number, found in summary.items()}


def precision_of(evaluation: COCOeval) -> Values:
    """Return precisions by IoU threshold, recall and class; NaN for classes without objects."""
    assert evaluation.eval is not None
    # Objects of all sizes, and the 100 detections of each image with the highest scores.
    precision: Values = np.asarray(evaluation.eval['precision'])[:, :, :, 0, -1]
    return np.where(precision < 0, np.nan, precision)


def average_precisions(evaluation: COCOeval) -> dict[str, float]:
    """Return AP over the IoU thresholds 0.5 to 0.95, and those at 0.5 and at 0.75."""
    precision = precision_of(evaluation)
    return {
        'AP': float(_mean(precision)),
        'AP50': float(_mean(precision[0])),
        'AP75': float(_mean(precision[5])),
    }


def _mean(values: Values, axis: tuple[int, ...] | None = None) -> Any:
    """Average what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    sums = np.where(there, values, 0).sum(axis=axis)
    counts = there.sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _annotations_and_results(
    validation: Validation,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return annotations and predictions in COCO's format, with labels as categories."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, sample in validation.predictions():
        if 'pred_instances' not in sample or 'bboxes' not in sample.pred_instances:
            raise NotEvaluatedError(
                f'{type(validation.model).__name__} gives no boxes, which are what is evaluated'
            )
        for instance in validation.info(number)['instances']:
            left, top, right, bottom = instance['bbox']
            annotation = {
                'id': len(annotations) + 1,
                'image_id': number,
                'category_id': instance['bbox_label'],
                'bbox': [left, top, right - left, bottom - top],
                'area': (right - left) * (bottom - top),
                'iscrowd': int(instance.get('ignore_flag', 0)),
            }
            if 'mask' in instance:
                annotation['segmentation'] = instance['mask']
            annotations.append(annotation)
        found = sample.pred_instances.cpu().numpy()
        for index, (left, top, right, bottom) in enumerate(found.bboxes.tolist()):
            result = {
                'image_id': number,
                'category_id': int(found.labels[index]),
                'bbox': [left, top, right - left, bottom - top],
                'score': float(found.scores[index]),
            }
            if 'masks' in found:
                result['segmentation'] = encode_mask(found.masks[index])
            results.append(result)
    return annotations, results


def _dataset(validation: Validation, names: list[str], annotations: list[dict[str, Any]]) -> COCO:
    images = []
    for number in validation.indices:
        info = validation.info(number)
        images.append({'id': number, 'height': info['height'], 'width': info['width']})
    categories = [{'id': label, 'name': name} for label, name in enumerate(names)]
    contents = {'images': images, 'categories': categories, 'annotations': annotations}
    truth: COCO = import_optional('hotcoco', 'demo').COCO(contents)
    return truth


def _figures(
    kind: str, precision: Values, ap: Values, names: list[str], recalls: Values
) -> list[Markup]:
    order = np.argsort(-np.nan_to_num(ap, nan=-1), kind='stable')
    title, shown = named_classes(
        f'{kind.capitalize()} AP by class', order[~np.isnan(ap[order])].tolist()
    )
    mean = _mean(precision, (2,))
    return [
        plot_bars(
            [names[label] for label in shown], {kind: ap[shown]}, title, 'AP, IoU 0.5 to 0.95'
        ),
        plot_precision_recall(
            {
                'IoU 0.5': mean[0],
                'IoU 0.75': mean[5],
                'mean of IoU 0.5 to 0.95': _mean(mean, (0,)),
            },
            list(precision[0].T),
            recalls,
            f'{kind.capitalize()} precision and recall',
        ),
    ]


def _error_bars(evaluated: Mapping[str, COCOeval]) -> Markup:
    costs = {kind: each.tide_errors()['delta_ap'] for kind, each in evaluated.items()}
    return plot_bars(
        [name for name, _ in ERRORS.values()],
        {KINDS[kind]: np.array([cost[key] for key in ERRORS]) for kind, cost in costs.items()},
        'Errors',
        'AP50 to gain by fixing them',
        of_shares=False,
    )


def _errors(evaluated: Mapping[str, COCOeval]) -> Table:
    errors = {kind: each.tide_errors() for kind, each in evaluated.items()}
    meanings = '; '.join(f'{name}: {meaning}' for name, meaning in ERRORS.values())
    return Table(
        'Errors',
        [
            'type',
            *(f'{KINDS[kind]} {what}' for kind in errors for what in ('errors', 'AP50 to gain')),
        ],
        [
            [
                name,
                *(
                    text
                    for each in errors.values()
                    for text in (str(each['counts'][key]), decimal(each['delta_ap'][key]))
                ),
            ]
            for key, (name, _) in ERRORS.items()
        ],
        'The number of errors, and the AP50 to gain by fixing them, over detections of every '
        f'score. Types as TIDE (Bolya et al., 2020) has them. {meanings[0].upper()}{meanings[1:]}.',
    )


def _confusions(evaluation: COCOeval, names: list[str]) -> tuple[Markup, list[Table]]:
    counts = evaluation.confusion_matrix(iou_thr=0.5, min_score=SCORE_THRESHOLD)['matrix']
    return confusions(
        counts,
        [*names, 'no object'],
        [*names, 'missed'],
        f'Confusions: boxes with score ≥ {SCORE_THRESHOLD:g}, IoU ≥ 0.5',
    )


def _galleries(
    validation: Validation,
    count: int,
    truth: COCO,
    annotations: list[dict[str, Any]],
    results: list[dict[str, Any]],
) -> list[Gallery]:
    shown = [result for result in results if result['score'] >= SCORE_THRESHOLD]
    f1 = f1_of_images(truth, results)

    def quality(number: int) -> float:
        # An image with neither objects nor detections is as it should be.
        return f1.get(number, 1.0)

    def draw(number: int) -> Entry:
        image = validation.image(number)
        objects = [each for each in annotations if not each['iscrowd']]
        drawings = [
            image_address(
                draw_instances(
                    image,
                    _instances([each for each in given if each['image_id'] == number], image.shape),
                    validation.class_names,
                    fitting_scale(image),
                )
            )
            for given in (objects, shown)
        ]
        name = validation.caption(number)
        caption = f'{name}: F1 {quality(number):.2f}'
        alternatives = (f'{name}, ground truth', f'{name}, prediction')
        return Entry(caption, list(zip(alternatives, drawings, strict=True)))

    return worst_and_best(sorted(validation.indices, key=quality), draw, count)


def _instances(given: list[dict[str, Any]], shape: tuple[int, ...]) -> InstanceData:
    """Return instances in COCO's format as they are drawn."""
    instances = InstanceData()
    boxes = np.array([each['bbox'] for each in given], dtype=np.float64).reshape(-1, 4)
    instances.bboxes = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    instances.labels = np.array([each['category_id'] for each in given], dtype=np.int64)
    if given and 'score' in given[0]:
        instances.scores = np.array([each['score'] for each in given])
    if given and all('segmentation' in each for each in given):
        instances.masks = [_run_lengths(each['segmentation'], shape) for each in given]
    return instances


def _run_lengths(segmentation: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return a mask of any of COCO's formats as compressed run lengths."""
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *shape[:2]))
    elif isinstance(segmentation['counts'], list):
        segmentation = coco_mask.frPyObjects(segmentation, *shape[:2])
    return dict(segmentation)

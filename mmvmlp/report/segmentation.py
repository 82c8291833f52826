"""Evaluation of a segmentor: IoU by class, confusions, images.

IoU is over the pixels of all images, by hotcoco, as mmsegmentation computes it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmvmlp.optional_packages import import_optional
from mmvmlp.report.figures import plot_bars
from mmvmlp.report.findings import (
    Entry,
    Findings,
    Table,
    confusions,
    decimal,
    fitting_scale,
    image_address,
    named_classes,
    worst_and_best,
)
from mmvmlp.report.validation import Validation
from mmvmlp.visualization.drawing import draw_class_map

IGNORED = 255
GREY = (128, 128, 128)


def find_in_segmentor(validation: Validation, gallery: int) -> Findings:
    """Evaluate a segmentor on its validation images.

    Args:
        validation: Its images and model.
        gallery: The most images in each of the galleries.

    Raises:
        ImportError: If hotcoco is missing.
    """
    semantic = import_optional('hotcoco.semantic', 'demo')
    names = validation.class_names
    whole = semantic.SemanticEval(names, ignore_index=IGNORED)
    quality: dict[int, float] = {}
    maps: dict[int, list[Any]] = {}
    for number, sample in validation.predictions():
        pair = [
            pixels.data[0].cpu().numpy().astype(np.uint16)
            for pixels in (sample.gt_sem_seg, sample.pred_sem_seg)
        ]
        one = semantic.SemanticEval(names, ignore_index=IGNORED)
        one.update(*pair)
        whole.merge(one)
        quality[number] = one.results()['mIoU']
        # Compressed: those of hundreds of large images take gigabytes.
        maps[number] = [cv2.imencode('.png', pixels)[1] for pixels in pair]
    found = whole.results()
    classes = sorted(found['per_class'], key=lambda each: -np.nan_to_num(each['IoU'], nan=-1))
    title, shown = named_classes('IoU by class', [each for each in classes if each['gt_area']])
    findings = Findings({f'{name} (%)': 100 * found[name] for name in ('mIoU', 'mAcc', 'aAcc')})
    matrix, confused = confusions(whole.confusion(), names, names, 'Confusions: pixels')
    findings.figures = [
        plot_bars(
            [each['name'] for each in shown],
            {'IoU': np.array([each['IoU'] for each in shown])},
            title,
            'IoU',
        ),
        matrix,
    ]
    findings.tables = [
        Table(
            'IoU by class',
            ['class', 'pixels', 'IoU', 'accuracy'],
            [
                [each['name'], str(each['gt_area']), decimal(each['IoU']), decimal(each['Acc'])]
                for each in classes
            ],
        ),
        *confused,
    ]

    def draw(number: int) -> Entry:
        image = validation.image(number)
        palette = [
            *(tuple(colour) for colour in validation.model.dataset_meta.get('palette') or ()),
        ]
        drawings = []
        for encoded in maps[number]:
            pixels: Any = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
            # With a class of its own for what is not annotated.
            labelled = np.where(pixels == IGNORED, len(names), pixels).astype(np.uint16)
            colours = [*palette, GREY] if len(palette) == len(names) else palette
            drawn = draw_class_map(
                image, labelled, [*names, 'ignored'], colours, fitting_scale(image)
            )
            drawings.append(image_address(drawn))
        name = validation.caption(number)
        alternatives = (f'{name}, ground truth', f'{name}, prediction')
        return Entry(
            f'{name}: mIoU {quality[number]:.2f}',
            list(zip(alternatives, drawings, strict=True)),
        )

    worst_first = sorted(quality, key=lambda number: quality[number])
    findings.galleries = worst_and_best(worst_first, draw, gallery)
    return findings

"""Evaluation of a classifier: accuracy by class, confusions, images."""

from __future__ import annotations

import numpy as np

from mmvmlp.report.figures import plot_bars
from mmvmlp.report.findings import (
    Entry,
    Findings,
    NotEvaluatedError,
    Table,
    confusions,
    decimal,
    image_address,
    named_classes,
    worst_and_best,
)
from mmvmlp.report.validation import Validation
from mmvmlp.visualization.drawing import class_name


def find_in_classifier(validation: Validation, gallery: int) -> Findings:
    """Evaluate a classifier on its validation images.

    Args:
        validation: Its images and model.
        gallery: The most images in each of the galleries.

    Raises:
        NotEvaluatedError: If images have several labels.
    """
    labels, guesses, scores, rights = {}, {}, {}, {}
    for number, sample in validation.predictions():
        if len(sample.gt_label) != 1:
            raise NotEvaluatedError('images with one label each are evaluated')
        each = sample.pred_score.cpu().numpy()
        labels[number] = int(sample.gt_label[0])
        guesses[number] = int(each.argmax())
        scores[number], rights[number] = float(each.max()), float(each[labels[number]])
    size = len(each)
    names = [class_name(validation.class_names, label) for label in range(size)]
    counts = np.zeros((size, size), dtype=np.uint64)
    np.add.at(counts, (list(labels.values()), list(guesses.values())), 1)
    totals = counts.sum(axis=1)
    shares = np.where(totals > 0, counts.diagonal() / np.maximum(totals, 1), np.nan)
    order = np.argsort(-np.nan_to_num(shares, nan=-1), kind='stable')
    title, shown = named_classes('Accuracy by class', order[totals[order] > 0].tolist())
    findings = Findings({'accuracy (%)': 100 * float(counts.diagonal().sum() / counts.sum())})
    matrix, confused = confusions(counts, names, names, 'Confusions: images')
    findings.figures = [
        plot_bars([names[label] for label in shown], {'': shares[shown]}, title, 'share of images'),
        matrix,
    ]
    findings.tables = [
        Table(
            'Accuracy by class',
            ['class', 'images', 'accuracy'],
            [[names[label], str(totals[label]), decimal(shares[label])] for label in order],
        ),
        *confused,
    ]

    def draw(number: int) -> Entry:
        name = validation.caption(number)
        caption = (
            f'{name}: {names[labels[number]]}; '
            f'predicted {names[guesses[number]]} ({scores[number]:.2f})'
        )
        return Entry(caption, [(name, image_address(validation.image(number)))])

    worst_first = sorted(rights, key=lambda number: rights[number])
    findings.galleries = worst_and_best(worst_first, draw, gallery)
    return findings

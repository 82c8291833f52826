"""What the evaluation of a checkpoint found, in the form in which the page shows it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from mmvmlp.report.figures import COUNTED_CLASSES, NAMED_CLASSES, plot_confusion
from mmvmlp.visualization.drawing import ImageArray

Class = TypeVar('Class')

LISTED_CONFUSIONS = 20
GALLERY_QUALITY = 82
GALLERY_SIDE = 400
"""Longer side in pixels of an image of a gallery."""


class NotEvaluatedError(ValueError):
    """Models or data of this kind are not evaluated."""


@dataclass(frozen=True)
class Table:
    """A table whose first column has names.

    Attributes:
        title: Of the table.
        head: Of the columns.
        rows: Texts; what is missing is an empty one.
        note: A sentence on how to read it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ''


@dataclass(frozen=True)
class Entry:
    """An image of a gallery.

    Attributes:
        caption: What stands below.
        images: Descriptions and addresses, side by side.
    """

    caption: str
    images: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Gallery:
    """Images with predictions.

    Attributes:
        title: Of the gallery.
        entries: Its images.
    """

    title: str
    entries: Sequence[Entry]


@dataclass
class Findings:
    """What a checkpoint does on validation images.

    Attributes:
        metrics: The figures of the whole, by name.
        figures: Drawings.
        tables: Tables.
        galleries: Images with predictions.
    """

    metrics: dict[str, float]
    figures: list[Markup] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)


def worst_and_best(
    worst_first: Sequence[int], make: Callable[[int], Entry], count: int
) -> list[Gallery]:
    """Make galleries of the images at both ends of an order, none of them twice.

    Args:
        worst_first: Images, by number.
        make: Draws one.
        count: Images in each of the galleries.
    """
    worst = list(worst_first[: min(count, -(-len(worst_first) // 2))])
    best = list(reversed(worst_first[len(worst) :]))[:count]
    galleries = [
        Gallery(title, [make(image) for image in chosen])
        for title, chosen in (('Worst', worst), ('Best', best))
    ]
    return [gallery for gallery in galleries if gallery.entries]


def named_classes(title: str, classes: Sequence[Class]) -> tuple[str, Sequence[Class]]:
    """Choose the classes for which a figure has room.

    Args:
        title: Of the figure.
        classes: The best first.

    Returns:
        The title, which says so if classes are left out, and the classes.
    """
    half = NAMED_CLASSES // 2
    if len(classes) <= NAMED_CLASSES:
        return title, classes
    return f'{title}, best and worst {half}', [*classes[:half], *classes[-half:]]


def confusions(
    counts: npt.NDArray[np.uint64], rows: Sequence[str], columns: Sequence[str], title: str
) -> tuple[Markup, list[Table]]:
    """Show a confusion matrix: a figure, and where that has no numbers a table of the largest.

    Args:
        counts: Shape (rows, columns); what stands on the diagonal is right.
        rows: What is annotated.
        columns: What is predicted.
        title: Of the figure.
    """
    figure = plot_confusion(counts, rows, columns, title)
    if max(counts.shape) <= COUNTED_CLASSES:
        return figure, []
    wrong = counts.astype(np.int64)
    np.fill_diagonal(wrong, 0)
    largest = np.argsort(-wrong, axis=None, kind='stable')[:LISTED_CONFUSIONS]
    pairs = [divmod(int(place), len(columns)) for place in largest]
    table = Table(
        'Most frequent confusions',
        ['annotated', 'predicted', 'number'],
        [
            [rows[row], columns[column], str(wrong[row, column])]
            for row, column in pairs
            if wrong[row, column]
        ],
    )
    return figure, [table]


def fitting_scale(image: ImageArray) -> float:
    """Return the factor that brings an image to the size of a gallery."""
    return GALLERY_SIDE / max(image.shape[:2])


def image_address(image: ImageArray) -> str:
    """Return an address that holds an image itself, at the size of a gallery."""
    scale = fitting_scale(image)
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, 'WEBP', quality=GALLERY_QUALITY)
    return 'data:image/webp;base64,' + base64.b64encode(buffer.getvalue()).decode('ascii')


def decimal(value: float) -> str:
    """Write a figure for a table, or nothing where there is none."""
    return '' if value != value else f'{value:.3f}'

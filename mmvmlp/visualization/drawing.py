"""Drawings: instances on an image, lines of text, a contact sheet of many images.

All pictures are arrays of shape (H, W, 3), RGB, uint8.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mmvmlp.output_files import write_atomically

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

MASK_OPACITY = 0.4
CLASS_MAP_OPACITY = 0.5
LEAST_NAMED_SHARE = 0.005
JPEG_QUALITY = 95

# Ten hues that stay apart from each other on a photograph; more classes go round the colour wheel.
TEN_COLOURS: tuple[Colour, ...] = (
    (255, 82, 82),
    (255, 167, 38),
    (255, 235, 59),
    (139, 195, 74),
    (0, 200, 140),
    (0, 200, 255),
    (66, 133, 255),
    (160, 110, 255),
    (255, 105, 200),
    (210, 190, 165),
)
GOLDEN_RATIO = 0.618034

PAPER: Colour = (255, 255, 255)
INK: Colour = (33, 33, 33)
FAINT_INK: Colour = (110, 110, 110)


@dataclass(frozen=True)
class Instances:
    """Objects in one image, annotated or predicted.

    Attributes:
        boxes: Left, top, right and bottom in pixels, shape (N, 4).
        labels: Class indices, shape (N,).
        scores: Confidences in [0, 1], shape (N,), or None for annotations.
        masks: Pixels of each object, boolean, shape (N, H, W), or None if only boxes are known.
    """

    boxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32] | None = None
    masks: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def above(self, score_threshold: float) -> Instances:
        """Return the instances whose score is not below a threshold; all if there are none."""
        if self.scores is None:
            return self
        kept = self.scores >= score_threshold
        return replace(
            self,
            boxes=self.boxes[kept],
            labels=self.labels[kept],
            scores=self.scores[kept],
            masks=None if self.masks is None else self.masks[kept],
        )


@dataclass(frozen=True)
class Comparison:
    """An image with what is annotated in it and what a model finds there.

    Attributes:
        picture: The image.
        annotated: The ground truth.
        predicted: The prediction, of which only what is to be drawn.
        caption: A name for the image.
    """

    picture: Picture
    annotated: Instances
    predicted: Instances
    caption: str = ''


def class_name(class_names: Sequence[str], label: int) -> str:
    """Return the name of a class, or a stand-in if there is none."""
    return class_names[label] if 0 <= label < len(class_names) else f'class {label}'


def class_colour(label: int, num_classes: int) -> Colour:
    """Return the colour in which a class is drawn, the same in every picture."""
    if num_classes <= len(TEN_COLOURS):
        return TEN_COLOURS[label % len(TEN_COLOURS)]
    red, green, blue = colorsys.hsv_to_rgb(
        label * GOLDEN_RATIO % 1, (0.55, 0.75, 0.95)[label % 3], (1.0, 0.85)[label % 2]
    )
    return round(red * 255), round(green * 255), round(blue * 255)


def enlargement(shape: tuple[int, ...], side: int = 480) -> int:
    """Return the whole factor that brings the longer side of a small image to about `side` pixels.

    Args:
        shape: Of the image's array, height and width first.
        side: What the longer side should at least nearly be.

    Returns:
        1 for images that are not small.
    """
    return max(1, round(side / max(shape[:2])))


def draw_instances(
    picture: Picture,
    instances: Instances,
    class_names: Sequence[str],
    scale: float = 1.0,
    font_size: int | None = None,
) -> Picture:
    """Draw masks, boxes, class names and scores on an image.

    Args:
        picture: The image.
        instances: What to draw, in pixels of the image.
        class_names: The name of every class.
        scale: Factor by which the image is enlarged first, so that lines and letters stay fine on
            a small one.
        font_size: Height of the letters in pixels of the result; by default it follows the size
            of the result.

    Returns:
        A new picture, `scale` times as large.
    """
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    canvas = _resized(picture, (height, width))
    size = font_size or round(min(max(max(height, width) / 40, 13), 32))
    line = max(1, round(size / 9))
    colours = [class_colour(int(label), len(class_names)) for label in instances.labels]
    if instances.masks is not None:
        _fill_masks(canvas, instances.masks, colours, line)
    boxes = instances.boxes * scale
    for (left, top, right, bottom), colour in zip(boxes, colours, strict=True):
        corners = (round(left), round(top)), (round(right) - 1, round(bottom) - 1)
        cv2.rectangle(canvas, *corners, INK, line + 2)
        cv2.rectangle(canvas, *corners, colour, line)
    texts = [class_name(class_names, int(label)) for label in instances.labels]
    if instances.scores is not None:
        texts = [
            f'{text}: {score:.2f}' for text, score in zip(texts, instances.scores, strict=True)
        ]
    return _with_tags(canvas, boxes, texts, colours, size)


def draw_class_map(
    picture: Picture,
    indices: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    class_names: Sequence[str],
    palette: Sequence[Sequence[int]] = (),
    scale: float = 1.0,
) -> Picture:
    """Colour an image by the class of every pixel, and name each class in its largest region.

    Args:
        picture: The image.
        indices: The class of every pixel, shape (H, W).
        class_names: The name of every class.
        palette: The colour of every class, in RGB; classes beyond it have colours of ours.
        scale: Factor by which the image is enlarged first.

    Returns:
        A new picture, `scale` times as large. Regions of less than half a percent of it are
        coloured, but not named.
    """
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    canvas = _resized(picture, (height, width))
    enlarged = cv2.resize(indices, (width, height), interpolation=cv2.INTER_NEAREST)
    points, texts, colours = [], [], []
    for label in np.unique(enlarged).tolist():
        ours = class_colour(label, len(class_names))
        red, green, blue = palette[label] if label < len(palette) else ours
        region = enlarged == label
        blend = (1 - CLASS_MAP_OPACITY) * canvas[region]
        blend += CLASS_MAP_OPACITY * np.array((red, green, blue))
        canvas[region] = blend.round().astype(np.uint8)
        centre, area = _centre_of_largest_part(region)
        if area >= LEAST_NAMED_SHARE * region.size:
            points.append((*centre, *centre))
            texts.append(class_name(class_names, label))
            colours.append((int(red), int(green), int(blue)))
    size = round(min(max(max(height, width) / 40, 13), 32))
    boxes = np.array(points, dtype=np.float32).reshape(-1, 4)
    return _with_tags(canvas, boxes, texts, colours, size)


def _centre_of_largest_part(region: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], float]:
    """Return the point (x, y) deepest inside the largest connected part, and that part's area."""
    _, parts, measures, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    largest = 1 + int(measures[1:, cv2.CC_STAT_AREA].argmax())
    # With a border, so that the rim of the picture is a rim of the part as well.
    inside = np.pad((parts == largest).astype(np.uint8), 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (int(x) - 1, int(y) - 1), float(measures[largest, cv2.CC_STAT_AREA])


def draw_lines_of_text(picture: Picture, lines: Sequence[str], scale: float = 1.0) -> Picture:
    """Write lines into the top left corner of an image.

    Args:
        picture: The image.
        lines: What to write.
        scale: Factor by which the image is enlarged first.

    Returns:
        A new picture, `scale` times as large.
    """
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    sheet = Image.fromarray(_resized(picture, (height, width)))
    draw = ImageDraw.Draw(sheet, 'RGBA')
    size = round(min(max(max(height, width) / 40, 13), 32))
    text = '\n'.join(lines)
    margin = size // 3
    box = draw.multiline_textbbox((2 * margin, 2 * margin), text, font=_font(size))
    draw.rectangle(
        (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin), (*INK, 200)
    )
    draw.multiline_text((2 * margin, 2 * margin), text, PAPER, font=_font(size))
    return np.asarray(sheet)


def draw_comparisons(
    comparisons: Sequence[Comparison],
    class_names: Sequence[str],
    title: str,
    headings: tuple[str, str] = ('ground truth', 'prediction'),
    pairs_per_row: int = 3,
    tile: int = 352,
) -> Picture:
    """Draw a contact sheet: pairs of an image with its annotations and with its predictions.

    Args:
        comparisons: What to draw, row by row.
        class_names: The name of every class.
        title: Heading of the sheet.
        headings: What stands above the annotated and above the predicted images.
        pairs_per_row: Pairs side by side.
        tile: Longer side of every drawn image in pixels.

    Returns:
        The sheet.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if not comparisons:
        raise ValueError('comparisons is empty: there is no image to draw on a contact sheet')
    columns = min(pairs_per_row, len(comparisons))
    rows = -(-len(comparisons) // columns)
    scales = [tile / max(entry.picture.shape[:2]) for entry in comparisons]
    tile_height, tile_width = (
        max(
            round(entry.picture.shape[axis] * scale)
            for entry, scale in zip(comparisons, scales, strict=True)
        )
        for axis in (0, 1)
    )
    inner, outer, caption_height = 6, 30, 24
    pair_width = 2 * tile_width + inner
    top = 132
    sheet = Image.new(
        'RGB',
        (
            columns * pair_width + (columns + 1) * outer,
            top + rows * (tile_height + caption_height + 12) + outer // 2,
        ),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((outer, 26), title, INK, font=_fitting_font(title, 34, sheet.width - 2 * outer))
    for column in range(columns):
        left = outer + column * (pair_width + outer)
        for half, heading in enumerate(headings):
            middle = left + half * (tile_width + inner) + tile_width / 2
            font = _fitting_font(heading, 24, tile_width)
            draw.text((middle, top - 14), heading, INK, font=font, anchor='ms')
    for index, (entry, scale) in enumerate(zip(comparisons, scales, strict=True)):
        row, column = divmod(index, columns)
        left = outer + column * (pair_width + outer)
        upper = top + row * (tile_height + caption_height + 12)
        for half, instances in enumerate((entry.annotated, entry.predicted)):
            drawn = draw_instances(entry.picture, instances, class_names, scale, tile // 20)
            sheet.paste(
                Image.fromarray(drawn),
                (
                    left + half * (tile_width + inner) + (tile_width - drawn.shape[1]) // 2,
                    upper + (tile_height - drawn.shape[0]) // 2,
                ),
            )
        font = _fitting_font(entry.caption, 16, pair_width)
        draw.text((left, upper + tile_height + 4), entry.caption, FAINT_INK, font=font)
    return np.asarray(sheet)


def save_picture(picture: Picture | npt.NDArray[np.uint16], file: Path) -> None:
    """Write a picture, or an index map of shape (H, W), so that the file is whole or not there.

    Args:
        picture: What to write.
        file: Its suffix is the format.
    """
    buffer = BytesIO()
    kind = Image.registered_extensions()[file.suffix.lower()]
    options = {'quality': JPEG_QUALITY, 'subsampling': 0} if kind == 'JPEG' else {}
    Image.fromarray(picture).save(buffer, kind, **options)
    write_atomically(file, buffer.getvalue())


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Every system has other fonts; matplotlib brings this one.
    return ImageFont.truetype(
        Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size
    )


def _fitting_font(text: str, size: int, width: float) -> ImageFont.FreeTypeFont:
    while size > 8 and _font(size).getlength(text) > width:
        size -= 1
    return _font(size)


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    if picture.shape[:2] == size:
        return picture.copy()
    smaller = size[0] < picture.shape[0]
    resized: Picture = np.asarray(
        cv2.resize(
            picture, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        ),
        dtype=np.uint8,
    )
    return resized


def _fill_masks(
    canvas: Picture, masks: npt.NDArray[np.bool_], colours: Sequence[Colour], line: int
) -> None:
    size = canvas.shape[1], canvas.shape[0]
    for mask, colour in zip(masks, colours, strict=True):
        smooth = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
        blend = (1 - MASK_OPACITY) * canvas[smooth] + MASK_OPACITY * np.array(colour)
        canvas[smooth] = blend.round().astype(np.uint8)
        contours, _ = cv2.findContours(
            smooth.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(canvas, contours, -1, colour, line, cv2.LINE_AA)


def _with_tags(
    canvas: Picture,
    boxes: npt.NDArray[np.float32],
    texts: Sequence[str],
    colours: Sequence[Colour],
    size: int,
) -> Picture:
    """Write each box's text beside it, where it covers as little as can be of others and boxes."""
    sheet = Image.fromarray(canvas)
    draw = ImageDraw.Draw(sheet)
    font = _font(size)
    pad = max(2, size // 6)
    ascent, descent = font.getmetrics()
    height = ascent + descent + pad
    placed: list[Rectangle] = []
    # The surest last, so that it is on top of others where there is no room for all.
    for index in reversed(range(len(texts))):
        width = font.getlength(texts[index]) + 2 * pad
        tag = _free_place(boxes[index], (width, height), (sheet.width, sheet.height), placed)
        placed.append(tag)
        colour = colours[index]
        draw.rectangle((tag[0], tag[1], tag[2] - 1, tag[3] - 1), colour, INK)
        dark = np.dot(colour, (0.299, 0.587, 0.114)) < 110
        draw.text((tag[0] + pad, tag[1] + pad / 2), texts[index], PAPER if dark else INK, font=font)
    return np.asarray(sheet)


def _free_place(
    box: npt.NDArray[np.float32],
    tag: tuple[float, float],
    size: tuple[int, int],
    placed: Sequence[Rectangle],
) -> Rectangle:
    left, top, right, bottom = (float(side) for side in box)
    width, height = tag
    candidates = [
        (left, top - height),
        (right - width, top - height),
        (left, bottom),
        (right - width, bottom),
        (right, top),
        (left - width, top),
        (right, bottom - height),
        (left - width, bottom - height),
        (left, top),
        (left, bottom - height),
    ]
    best: Rectangle = (0.0, 0.0, 0.0, 0.0)
    least = float('inf')
    for x, y in candidates:
        inside_x = min(max(x, 0.0), max(size[0] - width, 0.0))
        inside_y = min(max(y, 0.0), max(size[1] - height, 0.0))
        rectangle = (inside_x, inside_y, inside_x + width, inside_y + height)
        # A tag over another one is unreadable; one over its own object only hides some of it.
        cost = 10 * sum(_shared_area(rectangle, other) for other in placed)
        cost += _shared_area(rectangle, (left, top, right, bottom))
        if cost < least:
            least, best = cost, rectangle
    return best


def _shared_area(first: Rectangle, second: Rectangle) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0.0) * max(height, 0.0)

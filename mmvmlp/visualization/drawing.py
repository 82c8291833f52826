"""Drawings of predictions on an image.

Images are arrays of shape (H, W, 3), RGB, uint8.
"""

# Why not the toolboxes' visualizers: mmdet's writes most names six points high and gives masks
# random colours, drawn from NumPy's global generator; mmseg's blends names with what is under them
# and leaves out classes without a name. They need ten times as long, on a large image of
# a segmentor four seconds. torchvision's functions blacken what two masks share and cut off names
# at the border.

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from mmengine.structures import InstanceData
from PIL import Image, ImageDraw, ImageFont

from mmvmlp.inference.run_lengths import decode_mask
from mmvmlp.output_files import write_atomically

ImageArray = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Rectangles = npt.NDArray[np.float64]
"""Left, top, right and bottom in pixels, shape (N, 4)."""

MASK_OPACITY = 0.4
CLASS_MAP_OPACITY = 0.5
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

LIGHT: Colour = (255, 255, 255)
DARK: Colour = (33, 33, 33)


def class_name(class_names: Sequence[str], label: int) -> str:
    """Return the name of a class, or a stand-in if there is none."""
    return class_names[label] if 0 <= label < len(class_names) else f'class {label}'


def class_colour(label: int, num_classes: int) -> Colour:
    """Return the colour in which a class is drawn, the same in every image."""
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
        side: Wanted length of the longer side in pixels.

    Returns:
        1 for images that are not small.
    """
    return max(1, round(side / max(shape[:2])))


def draw_instances(
    image: ImageArray, instances: InstanceData, class_names: Sequence[str], scale: float = 1.0
) -> ImageArray:
    """Draw masks, boxes, class names and scores on an image.

    Args:
        image: The image.
        instances: Arrays ``bboxes`` (N, 4) and ``labels`` (N,), and if known ``scores`` (N,) and
            ``masks`` (N, H, W), in pixels of the image; or masks as COCO's run lengths.
        class_names: The name of every class.
        scale: Factor by which the image is enlarged first, so that lines and letters stay fine on
            a small one.

    Returns:
        A new image, `scale` times as large.
    """
    canvas = _resized(image, scale)
    line = max(1, round(_letter_size(canvas) / 9))
    labels = instances.labels.tolist()
    colours = [class_colour(label, len(class_names)) for label in labels]
    for mask, colour in zip(instances.get('masks', ()), colours, strict=False):
        _fill(canvas, decode_mask(mask) if isinstance(mask, dict) else mask, colour, line)
    boxes = instances.bboxes * scale
    for (left, top, right, bottom), colour in zip(boxes.round().astype(int), colours, strict=True):
        corners = (int(left), int(top)), (int(right) - 1, int(bottom) - 1)
        cv2.rectangle(canvas, *corners, DARK, line + 2)
        cv2.rectangle(canvas, *corners, colour, line)
    texts = [class_name(class_names, label) for label in labels]
    if 'scores' in instances:
        texts = [
            f'{text}: {score:.2f}' for text, score in zip(texts, instances.scores, strict=True)
        ]
    return _with_texts(canvas, boxes, texts, colours)


def draw_class_map(
    image: ImageArray,
    indices: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    class_names: Sequence[str],
    palette: Sequence[Sequence[int]] = (),
    scale: float = 1.0,
) -> ImageArray:
    """Colour an image by the class of every pixel, and name each class where it is thickest.

    Args:
        image: The image.
        indices: The class of every pixel, shape (H, W).
        class_names: The name of every class.
        palette: The colour of every class, in RGB; classes beyond it have colours of ours.
        scale: Factor by which the image is enlarged first.

    Returns:
        A new image, `scale` times as large. Classes whose regions are all thinner than a letter are
        coloured, but not named.
    """
    canvas = _resized(image, scale)
    enlarged = cv2.resize(indices, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    labels = np.unique(enlarged).tolist()
    colours = np.zeros((labels[-1] + 1, 3), dtype=np.uint8)
    for label in labels:
        in_palette = label < len(palette)
        colours[label] = palette[label] if in_palette else class_colour(label, len(class_names))
    canvas = cv2.addWeighted(canvas, 1 - CLASS_MAP_OPACITY, colours[enlarged], CLASS_MAP_OPACITY, 0)
    named, points = [], []
    for label in labels:
        # With a border, so that the border of the image is one of the region as well.
        region = np.pad((enlarged == label).astype(np.uint8), 1)
        depths = cv2.distanceTransform(region, cv2.DIST_L2, 3)
        _, depth, _, (x, y) = cv2.minMaxLoc(depths)
        if depth >= _letter_size(canvas) / 2:
            named.append(label)
            points.append((x, y, x, y))
    return _with_texts(
        canvas,
        np.array(points, dtype=np.float64).reshape(-1, 4),
        [class_name(class_names, label) for label in named],
        [(int(red), int(green), int(blue)) for red, green, blue in colours[named]],
    )


def draw_text(image: ImageArray, text: str, scale: float = 1.0) -> ImageArray:
    """Write text into the top left corner of an image.

    Args:
        image: The image.
        text: One or more lines.
        scale: Factor by which the image is enlarged first.

    Returns:
        A new image, `scale` times as large.
    """
    return _with_texts(_resized(image, scale), np.zeros((1, 4)), [text], [DARK])


@cache
def letters(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all drawings, `size` pixels high."""
    # Every system has other fonts; matplotlib brings this one.
    return ImageFont.truetype(
        Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size
    )


def encode_image(image: ImageArray | npt.NDArray[np.uint16], suffix: str) -> bytes:
    """Encode an image, or an index map of shape (H, W).

    Args:
        image: What to encode.
        suffix: The format, such as ``'.jpg'``.
    """
    buffer = BytesIO()
    kind = Image.registered_extensions()[suffix.lower()]
    options = {'quality': JPEG_QUALITY, 'subsampling': 0} if kind == 'JPEG' else {}
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def save_image(image: ImageArray | npt.NDArray[np.uint16], file: Path) -> None:
    """Write an image, or an index map of shape (H, W), so that the file is whole or not there.

    Args:
        image: What to write.
        file: Its suffix is the format.
    """
    write_atomically(file, encode_image(image, file.suffix))


def _resized(image: ImageArray, scale: float) -> ImageArray:
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized: ImageArray = cv2.resize(image, (width, height), interpolation=interpolation)
    return resized


def _letter_size(canvas: ImageArray) -> int:
    return round(min(max(max(canvas.shape[:2]) / 40, 16), 32))


def _fill(canvas: ImageArray, mask: npt.NDArray[np.bool_], colour: Colour, line: int) -> None:
    region, part, left, top = canvas, mask, 0, 0
    scale = canvas.shape[0] // mask.shape[0]
    if canvas.shape[:2] == (scale * mask.shape[0], scale * mask.shape[1]):
        # Only where it is filled: a large image has many small objects.
        rows, columns = (_filled(np.any(mask, axis=axis)) for axis in (1, 0))
        part, left, top = mask[rows, columns], scale * columns.start, scale * rows.start
        region = canvas[top : scale * rows.stop, left : scale * columns.stop]
    if not part.size:
        return
    part = part.astype(np.float32)
    inside = cv2.resize(part, region.shape[1::-1], interpolation=cv2.INTER_LINEAR) >= 0.5
    blend = (1 - MASK_OPACITY) * region[inside] + MASK_OPACITY * np.array(colour)
    region[inside] = blend.round().astype(np.uint8)
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, colour, line, cv2.LINE_AA, offset=(left, top))


def _filled(line: npt.ArrayLike) -> slice:
    """Return the part of a line that is filled, and a pixel around it."""
    places = np.flatnonzero(line)
    if not len(places):
        return slice(0, 0)
    return slice(max(int(places[0]) - 1, 0), int(places[-1]) + 2)


def _with_texts(
    canvas: ImageArray, boxes: Rectangles, texts: Sequence[str], colours: Sequence[Colour]
) -> ImageArray:
    """Write each box's text beside it, where it covers as little as can be of others and boxes."""
    sheet = Image.fromarray(canvas)
    draw = ImageDraw.Draw(sheet)
    font = letters(_letter_size(canvas))
    margin = max(2, _letter_size(canvas) // 6)
    placed: Rectangles = np.zeros((0, 4))
    # The highest score last, so that it is on top of others where there is no room for all.
    for box, text, colour in reversed(list(zip(boxes, texts, colours, strict=True))):
        _, _, width, height = draw.multiline_textbbox((0, 0), text, font)
        # Of one height, whether or not there are letters with descenders.
        height = max(height, sum(font.getmetrics()))
        place = _free_place(box, (width + 2 * margin, height + margin), sheet.size, placed)
        placed = np.vstack([placed, place])
        draw.rectangle((*place[:2], *(place[2:] - 1)), colour, DARK)
        is_dark = np.dot(colour, (0.299, 0.587, 0.114)) < 110
        draw.multiline_text(
            (place[0] + margin, place[1] + margin / 2), text, LIGHT if is_dark else DARK, font
        )
    return np.asarray(sheet)


def _free_place(
    box: npt.NDArray[np.float64],
    size: tuple[float, float],
    canvas_size: tuple[int, int],
    placed: Rectangles,
) -> npt.NDArray[np.float64]:
    (left, top, right, bottom), (width, height) = box, size
    corners = np.array(
        [
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
    ).clip(0, np.maximum(np.subtract(canvas_size, size), 0))
    places = np.hstack([corners, corners + size])
    occupied = np.vstack([placed, box])
    first, last = np.maximum, np.minimum
    shared = last(places[:, None, 2:], occupied[:, 2:]) - first(
        places[:, None, :2], occupied[:, :2]
    )
    areas = shared.clip(min=0).prod(axis=2)
    # A text over another one is unreadable; one over its own object only hides some of it.
    costs = 10 * areas[:, :-1].sum(axis=1) + areas[:, -1]
    best: npt.NDArray[np.float64] = places[costs.argmin()]
    return best

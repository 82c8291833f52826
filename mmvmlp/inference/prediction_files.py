"""Predictions on image files, written as drawings and one JSON file."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from mmvmlp.datasets.loading import read_image
from mmvmlp.inference.predictors import Predictor
from mmvmlp.output_files import write_atomically
from mmvmlp.visualization.drawing import save_image

JSON_NAME = 'predictions.json'


def predict_files(
    predictor: Predictor,
    images: Sequence[Path],
    out_dir: Path,
    about: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Predict on image files, and write a drawing for each and one JSON file for all.

    Every image is read once before the first prediction, so that a damaged one is known at once.
    The JSON file is written last, with the paths of the drawings relative to it.

    Args:
        predictor: From :func:`make_predictor`.
        images: From :func:`find_images`.
        out_dir: Where to write; it is made.
        about: What the JSON file is to say before the predictions.
        progress: Show a progress bar where there is a terminal to show it on.

    Returns:
        The JSON file.

    Raises:
        ImageReadError: With the path, if a file is not a whole image.
        NotADirectoryError: If there is a file where the folder should be.
        ValueError: If a drawing would replace one of the images.
    """
    names = drawing_names(images)
    _check_out_dir(out_dir, images, names)
    for file in images:
        read_image(file)
    out_dir.mkdir(parents=True, exist_ok=True)
    records = []
    for file, name in track(
        list(zip(images, names, strict=True)),
        'Predicting',
        disable=not (progress and sys.stdout.isatty()),
    ):
        image = read_image(file)
        outcome = predictor(image)
        save_image(outcome.drawing, out_dir / f'{name}.jpg')
        record = {
            'path': str(file),
            'width': image.shape[1],
            'height': image.shape[0],
            'drawing': f'{name}.jpg',
        }
        if outcome.index_map is not None:
            save_image(outcome.index_map, out_dir / f'{name}.png')
            record['index_map'] = f'{name}.png'
        records.append({**record, **outcome.record})
    contents = {'task': predictor.task, **(about or {}), 'images': records}
    json_file = out_dir / JSON_NAME
    write_atomically(json_file, json.dumps(contents, indent=1).encode())
    return json_file


def drawing_names(images: Sequence[Path]) -> list[str]:
    """Name a drawing for each image after it, without a suffix, no two alike.

    Images of one name are told apart by the folders they are in, as many as that takes, and by a
    number where that is not enough.
    """
    parts = [file.absolute().with_suffix('').parts[1:] for file in images]
    depths = [1] * len(parts)
    while True:
        names = ['_'.join(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        # Some file systems take no notice of capitals.
        counts = Counter(name.casefold() for name in names)
        deeper = [
            index
            for index, name in enumerate(names)
            if counts[name.casefold()] > 1 and depths[index] < len(parts[index])
        ]
        if not deeper:
            break
        for index in deeper:
            depths[index] += 1
    taken = {name for name, count in counts.items() if count == 1}
    for index, name in enumerate(names):
        if counts[name.casefold()] > 1:
            number = 1
            while f'{name}_{number}'.casefold() in taken:
                number += 1
            names[index] = f'{name}_{number}'
            taken.add(names[index].casefold())
    return names


def _check_out_dir(out_dir: Path, images: Sequence[Path], names: Sequence[str]) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise NotADirectoryError(f'out_dir={str(out_dir)!r} is a file, not a folder')
    outputs = {out_dir.resolve() / f'{name}{end}' for name in names for end in ('.jpg', '.png')}
    for file in images:
        if file.resolve() in outputs:
            raise ValueError(
                f'out_dir={str(out_dir)!r}: the drawing of {str(file)!r} would replace it; name '
                'another folder'
            )

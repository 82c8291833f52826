"""Generate a data set: validate the options, and write it completely or not at all."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

from tqdm import tqdm

from mmvmlp.datasets.digit_scenes.coco_categories import Categories
from mmvmlp.datasets.digit_scenes.layouts import (
    FIRST_VAL_IMAGE_ID,
    Layout,
    SceneOptions,
    missing_files,
    write_layout,
)
from mmvmlp.datasets.digit_scenes.sources import attribution

# Increase it whenever the same options would give different images or annotations.
GENERATOR_VERSION = 5

MANIFEST_NAME = 'digit_scenes.json'
DEFAULT_SIZES: dict[Layout, tuple[int, int]] = {
    'coco': (160, 160),
    'ade': (160, 160),
    'imagenet': (64, 64),
}
SMALLEST_SIZES: dict[Layout, int] = {'coco': 64, 'ade': 64, 'imagenet': 32}
LARGEST_SIZE = 2048
DEFAULT_DIGITS_PER_SCENE: dict[Layout, tuple[int, int]] = {
    'coco': (3, 6),
    'ade': (3, 6),
    'imagenet': (3, 5),
}
DEFAULT_DIGIT_HEIGHTS: dict[Layout, tuple[float, float]] = {
    'coco': (0.25, 0.45),
    'ade': (0.25, 0.45),
    'imagenet': (0.5, 0.8),
}
SMALLEST_DIGIT_HEIGHT, LARGEST_DIGIT_HEIGHT = 0.1, 0.95
MOST_DIGITS = 12


def make_digit_scenes(
    out_dir: str | Path,
    layout: str = 'coco',
    train: int = 1300,
    val: int = 100,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    categories: str = 'digits',
    *,
    digits_per_scene: tuple[int, int] | None = None,
    digit_height: tuple[float, float] | None = None,
    overwrite: bool = False,
    renew: bool = False,
    progress: bool = True,
) -> Path:
    """Generate the digit scenes unless they already exist.

    The folder appears only when it is complete.

    Args:
        out_dir: Folder to create.
        layout: 'coco', 'ade' or 'imagenet'.
        train: Number of training images.
        val: Number of validation images.
        size: Side, or height and width, in pixels; by default 160, or 64 for 'imagenet'.
        seed: Image i of a split depends on the seed, the split and i, but not on the number of
            images.
        categories: Category names of the COCO layout: 'digits', or 'coco80' for COCO's 80.
        digits_per_scene: Minimum and maximum number of digits in a scene; by default 3 and 6, or 3
            and 5 for 'imagenet', where all but one are fragments cut off by the border.
        digit_height: Minimum and maximum height of a digit as fractions of the shorter side; by
            default 0.25 and 0.45, or 0.5 and 0.8 for 'imagenet'.
        overwrite: Replace existing digit scenes, whatever their options.
        renew: Replace existing digit scenes with the same options that are incomplete, or of
            another generator version.
        progress: Show a progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: If an argument is not accepted.
        FileExistsError: If `out_dir` has other contents; the message says how to proceed.
    """
    options = _checked_options(
        layout, train, val, size, seed, categories, digits_per_scene, digit_height
    )
    folder = Path(out_dir).expanduser()
    # Resolved, so that the temporary folder is on the same disk as the target of a link.
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    manifest_text = json.dumps({'version': GENERATOR_VERSION, **asdict(options)}, indent=2) + '\n'
    with _locked(target.parent):
        incomplete = target.with_name(f'.{target.name}.incomplete')
        replaced = target.with_name(f'.{target.name}.replaced')
        for leftover in (incomplete, replaced):
            if leftover.exists():
                shutil.rmtree(leftover)
        if _is_up_to_date(target, options, manifest_text, overwrite, renew):
            print(f'{folder} is up to date.')
            return folder
        incomplete.mkdir()
        try:
            with tqdm(
                total=options.train + options.val,
                desc=f'digit scenes ({options.layout})',
                unit='image',
                disable=not progress,
            ) as bar:
                write_layout(incomplete, options, bar.update)
            (incomplete / 'ATTRIBUTION.txt').write_text(attribution(), encoding='utf-8')
            (incomplete / MANIFEST_NAME).write_text(manifest_text, encoding='utf-8')
            if target.exists():
                target.rename(replaced)
            incomplete.rename(target)
        except BaseException:
            shutil.rmtree(incomplete, ignore_errors=True)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    return folder


def _checked_options(
    layout: str,
    train: int,
    val: int,
    size: int | tuple[int, int] | None,
    seed: int,
    categories: str,
    digits_per_scene: tuple[int, int] | None,
    digit_height: tuple[float, float] | None,
) -> SceneOptions:
    if layout not in get_args(Layout):
        raise ValueError(f'layout must be one of {_listed(get_args(Layout))}, got {layout!r}')
    known_layout = cast('Layout', layout)
    if categories not in get_args(Categories):
        raise ValueError(
            f'categories must be one of {_listed(get_args(Categories))}, got {categories!r}'
        )
    if categories != 'digits' and layout != 'coco':
        raise ValueError(
            f"categories must be 'digits' with the {layout!r} layout, got {categories!r}"
        )
    _check_range('train', train, 1, FIRST_VAL_IMAGE_ID)
    _check_range('val', val, 1, FIRST_VAL_IMAGE_ID)
    _check_range('seed', seed, 0, 2**63 - 1)
    height, width = _checked_pair(
        'size',
        DEFAULT_SIZES[known_layout] if size is None else size,
        SMALLEST_SIZES[known_layout],
        LARGEST_SIZE,
    )
    fewest, most = _checked_pair(
        'digits_per_scene',
        DEFAULT_DIGITS_PER_SCENE[known_layout] if digits_per_scene is None else digits_per_scene,
        1,
        MOST_DIGITS,
    )
    if fewest > most:
        raise ValueError(f'digits_per_scene must have its minimum first, got {digits_per_scene}')
    return SceneOptions(
        layout=known_layout,
        train=train,
        val=val,
        size=(height, width),
        seed=seed,
        categories=cast('Categories', categories),
        digits_per_scene=(fewest, most),
        digit_height=_checked_heights(digit_height or DEFAULT_DIGIT_HEIGHTS[known_layout]),
    )


def _checked_pair(
    name: str, value: int | tuple[int, int], least: int, most: int
) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, tuple | list) else (value,)
    if len(pair) not in (1, 2):
        raise ValueError(f'{name} must be one or two numbers, got {value!r}')
    for number in pair:
        _check_range(name, number, least, most)
    return int(pair[0]), int(pair[-1])


def _checked_heights(value: tuple[float, float]) -> tuple[float, float]:
    try:
        least, most = map(float, value)
    except (TypeError, ValueError):
        least = most = -1.0
    if not SMALLEST_DIGIT_HEIGHT <= least <= most <= LARGEST_DIGIT_HEIGHT:
        raise ValueError(
            'digit_height must be two fractions of the shorter side from '
            f'{SMALLEST_DIGIT_HEIGHT} to {LARGEST_DIGIT_HEIGHT}, minimum first, got {value!r}'
        )
    return least, most


def _check_range(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f'{name} must be an integer from {least} to {most}, got {value!r}')


def _listed(values: tuple[str, ...]) -> str:
    return ', '.join(repr(value) for value in values)


def _is_up_to_date(
    target: Path, options: SceneOptions, manifest_text: str, overwrite: bool, renew: bool
) -> bool:
    """Return True if the requested data set exists.

    Raises:
        FileExistsError: If the folder has contents that must not be replaced.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    manifest = target / MANIFEST_NAME
    if not manifest.is_file():
        raise FileExistsError(
            f'{target} exists and was not made by this generator, so it is not replaced. '
            'Name another folder, or rename this one.'
        )
    if overwrite:
        return False
    present = manifest.read_text(encoding='utf-8', errors='replace')
    if present == manifest_text:
        missing = missing_files(target, options)
        if missing and not renew:
            raise FileExistsError(
                f'{target} has digit scenes of which files are missing ({"; ".join(missing)}). '
                'To make them anew:\n'
                f'  {_overwriting_command(target, json.loads(manifest_text))}'
            )
        return not missing
    requested = json.loads(manifest_text)
    try:
        existing = dict(json.loads(present))
    except (ValueError, TypeError) as error:
        raise FileExistsError(
            f'{manifest} is damaged, so it is not known what {target} has. To keep that, name '
            'another folder or rename this one. To replace it:\n'
            f'  {_overwriting_command(target, requested)}'
        ) from error
    # Options unknown to the other version had their defaults.
    if renew and {**requested, **existing, 'version': GENERATOR_VERSION} == requested:
        print(
            f'{target} was made by version {existing.get("version")} of the generator; '
            f'regenerating it with version {GENERATOR_VERSION}.'
        )
        return False
    differences = ', '.join(
        f'{name} {existing.get(name)!r} instead of {value!r}'
        for name, value in requested.items()
        if existing.get(name) != value
    )
    raise FileExistsError(
        f'{target} has digit scenes made with {differences}. '
        'To keep them, name another folder or rename this one. To replace them:\n'
        f'  {_overwriting_command(target, requested)}'
    )


def _overwriting_command(target: Path, requested: dict[str, Any]) -> str:
    words = [sys.executable, '-m', 'mmvmlp', 'make-digits', str(target)]
    for name, value in requested.items():
        if name != 'version':
            words.append('--' + name.replace('_', '-'))
            words += map(str, value if isinstance(value, list) else [value])
    return shlex.join([*words, '--overwrite'])


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let only one process at a time generate data sets in a folder, except on Windows.

    A lock on the folder itself leaves no file behind, and is released however the process ends.
    """
    if sys.platform == 'win32':
        yield
        return
    import fcntl
    import os

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems cannot lock folders; there, simultaneous runs may collide.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

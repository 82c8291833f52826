"""Look at the app in headless Chromium, and write its picture for docs/app.md.

Run as ``python -m development.app_in_browser``; it takes a minute. It needs Chromium and Playwright
(``pip install playwright``), which ``make env`` does not install. It fails if an image or a scene
gets no boxes, if a text file or a large image is not refused, or if the page writes an error to the
console or asks another host for anything.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmvmlp.app.page import served
from mmvmlp.cli.app import CHECKPOINT, CONFIG
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config
from mmvmlp.inference.predictors import make_predictor

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / 'docs/images/app.jpg'
IMAGE = ROOT / 'demo/digits.jpg'
WIDTHS = {'wide': 1280, 'phone': 390}
MILLISECONDS = 30_000


def look_at_app(page: Any, address: str, folder: Path) -> None:
    """Use the app as a person would, and end with the predictions of an image.

    Args:
        page: Page of Playwright.
        address: Address of the app.
        folder: Folder for files that are dropped in.

    Raises:
        ValueError: If the page logs an error, or asks another host.
        playwright.sync_api.Error: If the app does not show what it should.
    """
    problems: list[str] = []

    def note_request(request: Any) -> None:
        if not request.url.startswith((address, 'data:', 'blob:')):
            problems.append(f'asked {request.url}')

    def note_message(message: Any) -> None:
        if message.type == 'error':
            problems.append(message.text)

    page.on('request', note_request)
    page.on('console', note_message)
    page.on('pageerror', lambda error: problems.append(str(error)))
    (folder / 'text.png').write_text('no image')
    cv2.imwrite(str(folder / 'large.png'), np.zeros((5000, 8000, 3), np.uint8))

    def drop(file: Path) -> None:
        remove = page.get_by_role('button', name='Remove Image')
        if remove.count():
            remove.click()
        page.locator('input[type=file]').first.set_input_files(file)

    found = page.locator('.found tbody tr').first
    page.goto(address)
    # Gradio takes clicks some time after it shows a button.
    page.wait_for_timeout(2000)
    page.get_by_role('button', name='Digit scene').click()
    found.wait_for()
    drop(folder / 'text.png')
    page.get_by_text('is not an image').wait_for()
    drop(folder / 'large.png')
    page.get_by_text('at most 25,000,000 pixels').wait_for()
    drop(IMAGE)
    found.wait_for()
    page.get_by_role('tab', name='Feature pyramid').click()
    page.wait_for_function('document.querySelectorAll(".maps img").length === 32')
    page.get_by_role('tab', name='Receptive field').click()
    page.get_by_text('half of the influence').wait_for()
    page.get_by_role('tab', name='Predictions').click()
    page.wait_for_function('[...document.images].every(each => each.complete)')
    # The line below the tabs moves for a moment.
    page.wait_for_timeout(1000)
    if problems:
        raise ValueError('; '.join(problems))


def main() -> None:
    """Look at the app at each width and in each colour scheme, and write its picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--chromium', default='chromium', help='program (default: chromium)')
    parser.add_argument('--out-dir', type=Path, help='folder for a picture of each look')
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with one_clear_error('__main__'):
        predictor = make_predictor(load_config(CONFIG), CHECKPOINT, score_threshold=0.5)
        with (
            tempfile.TemporaryDirectory() as folder,
            served(predictor, CHECKPOINT.stem) as address,
            sync_playwright() as playwright,
        ):
            program = shutil.which(arguments.chromium)
            browser = playwright.chromium.launch(executable_path=program)
            for name, width in WIDTHS.items():
                for scheme in ('light', 'dark'):
                    size = {'width': width, 'height': 900}
                    page = browser.new_page(viewport=size, color_scheme=scheme)
                    page.set_default_timeout(MILLISECONDS)
                    look_at_app(page, address, Path(folder))
                    files = [PICTURE] if (name, scheme) == ('wide', 'light') else []
                    if arguments.out_dir is not None:
                        files.append(arguments.out_dir / f'{name}_{scheme}.jpg')
                    for file in files:
                        page.screenshot(path=file, type='jpeg', quality=80, full_page=True)
                    page.close()
            browser.close()
    print(f'{PICTURE.relative_to(ROOT)}: the app with {IMAGE.name}')


if __name__ == '__main__':
    main()

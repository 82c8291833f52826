"""The page of the app, in Gradio, and its server."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import cv2
import gradio
from starlette.middleware import Middleware

from mmvmlp.app.door import Door
from mmvmlp.app.markup import contact_sheet, heading, note, table
from mmvmlp.app.uploads import MOST_BYTES, MOST_PIXELS, Refused, decode_upload
from mmvmlp.app.views import (
    new_scene,
    point_in,
    predict,
    pyramid,
    receptive_field,
    see,
    stages,
)
from mmvmlp.inference.chunks import PIPELINE_ERRORS
from mmvmlp.inference.predictors import DetectionPredictor, Predictor
from mmvmlp.visualization.drawing import ImageArray

Answer = TypeVar('Answer')

FIRST_PORT, PORTS = 7860, 100
LONGEST_QUEUE = 8
SECONDS_KEPT = 3600
"""How long uploads and pictures stay on the disk; at the end of the app, all are removed."""

ENVIRONMENT = {
    'GRADIO_ANALYTICS_ENABLED': 'False',
    # Settings for other apps must not open this one.
    'GRADIO_ALLOWED_PATHS': '',
    'GRADIO_ROOT_PATH': '',
}

FONTS = ('system-ui', 'Segoe UI', 'Roboto', 'DejaVu Sans', 'sans-serif')
CODE_FONTS = ('ui-monospace', 'DejaVu Sans Mono', 'monospace')
STYLE = Path(__file__).with_name('style.css')

CENTRE = (0.5, 0.5)
NO_IMAGE = 'Drop an image, or draw a digit scene.'


@contextmanager
def served(
    predictor: Predictor,
    title: str,
    host: str = '127.0.0.1',
    port: int | None = None,
) -> Iterator[str]:
    """Serve the app until the context ends.

    Args:
        predictor: The model; a detector's score threshold is what the page begins with.
        title: Name of the model, for the page.
        host: Address to listen at.
        port: Port; by default the first free one from 7860.

    Yields:
        The address of the page.

    Raises:
        OSError: If the port is taken, or the address is none of this machine.
        TypeError: If the model has no backbone of this package.
    """
    port = _free_port(host, port)
    with (
        tempfile.TemporaryDirectory(prefix='mmvmlp-app-') as folder,
        _environment({**ENVIRONMENT, 'GRADIO_TEMP_DIR': folder}),
    ):
        page = make_page(predictor, title)
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            num_workers=0,
            footer_links=[],
            max_file_size=MOST_BYTES,
            theme=_theme(),
            # Not as `css`, whose rules Gradio rewrites, and loses those for small screens.
            head=f'<style>{STYLE.read_text(encoding="utf-8")}</style>',
            app_kwargs={'middleware': [Middleware(Door, folder=folder)]},
        )
        try:
            yield address
        finally:
            page.close(verbose=False)


def make_page(predictor: Predictor, title: str) -> gradio.Blocks:
    """Make the page; see :func:`served`."""
    is_detector = isinstance(predictor, DetectionPredictor)
    names = predictor.class_names
    facts = [f'{predictor.task.capitalize()} of {len(names)} classes', _few(names)]
    stage_names = [(f'Stage {number + 1}', number) for number in range(stages(predictor))]
    with gradio.Blocks(
        title=f'{title} · mmvmlp',
        analytics_enabled=False,
        delete_cache=(SECONDS_KEPT // 6, SECONDS_KEPT),
    ) as page:
        gradio.HTML(heading(title, facts), padding=False)
        point = gradio.State(CENTRE)
        with gradio.Row():
            with gradio.Column(scale=2, min_width=300):
                upload = Upload(
                    label='Image',
                    sources=['upload', 'clipboard'],
                    format='png',
                    buttons=[],
                    height=300,
                )
                scene = gradio.Button('Digit scene', variant='primary')
                threshold = gradio.Slider(
                    0,
                    1,
                    predictor.score_threshold,
                    step=0.05,
                    label='Score threshold',
                    visible=is_detector,
                )
                gradio.HTML(
                    note(
                        f'Images have at most {MOST_BYTES / 1e6:.0f} MB and '
                        f'{MOST_PIXELS / 1e6:.0f} megapixels. They are sent nowhere else, and '
                        'deleted after an hour, or when the app ends.'
                    ),
                    padding=False,
                )
            with gradio.Column(scale=3, min_width=300), gradio.Tabs():
                with gradio.Tab('Predictions'):
                    drawing = _picture('Predictions')
                    found = gradio.HTML(note(NO_IMAGE), padding=False)
                with gradio.Tab('Receptive field'):
                    stage = gradio.Radio(
                        stage_names, value=stage_names[1][1], label='After', container=False
                    )
                    field = _picture('Click to move the point')
                    meaning = gradio.HTML(note(NO_IMAGE), padding=False)
                with gradio.Tab('Feature pyramid'):
                    maps = gradio.HTML(note(NO_IMAGE), padding=False, elem_classes='contact')

        @_answered
        def find(file: str | None, score_threshold: float) -> tuple[ImageArray | None, str]:
            if file is None:
                return None, note(NO_IMAGE)
            image, remarks = _decoded(file)
            drawn, headings, rows = predict(predictor, image, score_threshold)
            return drawn, note(remarks) + table(headings, rows)

        @_answered
        def look(
            file: str | None, number: int, position: tuple[float, float]
        ) -> tuple[ImageArray | None, str]:
            if file is None:
                return None, note(NO_IMAGE)
            seen = see(predictor, _decoded(file)[0])
            drawn, text = receptive_field(predictor, seen, number, position)
            return drawn, note(text)

        @_answered
        def unfold(file: str | None) -> str:
            if file is None:
                return note(NO_IMAGE)
            return contact_sheet(pyramid(predictor, see(predictor, _decoded(file)[0])))

        @_answered
        def click(file: str | None, event: gradio.SelectData) -> tuple[float, float]:
            if file is None:
                return CENTRE
            return point_in(see(predictor, _decoded(file)[0]), *event.index)

        # One prediction at a time; and no description of an interface, which Gradio fills with
        # addresses of its own.
        one = {
            'concurrency_id': 'model',
            'concurrency_limit': 1,
            'api_visibility': 'undocumented',
        }
        finding = {'fn': find, 'inputs': [upload, threshold], 'outputs': [drawing, found], **one}
        looking = {'fn': look, 'inputs': [upload, stage, point], 'outputs': [field, meaning], **one}
        unfolding = {'fn': unfold, 'inputs': upload, 'outputs': maps, **one}
        drawn = scene.click(new_scene, None, upload, **one)
        for changed in (drawn.success, upload.upload, upload.clear):
            changed(**finding).success(**looking).success(**unfolding)
        threshold.release(**finding)
        stage.input(**looking)
        clicked = field.select(click, upload, point, show_progress='hidden', **one)
        clicked.success(**looking, show_progress='hidden')
    page.queue(max_size=LONGEST_QUEUE)
    return page


class Upload(gradio.Image):
    """An image whose file is handed on as it was uploaded, neither opened nor converted."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        return None if payload is None else payload.path


def _picture(label: str) -> gradio.Image:
    return gradio.Image(
        label=label, interactive=False, format='png', buttons=['download', 'fullscreen']
    )


def _decoded(file: str) -> tuple[ImageArray, str]:
    return decode_upload(file, Path(file).read_bytes())


def _answered(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Show in the page why an image is refused; other errors go to the terminal only."""

    @wraps(function)
    def answered(*given: Any) -> Answer:
        try:
            return function(*given)
        except Refused as error:
            message = str(error)
        except (*PIPELINE_ERRORS, TypeError) as error:
            reason = error.err if isinstance(error, cv2.error) else ' '.join(str(error).split())
            message = f'This image cannot be predicted: {reason}.'
        raise gradio.Error(escape(message), title='Refused', duration=None, print_exception=False)

    return answered


def _few(names: list[str], most: int = 12) -> str:
    listed = ', '.join(names[:most])
    return listed if len(names) <= most else f'{listed}, …'


def _theme() -> gradio.themes.Base:
    """Return a theme with fonts that systems have."""
    font = gradio.themes.Font
    return gradio.themes.Base(
        primary_hue='blue',
        neutral_hue='stone',
        radius_size='md',
        font=[font(name) for name in FONTS],
        font_mono=[font(name) for name in CODE_FONTS],
    )


def _free_port(host: str, port: int | None) -> int:
    """Find a port before the server starts, whose own error names settings of Gradio."""
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,)
    reason: str | None = None
    for each in wanted:
        with socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, each))
                return int(trial.getsockname()[1])
            except OSError as error:
                reason = error.strerror
    raise OSError(f'host={host!r}, port={port!r}: the app cannot listen there ({reason})')


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which Gradio reads at several places."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

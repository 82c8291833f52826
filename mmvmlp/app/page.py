"""The page of the app, in Gradio, and its server."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import gradio
from starlette.middleware import Middleware

from mmvmlp.app.markup import contact_sheet, heading, note, refusal, table
from mmvmlp.app.request_filter import RequestFilter
from mmvmlp.app.uploads import MEGABYTE, MOST_BYTES, MOST_PIXELS, Refused, decode_upload
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

Upload = Mapping[str, Any] | None
"""An uploaded file, as Gradio describes it."""

Shown = tuple[ImageArray | None, str]
"""A picture, and HTML below it."""

FIRST_PORT, PORTS = 7860, 100
LONGEST_QUEUE = 8
SECONDS_KEPT = 3600
"""How long uploads and pictures stay on the disk; at the end of the app, all are removed."""

ENVIRONMENT = {
    'GRADIO_ANALYTICS_ENABLED': 'False',
    # Settings for other apps must not open this one.
    'GRADIO_ALLOWED_PATHS': '',
    'GRADIO_ROOT_PATH': '',
    # Gradio asks its own server whether it is there.
    'NO_PROXY': '*',
    'no_proxy': '*',
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
            app_kwargs={'middleware': [Middleware(RequestFilter, folder=folder)]},
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
                upload = _image('Image', sources=['upload', 'clipboard'], buttons=[], height=300)
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
                        f'Images have at most {MOST_BYTES // MEGABYTE} MB and '
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
                        stage_names,
                        value=min(1, len(stage_names) - 1),
                        label='After',
                        container=False,
                    )
                    field = _picture('Click to move the point')
                    meaning = gradio.HTML(note(NO_IMAGE), padding=False)
                with gradio.Tab('Feature pyramid'):
                    maps = gradio.HTML(note(NO_IMAGE), padding=False, elem_classes='contact')

        def find(file: Upload, score_threshold: float) -> Shown:
            def view(image: ImageArray, remarks: str) -> Shown:
                drawn, headings, rows = predict(predictor, image, score_threshold)
                return drawn, note(remarks) + table(headings, rows)

            return _shown(file, view)

        def look(file: Upload, number: int, position: tuple[float, float]) -> Shown:
            def view(image: ImageArray, _: str) -> Shown:
                drawn, text = receptive_field(predictor, see(predictor, image), number, position)
                return drawn, note(text)

            return _shown(file, view)

        def unfold(file: Upload) -> str:
            def view(image: ImageArray, _: str) -> Shown:
                return None, contact_sheet(pyramid(predictor, see(predictor, image)))

            return _shown(file, view)[1]

        def click(file: Upload, event: gradio.SelectData) -> tuple[float, float]:
            if file is None:
                return CENTRE
            return point_in(see(predictor, _decoded(file)[0]), *event.index)

        # One prediction at a time; files as they were uploaded, neither opened nor converted; no
        # description of the interface, which Gradio fills with addresses of its own.
        one = {
            'preprocess': False,
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
        threshold.change(**finding, trigger_mode='always_last', show_progress='hidden')
        stage.input(**looking)
        clicked = field.select(click, upload, point, show_progress='hidden', **one)
        clicked.success(**looking, show_progress='hidden')
    page.queue(max_size=LONGEST_QUEUE)
    return page


def _image(label: str, **options: Any) -> gradio.Image:
    image = gradio.Image(label=label, format='png', **options)
    # Gradio's example is an address.
    image.example_inputs = lambda: None
    return image


def _picture(label: str) -> gradio.Image:
    return _image(label, interactive=False, buttons=['download', 'fullscreen'])


def _decoded(file: Mapping[str, Any]) -> tuple[ImageArray, str]:
    path = Path(file['path'])
    return decode_upload(path.name, path.read_bytes())


def _shown(file: Upload, view: Callable[[ImageArray, str], Shown]) -> Shown:
    """Show a view of an image, or why there is none.

    Args:
        file: The image, if there is one.
        view: Is called with the image and remarks on it.
    """
    if file is None:
        return None, note(NO_IMAGE)
    try:
        return view(*_decoded(file))
    except Refused as error:
        return None, refusal(str(error))
    except (*PIPELINE_ERRORS, TypeError) as error:
        reason = error.err if isinstance(error, cv2.error) else ' '.join(str(error).split())
        return None, refusal(f'There is nothing to show for this image: {reason}.')


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
        with socket.socket() as trial:
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

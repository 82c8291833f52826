"""Images of all kinds, sizes and states."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from development.fuzz.damage import DAMAGES, damaged
from development.fuzz.small_run import write_small_run
from mmvmlp.config.loading import load_config
from mmvmlp.inference.prediction_files import predict_files
from mmvmlp.inference.predictors import make_predictor
from mmvmlp.inference.sources import find_sources

MODES = {
    '.png': ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'],
    '.jpg': ['L', 'RGB', 'CMYK'],
    '.bmp': ['1', 'L', 'P', 'RGB'],
    '.tif': ['1', 'L', 'P', 'RGB', 'RGBA', 'CMYK', 'I;16', 'I', 'F'],
    '.webp': ['RGB', 'RGBA'],
    '.gif': ['P'],
    '.ppm': ['L', 'RGB'],
}
SIDES = st.one_of(st.integers(1, 100), st.sampled_from([1, 2, 10_000]))


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    suffix = draw(st.sampled_from(sorted(MODES)))
    height, width = draw(SIDES), draw(SIDES)
    return {
        'suffix': suffix,
        'mode': draw(st.sampled_from(MODES[suffix])),
        # At most one side is long.
        'size': (min(width, 100) if height > 100 else width, height),
        'frames': draw(st.sampled_from([1, 1, 1, 3])),
        'damage': draw(st.lists(DAMAGES, max_size=2)),
        'instead': draw(st.sampled_from([None] * 12 + ['empty', 'text', 'png bomb', 'tall bomb'])),
        'renamed': draw(st.sampled_from([None] * 6 + ['.jpg', '.png', '.tif'])),
        'seed': draw(st.integers(0, 99)),
    }


class Images:
    """Predicts on a folder of one good image and one odd one, with a small detector.

    Whatever becomes of the odd one, the good one must be predicted, and the other must be predicted
    too or listed with its error, in one line.
    """

    name = 'images'
    inputs = _cases()

    def __init__(self, folder: Path) -> None:
        self.folder = folder / 'images'
        self.out = folder / 'out'
        config_file, data = write_small_run(folder)
        self.good = next((data / 'val2017').iterdir())
        config = load_config(config_file)
        init_default_scope(config.default_scope)
        torch.manual_seed(0)
        checkpoint = folder / 'untrained.pth'
        torch.save({'state_dict': MODELS.build(config.model).state_dict()}, checkpoint)
        self.predictor = make_predictor(config, checkpoint)

    def attempt(self, value: dict[str, Any]) -> bool:
        for folder in (self.folder, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        self.folder.mkdir()
        odd = self.folder / f'odd{value["renamed"] or value["suffix"]}'
        odd.write_bytes(_contents(value))
        lines: list[str] = []
        summary = predict_files(
            self.predictor,
            find_sources([str(odd), str(self.good)]),
            self.out,
            progress=False,
            report=lines.append,
        )
        (file,) = summary.files
        written = json.loads(file.read_text())
        predicted = [record['path'] for record in written['images']]
        failed = [record['path'] for record in written.get('failures', [])]
        assert str(self.good) in predicted
        assert (str(odd) in predicted) != (str(odd) in failed)
        assert (summary.predicted, summary.failed) == (len(predicted), len(failed))
        assert all('\n' not in line and str(odd) in line for line in lines)
        return not failed


def _contents(value: dict[str, Any]) -> bytes:
    if value['instead'] == 'empty':
        return b''
    if value['instead'] == 'text':
        return b'not an image'
    if value['instead'] == 'png bomb':
        return _png_of_zeros(20_000, 20_000)
    if value['instead'] == 'tall bomb':
        return _png_of_zeros(3, 400_000_000)
    generator = np.random.default_rng(value['seed'])
    images = []
    for _ in range(value['frames']):
        width, height = value['size']
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        images.append(Image.fromarray(pixels).convert('RGB'))
    mode = value['mode']
    if mode in ('I;16', 'I', 'F'):
        images = [each.convert('L').convert('I').convert(mode) for each in images]
    else:
        images = [each.convert(mode) for each in images]
    stream = io.BytesIO()
    several = {'save_all': True, 'append_images': images[1:]} if len(images) > 1 else {}
    if value['suffix'] not in ('.png', '.tif', '.webp', '.gif'):
        several = {}
    kind = {'.jpg': 'JPEG', '.tif': 'TIFF'}.get(value['suffix'], value['suffix'][1:].upper())
    images[0].save(stream, kind, **several)
    return damaged(stream.getvalue(), value['damage'])


def _png_of_zeros(width: int, height: int) -> bytes:
    """Return the start of a PNG of any size; its pixels would compress to little."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(2**16))
    return (
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', pixels) + chunk(b'IEND', b'')
    )

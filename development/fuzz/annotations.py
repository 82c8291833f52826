"""Annotation files with missing, odd and contradictory contents."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from development.fuzz.small_run import write_small_run
from development.fuzz.trials import accepted
from development.fuzz.values import changed, changes
from mmvmlp.cli import check_config

BOXES = st.lists(st.integers(-80, 200) | st.floats(allow_nan=False), max_size=5)
POLYGONS = st.lists(st.lists(st.integers(-80, 200), max_size=9), max_size=2)


@st.composite
def _cases(draw: st.DrawFn, original: dict[str, Any]) -> bytes:
    kind = draw(st.sampled_from(['structure', 'structure', 'contents', 'contents', 'text']))
    whole = json.dumps(original).encode()
    if kind == 'structure':
        return json.dumps(changed(original, draw(changes(original)))).encode()
    if kind == 'text':
        at = draw(st.integers(0, len(whole)))
        return (
            whole[:at]
            + draw(st.sampled_from([b'', b'\xff', b'}', b'NaN', b',,']))
            + (whole[at:] if draw(st.booleans()) else b'')
        )
    listed: list[tuple[str, tuple[Any, ...], Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(original['annotations']) - 1))
        field, value = draw(
            st.one_of(
                st.tuples(st.just('bbox'), BOXES),
                st.tuples(st.just('segmentation'), POLYGONS),
                st.tuples(st.sampled_from(['category_id', 'image_id', 'id']), st.integers(-1, 99)),
                st.tuples(st.just('iscrowd'), st.integers(0, 2)),
                st.tuples(st.just('area'), st.floats()),
            )
        )
        listed.append(('replace', ('annotations', index, field), value))
    if draw(st.booleans()):
        listed.append(
            draw(
                st.sampled_from(
                    [
                        ('replace', ('annotations',), []),
                        ('replace', ('images',), []),
                        ('replace', ('categories',), original['categories'][:3]),
                        ('replace', ('images', 0, 'width'), 7),
                        ('replace', ('images', 0, 'file_name'), '../elsewhere.png'),
                        ('replace', ('images', 0, 'file_name'), 'x' * 300),
                        ('repeat', ('images', 0), None),
                        ('repeat', ('categories', 0), None),
                    ]
                )
            )
        )
    return json.dumps(changed(original, listed)).encode()


class Annotations:
    """Checks a small run with an annotation file of its training images.

    The check builds the data set as training does, reads its images, and trains one step.
    """

    name = 'annotation files'

    def __init__(self, folder: Path) -> None:
        self.config, self.data = write_small_run(folder)
        self.file = self.data / 'annotations/instances_train2017.json'
        self.inputs = _cases(json.loads(self.file.read_text()))

    def attempt(self, value: bytes) -> bool:
        self.file.write_bytes(value)
        sys.argv = ['check-config', str(self.config), '--data-root', str(self.data)]
        return accepted(check_config.main)

"""Configs with missing, odd and contradictory settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from mmengine.config import Config

from development.fuzz.small_run import write_small_run
from development.fuzz.trials import accepted
from development.fuzz.values import changed, changes
from mmvmlp.cli import check_config

PARTS = [
    *('model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper'),
    *('param_scheduler', 'train_cfg', 'default_hooks', 'auto_scale_lr'),
]


@st.composite
def _cases(draw: st.DrawFn, original: dict[str, Any]) -> tuple[str, Any]:
    part = draw(st.sampled_from(PARTS))
    return part, changed({part: original[part]}, draw(changes({part: original[part]})))


class Configs:
    """Checks a small run with changed settings: it builds the run, and trains one step."""

    name = 'settings of configs'

    def __init__(self, folder: Path) -> None:
        config, self.data = write_small_run(folder)
        self.file = folder / 'changed.py'
        self.original = Config.fromfile(config).to_dict()
        self.inputs = _cases(self.original)

    def attempt(self, value: tuple[str, Any]) -> bool:
        part, settings = value
        rest = {key: setting for key, setting in self.original.items() if key != part}
        contents = {**rest, **settings}
        # A name that no variable can have is left to the reader of the file.
        lines = [f'{key} = {setting!r}' for key, setting in contents.items()]
        self.file.write_text('inf, nan = float("inf"), float("nan")\n' + '\n'.join(lines))
        sys.argv = ['check-config', str(self.file), '--data-root', str(self.data)]
        return accepted(check_config.main)

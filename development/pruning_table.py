"""Measure AP of the small trained detector without its smallest weights, for docs/inspection.md.

Run as ``python -m development.pruning_table``; it takes half a minute on two cores, and writes
docs/pruning.json and its table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from development.generated_document import markdown_table, write_record
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.config.settings import build_runner, set_strict_checkpoints, set_work_dir
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.inspection.mixing_weights import zero_smallest_weights

ROOT = Path(__file__).resolve().parents[1]
RECORD = 'docs/pruning.json'
DOCUMENT = 'docs/inspection.md'
SECTION = 'pruning'
COMMAND = 'python -m development.pruning_table'

CONFIG = ROOT / 'configs/mask_rcnn_hire_mlp_nano_digits.py'
CHECKPOINT = ROOT / 'demo/mask_rcnn_hire_mlp_nano_digits.safetensors'
KINDS = ('token_mixing', 'channel_mlp')
SHARES = (0.3, 0.5, 0.7)


def measure(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield AP of the whole detector, then of each pruned one.

    Args:
        folder: Empty folder for data and checkpoints.
    """
    data = make_digit_scenes(folder / 'data', train=1, progress=False)
    for kind, share in [('', 0.0), *((kind, share) for share in SHARES for kind in KINDS)]:
        model = load_trained_model(load_config(CONFIG), CHECKPOINT, 'cpu')
        if kind:
            zero_smallest_weights(model.backbone, kind, share)
        pruned = folder / 'pruned.pth'
        torch.save({'state_dict': model.state_dict()}, pruned)
        measured = _test(load_config(CONFIG), pruned, data, folder / 'work')
        aps = {name: measured[f'coco/{name}_mAP'] for name in ('bbox', 'segm')}
        yield {'kind': kind, 'share': share, **aps}


def _test(config: Config, checkpoint: Path, data: Path, work_dir: Path) -> dict[str, Any]:
    set_data_root(config, data)
    set_work_dir(config, str(work_dir))
    set_strict_checkpoints(config)
    config.load_from = str(checkpoint)
    measured: dict[str, Any] = build_runner(config).test()
    return measured


def pruning_section(record: dict[str, Any]) -> str:
    """Return a table of the measurements."""
    rows = [
        [
            f'`{each["kind"]}`' if each['kind'] else 'none',
            f'{each["share"]:.0%}' if each['kind'] else '',
            *(f'{100 * each[name]:.1f}' for name in ('bbox', 'segm')),
        ]
        for each in record['measured']
    ]
    headings = ['weights set to zero', 'share of each layer', 'box AP', 'mask AP']
    return f'```sh\n{COMMAND}\n```\n\n{markdown_table(headings, rows)}'


def main() -> None:
    """Measure, and write the record and the table."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'), tempfile.TemporaryDirectory() as folder:
        record = {'command': COMMAND, 'measured': list(measure(Path(folder)))}
        write_record(ROOT, record, RECORD, DOCUMENT, {SECTION: pruning_section(record)})
    print(f'The table is in {DOCUMENT}')


if __name__ == '__main__':
    main()

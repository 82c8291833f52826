"""Measure the error of all networks in bfloat16 and float16, for docs/deployment.md.

Run as ``python -m development.precision_table``; it takes some minutes, writes docs/precision.json
and the table from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mmcv
import torch
from mmengine.config import Config

from development.generated_document import markdown_table, write_record
from mmvmlp.analysis.machine import machine_facts
from mmvmlp.analysis.precision import LARGEST_ERRORS, PRECISIONS, measure_precision
from mmvmlp.backbones.base import VisionMLP, find_backbone, registered_families
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.inference.trained_model import load_trained_model

ROOT = Path(__file__).resolve().parents[1]
RECORD = 'docs/precision.json'
DOCUMENT = 'docs/deployment.md'
SECTION = 'precision'
COMMAND = 'python -m development.precision_table'

TRAINED = 'mask_rcnn_hire_mlp_nano_digits'
"""The trained detector in demo/."""

SIZE = 224
"""Height and width of the images, for which all networks were published."""

Record = dict[str, Any]


def measured_backbones() -> Iterator[tuple[str, str, VisionMLP, torch.Tensor]]:
    """Yield the group, the name, the backbone and the images of every measurement.

    Backbones have their initial weights and the final norm of the published classifier; the last
    one is that of a trained detector.
    """
    for family in registered_families():
        for variant in family.variants:
            torch.manual_seed(0)
            backbone = family(variant, out_norm=family.has_final_norm).eval()
            yield family.title, f'{family.name_prefix}_{variant}', backbone, images()
    config = Config.fromfile(ROOT / f'configs/{TRAINED}.py')
    detector = load_trained_model(config, ROOT / f'demo/{TRAINED}.safetensors', 'cpu')
    pixels = torch.from_numpy(mmcv.imread(ROOT / 'demo/digits.jpg')).permute(2, 0, 1)
    batch = detector.data_preprocessor({'inputs': [pixels], 'data_samples': None})
    yield 'trained detector of `demo/`', TRAINED, find_backbone(detector)[0], batch['inputs']


def images() -> torch.Tensor:
    """Return normalised images: noise of mean 0 and standard deviation 1."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, SIZE, SIZE, generator=generator)


def measure() -> Record:
    """Measure all networks, one by one."""
    results = []
    for group, name, backbone, batch in measured_backbones():
        for error in measure_precision(backbone, batch):
            results.append(
                {
                    **{'group': group, 'name': name, **asdict(error.precision)},
                    **{'fused': error.fused, 'maps': error.maps, 'features': error.features},
                }
            )
        print(name, f'{max(result["maps"] for result in results if result["name"] == name):.4f}')
    return {'command': COMMAND, 'machine': machine_facts('cpu'), 'results': results}


def precision_section(record: Record) -> str:
    """Return the command and a table: the largest errors of each family, in percent."""
    bounds = ', '.join(f'{100 * bound:g} % in {dtype}' for dtype, bound in LARGEST_ERRORS.items())
    headings = ['', 'form']
    for precision in PRECISIONS:
        kind = 'weights' if precision.in_weights else 'autocast'
        headings.append(f'{precision.dtype} {kind}')
    rows = []
    for group in dict.fromkeys(result['group'] for result in record['results']):
        for fused in (False, True):
            cells = []
            for precision in PRECISIONS:
                sought = {'group': group, 'fused': fused, **asdict(precision)}
                found = [each for each in record['results'] if sought.items() <= each.items()]
                maps, features = (max(each[key] for each in found) for key in ('maps', 'features'))
                cells.append(f'{100 * maps:.2f}, {100 * features:.2f}')
            rows.append([group, 'fused' if fused else 'ordinary', *cells])
    facts = record['machine']
    return (
        f'```sh\n{COMMAND}\n```\n\n{markdown_table(headings, rows)}\n\n'
        f'Measured with torch {facts["versions"]["torch"]} on {facts["device"]}. Tests hold every '
        f'family to at most {bounds}.'
    )


def main() -> None:
    """Measure, and write the record and the table."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'):
        record = measure()
        write_record(ROOT, record, RECORD, DOCUMENT, {SECTION: precision_section(record)})
    print(f'The table is in {DOCUMENT}, all errors in {RECORD}')


if __name__ == '__main__':
    main()

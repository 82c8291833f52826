"""Lists every network of every family, in the table of docs/networks.md.

python -m development.network_table
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.config import Config

from development.generated_document import markdown_table, with_sections
from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.build import build_classifier
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
SECTION = 'networks'


def network_table() -> str:
    """Return a Markdown table of the registered families: sizes, and names in configs."""
    headings = [
        'family',
        'name: parameters of the 1000-class classifier',
        'strides',
        'other image sizes',
        'in configs',
    ]
    return markdown_table(headings, [_row(family) for family in registered_families()])


def _row(family: type[VisionMLP]) -> list[str]:
    names = [f'{family.name_prefix}_{variant}' for variant in family.variants]
    with torch.device('meta'):
        classifiers = [build_classifier(name) for name in names]
    counts = [sum(p.numel() for p in classifier.parameters()) for classifier in classifiers]
    return [
        f'[{family.title}]({family.paper})',
        '<br>'.join(f'`{name}`: {count:,}' for name, count in zip(names, counts, strict=True)),
        strides_in_words(family),
        'by design' if family.size_free else '`resolution`',
        _names_in_configs(family),
    ]


def _names_in_configs(family: type[VisionMLP]) -> str:
    names = [
        file.stem
        for file in sorted((ROOT / 'configs' / '_base_' / 'backbones').glob('*.py'))
        if Config.fromfile(file).backbone.type == f'mmvmlp.{family.__name__}'
        and (ROOT / 'configs' / f'classify_{file.stem}.py').exists()
    ]
    return '<br>'.join(f'`{name}`' for name in names)


def strides_in_words(family: type[VisionMLP]) -> str:
    """Return the strides of a family's levels."""
    with torch.device('meta'):
        backbones = [family(variant) for variant in family.variants]
    strides = sorted({info.stride for backbone in backbones for info in backbone.feature_info})
    if any(len({info.stride for info in backbone.feature_info}) > 1 for backbone in backbones):
        return f'{strides[0]}-{strides[-1]}'
    return ' or '.join(map(str, strides))


def main() -> None:
    """Write the table."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'):
        document = ROOT / 'docs/networks.md'
        text = with_sections(document, {SECTION: network_table()})
        write_atomically(document, text.encode())
    print('The table is in docs/networks.md')


if __name__ == '__main__':
    main()

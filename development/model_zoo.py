"""Count all models of the model index, and update the metafiles and docs/model_zoo.md.

Run as ``python -m development.model_zoo``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine import fileio

from development.generated_document import markdown_table, with_sections
from mmvmlp.analysis.complexity import count_complexity, default_shape
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config
from mmvmlp.output_files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
INDEX = 'model-index.yml'
# Data sets by section of the page.
SECTIONS = {
    'imagenet': ('ImageNet-1k',),
    'coco': ('COCO',),
    'ade20k': ('ADE20K',),
    'others': ('Cityscapes', 'PASCAL VOC', 'PASCAL VOC 2012', 'LVIS v1', 'Objects365 v2'),
}


def write_model_zoo(checkout: Path, document: Path, report: Callable[[str], None] = print) -> None:
    """Count all models of the index, and update metafiles and page.

    Args:
        checkout: Folder of ``model-index.yml`` and the configs.
        document: The page, with sections as in :mod:`development.generated_document`.
        report: Called with the name of each model.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the page lacks a section, or a model cannot be counted.
    """
    metafiles = [checkout / name for name in fileio.load(checkout / INDEX)['Import']]
    contents = [fileio.load(metafile) for metafile in metafiles]
    models = [model for content in contents for model in content['Models']]
    for model in models:
        report(model['Name'])
        _count(checkout, model)
    page = with_sections(
        document,
        {
            section: _table([m for m in models if m['Metadata']['Training Data'] in data_sets])
            for section, data_sets in SECTIONS.items()
        },
    )
    for metafile, content in zip(metafiles, contents, strict=True):
        text = fileio.dump(
            content, file_format='yaml', sort_keys=False, allow_unicode=True, width=100
        )
        write_atomically(metafile, text.encode())
    write_atomically(document, page.encode())


def _count(checkout: Path, model: dict[str, Any]) -> None:
    config = load_config(checkout / model['Config'])
    parts = count_complexity(config, *default_shape(config))
    # Names used in OpenMMLab's metafiles.
    model['Metadata']['Parameters'] = sum(part.parameters for part in parts)
    model['Metadata']['FLOPs'] = sum(part.macs for part in parts)


def _table(models: Sequence[dict[str, Any]]) -> str:
    rows = []
    for model in models:
        metadata = model['Metadata']
        published = metadata.get('Published', {})
        config = Path(model['Config'])
        cells = [f'[`{config.stem}`](../{config})']
        for key, unit in (('Parameters', 1e6), ('FLOPs', 1e9)):
            ours, theirs = metadata[key] / unit, published.get(key, 0) / unit
            cells.append(f'{ours:.2f}')
            # Adding zero turns -0.0 into 0.0.
            difference = round(100 * (ours / theirs - 1), 1) + 0.0 if theirs else 0.0
            cells.append(f'{theirs:g} ({difference:+.1f} %)' if theirs else '')
        metrics = [
            f'{name} {value}'
            for result in model.get('Results', [])
            for name, value in result['Metrics'].items()
        ]
        source = [published['Source'], *_notes(published)] if published else []
        rows.append([*cells, ', '.join(metrics), '. '.join(source)])
    headings = ['config', 'parameters (M)', 'published', 'MACs (G)', 'published']
    return markdown_table([*headings, 'published result', 'source'], rows).replace(
        '-0.0 %', '0.0 %'
    )


def _notes(published: Mapping[str, Any]) -> list[str]:
    notes = published.get('Notes', {})
    return [
        f'{" and ".join(key for key in notes if notes[key] == note)}: {note}'
        for note in dict.fromkeys(notes.values())
    ]


def main() -> None:
    """Update metafiles and page."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'):
        write_model_zoo(ROOT, ROOT / 'docs/model_zoo.md')
    print('The tables are in docs/model_zoo.md')


if __name__ == '__main__':
    main()

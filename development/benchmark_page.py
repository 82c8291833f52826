"""Write the tables and plots of docs/benchmarks.md from the records in docs/benchmarks/.

Run as ``python -m development.benchmark_page``, after ``python -m development.benchmark_runs``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine import fileio

from development.benchmark_runs import FOLDER, ROOT, RUNS, SIDES, command_of
from development.generated_document import markdown_table, with_sections
from mmvmlp.analysis.contestants import Mode, parse_contestant
from mmvmlp.analysis.speed_records import JSON_NAME, Record
from mmvmlp.build import build_backbone
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import write_atomically


@dataclass(frozen=True)
class Published:
    """A published ImageNet-1k accuracy.

    Attributes:
        network: Name of the network.
        accuracy: Top-1 accuracy at 224 pixels, in percent.
        source: Where it was published.
    """

    network: str
    accuracy: float
    source: str


NEIGHBOURS = {
    'timm:convnext_tiny': (Published('ConvNeXt-T', 82.1, 'arXiv 2201.03545, Table 1'),),
    'timm:swin_tiny_patch4_window7_224': (Published('Swin-T', 81.3, 'arXiv 2103.14030, Table 1'),),
    'timm:poolformer_s24': (Published('PoolFormer-S24', 80.3, 'arXiv 2111.11418, Table 1'),),
    'timm:resnet50': (
        Published('ResNet-50, 90 epochs', 76.1, "torchvision's `IMAGENET1K_V1` weights"),
        Published('ResNet-50, A1 recipe', 80.4, 'arXiv 2110.00476, Table 1'),
    ),
}
"""Published accuracies of networks that are not ours, by contestant."""

NO_RECORDS = 'Not measured yet.'

COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#222222')
"""Okabe and Ito's palette, distinguishable with colour vision deficiency."""

LABEL_HEIGHT = 0.35
"""Height of a name in the plot of accuracies, in points of accuracy."""

GROUPS = {
    'hire': ('hire_224_b8', 'hire_224_b1', 'hire_800_b1', 'hire_800_b1_kept'),
    'families': tuple(
        f'{name}_224_b8' for name in ('smlpnet_tiny', 's2_mlp_deep', 'resmlp_s12', 'mlp_mixer_b16')
    ),
    'neighbours': ('neighbours_224_b8', 'neighbours_224_b1'),
    'runtimes': ('runtimes_224_b8',),
    'training': ('training_224_b8',),
}
"""Sections of the page that have the tables of some runs."""


def write_page(folder: Path, document: Path, images: Path) -> None:
    """Write the tables into the page, and the plots.

    Args:
        folder: Folder with a record for each of ``RUNS``.
        document: The page, with sections as in :mod:`development.generated_document`.
        images: Folder of the plots.

    Raises:
        FileNotFoundError: If the page is missing.
        ValueError: If a record is of another command or machine, or the page lacks a section.
    """
    records = read_records(folder)
    text = with_sections(document, sections(records))
    for name, plot in PLOTS.items():
        if plot.is_measured(records):
            write_atomically(images / f'{name}.png', _png(plot.draw(records)))
    write_atomically(document, text.encode())


def read_records(folder: Path) -> dict[str, Record]:
    """Read the records of the runs, which must be of their commands and of one machine.

    Args:
        folder: Folder with a folder for each run; those that are missing are left out.

    Raises:
        ValueError: If a record is of another command, or of another machine than the first one.
    """
    records: dict[str, Record] = {}
    for name in RUNS:
        file = folder / name / JSON_NAME
        if not file.is_file():
            continue
        record = json.loads(file.read_text())
        if record['command'] != command_of(name):
            raise ValueError(
                f'record {str(file)!r} is of the command {record["command"]!r}, not of '
                f'{command_of(name)!r}: python -m development.benchmark_runs {name}'
            )
        records[name] = record
    first = _machine(next(iter(records.values()))) if records else {}
    for name, record in records.items():
        if _machine(record) != first:
            raise ValueError(
                f'the records in {str(folder)!r} are of more than one machine: that of {name} is '
                f'{_machine(record)}, the first one {first}'
            )
    return records


def _machine(record: Record) -> dict[str, Any]:
    """Return the facts that the runs share; each states the settings of its allocator."""
    return {key: fact for key, fact in record['machine'].items() if key != 'allocator_settings'}


def sections(records: Mapping[str, Record]) -> dict[str, str]:
    """Return the contents of the page's sections by name."""
    return {
        'machine': _facts(records) if records else NO_RECORDS,
        **{
            group: '\n\n'.join(_run_section(records.get(name), name) for name in names)
            for group, names in GROUPS.items()
        },
        'accuracy': _accuracy_table(),
        'pixels': _pixels_section(records),
        **{
            name: f'![{plot.title}](images/{name}.png)' if plot.is_measured(records) else NO_RECORDS
            for name, plot in PLOTS.items()
        },
    }


def _facts(records: Mapping[str, Record]) -> str:
    facts = next(iter(records.values()))['machine']
    dates = sorted(record['date'][:10] for record in records.values())
    versions = ', '.join(f'{name} {version}' for name, version in facts['versions'].items())
    rates: dict[str, list[float]] = {}
    for record in records.values():
        for dtype, rate in record['matrix_rates'].items():
            rates.setdefault(dtype, []).append(rate / 1e9)
    measured = ', '.join(
        f'{min(values):.0f} to {max(values):.0f} GFLOP/s in {dtype}'
        for dtype, values in rates.items()
    )
    rows = [
        ['processor', f'{facts["device"]}, {facts["instructions"]}'],
        ['cores, threads', f'{facts["cores"]}, {facts["threads"]}'],
        ['allocator', f'{facts["allocator"]} malloc, unless a table says otherwise'],
        ['matrix rate', measured],
        ['versions', f'Python {facts["python"]}, {versions}'],
        ['oneDNN', 'used' if facts['mkldnn'] else 'not available'],
        ['measured', dates[0] if dates[0] == dates[-1] else f'{dates[0]} to {dates[-1]}'],
    ]
    return markdown_table(['', ''], rows)


def _run_section(record: Record | None, name: str) -> str:
    """Return the command and the table of a run."""
    environment = RUNS[name].environment
    command = ''.join(f'{key}={value} ' for key, value in environment.items()) + command_of(name)
    if record is None:
        return f'{_fenced(command)}\n\n{NO_RECORDS}'
    height, width = record['shape']
    title = f'**{height}x{width}, batch {record["batch"]}**'
    if environment:
        title += ', with an allocator that keeps its memory'
    return f'{title}:\n\n{_fenced(command)}\n\n{_speed_table(record)}'


def _fenced(command: str) -> str:
    """Return a block with a command, broken into lines."""
    lines = textwrap.wrap(command, 90, break_long_words=False, break_on_hyphens=False)
    return '```sh\n' + ' \\\n    '.join(lines) + '\n```'


def _speed_table(record: Record) -> str:
    trains = any(result['train'] for result in record['results'])
    headings = ['network', 'mode', 'images/s', 'ratio', 'median (p95), ms', 'peak, MB']
    headings += ['stored for backward, MB'] if trains else []
    rows = []
    for result in record['results']:
        network, mode = _network_and_mode(result)
        share = result['share_of_matrix_rate']
        rows.append(
            [
                network,
                mode,
                f'{result["images_per_second"]:.1f}',
                f'{result["ratio"]:.2f}',
                f'{1e3 * result["median_seconds"]:.0f} ({1e3 * result["p95_seconds"]:.0f})',
                f'{result["peak_bytes"] / 1e6:.0f}',
                *([f'{result["activation_bytes"] / 1e6:.0f}'] if trains else []),
                '' if result['macs'] is None else f'{result["macs"] / 1e9:.2f}',
                '' if share is None else f'{share:.2f}',
            ]
        )
    return markdown_table([*headings, 'GMACs', 'of matrix rate'], rows)


def _network_and_mode(result: Record) -> tuple[str, str]:
    """Return a contestant's network and mode, in words."""
    name, mode = parse_contestant(result['name'], Mode())
    # The reference networks are functions of a file.
    network = f'reference `{name.rpartition(":")[2]}`' if '.py:' in name else f'`{name}`'
    words = [
        'fused' if result['fuse'] else '',
        'compiled' if result['compile'] else '',
        result['runtime'] if result['runtime'] != 'torch' else '',
        result['dtype'] if result['dtype'] != 'float32' else '',
        *(f'`{key}={value}`' for key, value in mode.arguments.items()),
    ]
    return network, ', '.join(word for word in words if word) or 'eager'


def published_accuracies() -> dict[str, tuple[Published, ...]]:
    """Return the published ImageNet-1k accuracies by contestant: ours from the metafiles."""
    found = {}
    for metafile in fileio.load(ROOT / 'model-index.yml')['Import']:
        for model in fileio.load(ROOT / metafile)['Models']:
            if model['Metadata']['Training Data'] != 'ImageNet-1k' or 'Results' not in model:
                continue
            accuracy = model['Results'][0]['Metrics']['Top 1 Accuracy']
            source = re.sub(r'; FLOPs.*', '', model['Metadata']['Published']['Source'])
            name = model['Name']
            found[name] = (Published(_title(model), accuracy, source),)
    return {**found, **NEIGHBOURS}


def _title(model: dict[str, Any]) -> str:
    """Return the name of one of our networks as in its paper: Hire-MLP-S."""
    variant = model['Name'].rpartition('_')[2]
    short = {'tiny': 'T', 'small': 'S', 'base': 'B', 'large': 'L'}.get(variant, variant.upper())
    return f'{model["In Collection"]}-{short}'


def compared_speeds(records: Mapping[str, Record]) -> dict[str, dict[str, float]]:
    """Return the images/s of the networks beside each other, by network and mode."""
    speeds: dict[str, dict[str, float]] = {}
    for result in records['neighbours_224_b8']['results']:
        name, _ = parse_contestant(result['name'], Mode())
        mode = 'compiled' if result['compile'] else 'eager'
        speeds.setdefault(name, {})[mode] = result['images_per_second']
    return speeds


def _accuracy_table() -> str:
    accuracies = published_accuracies()
    compared = [text.split('+')[0] for text in RUNS['neighbours_224_b8'].arguments.split()]
    rows = [
        [published.network, f'`{name}`', f'{published.accuracy:.1f}', published.source]
        for name in dict.fromkeys(compared)
        for published in accuracies.get(name, ())
    ]
    return markdown_table(['network', 'contestant', 'top-1 (%)', 'published in'], rows)


def cost_by_pixels(records: Mapping[str, Record]) -> dict[tuple[str, str], list[float]]:
    """Return the seconds for an image of each side of ``SIDES``, by network and policy."""
    costs: dict[tuple[str, str], list[float]] = {}
    for side in SIDES:
        for result in records[f'pixels_{side}']['results']:
            name, mode = parse_contestant(result['name'], Mode())
            policy = mode.arguments.get('resolution') or _default_policy(name)
            costs.setdefault((name, policy), []).append(result['median_seconds'])
    return costs


def _default_policy(name: str) -> str:
    with torch.device('meta'):
        family = type(build_backbone(name))
    return 'size-free' if family.size_free else family.default_resolution


def exponent(sides: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the exponent with which cost grows with pixels, by least squares of logarithms."""
    pixels = [2 * math.log(side) for side in sides]
    return float(np.polyfit(pixels, np.log(seconds), 1)[0])


def _pixels_section(records: Mapping[str, Record]) -> str:
    introduction = (
        f'{_fenced(command_of(f"pixels_{SIDES[-1]}"))}\n\nand likewise for '
        f'{", ".join(map(str, SIDES[:-1]))} pixels. Milliseconds for an image:'
    )
    if not PLOTS['cost_by_pixels'].is_measured(records):
        return f'{introduction}\n\n{NO_RECORDS}'
    rows = [
        [
            f'`{name}`',
            policy,
            *(f'{1e3 * each:.0f}' for each in seconds),
            f'{exponent(SIDES, seconds):.2f}',
        ]
        for (name, policy), seconds in cost_by_pixels(records).items()
    ]
    headings = ['network', 'policy', *(f'{side}x{side}' for side in SIDES), 'exponent']
    return f'{introduction}\n\n{markdown_table(headings, rows)}'


def plot_accuracy(records: Mapping[str, Record]) -> Figure:
    """Plot published accuracy over measured speed: eager, and where measured compiled."""
    figure = Figure(figsize=(8, 5), dpi=150, layout='constrained')
    panel = figure.subplots()
    accuracies = published_accuracies()
    points = [
        (
            name.startswith('timm:'),
            published,
            speeds['eager'],
            speeds.get('compiled', speeds['eager']),
        )
        for name, speeds in compared_speeds(records).items()
        for published in accuracies[name]
    ]
    for of_others, published, eager, compiled in points:
        accuracy = published.accuracy
        colour = COLOURS[of_others]
        panel.plot([eager, compiled], [accuracy] * 2, color=colour, linewidth=1.5)
        panel.plot(eager, accuracy, 'o', color=colour, markerfacecolor='white', markersize=7)
        if compiled != eager:
            panel.plot(compiled, accuracy, 'o', color=colour, markersize=7)
        # Names of ours are on the right, of others on the left; those of one side move apart.
        close = [
            np.sign(accuracy - other.accuracy)
            for others, other, _, _ in points
            if others == of_others and abs(accuracy - other.accuracy) < LABEL_HEIGHT
        ]
        panel.annotate(
            published.network,
            ((min if of_others else max)(eager, compiled), accuracy),
            xytext=(-8 if of_others else 8, 6 * sum(close)),
            textcoords='offset points',
            horizontalalignment='right' if of_others else 'left',
            verticalalignment='center',
            color=colour,
        )
    record = records['neighbours_224_b8']
    panel.set_xlabel(
        f'images/s at 224x224, batch {record["batch"]}, {record["machine"]["threads"]} threads: '
        'hollow eager, filled compiled'
    )
    panel.set_ylabel('published ImageNet-1k top-1 (%)')
    panel.margins(x=0.35, y=0.1)
    panel.grid(alpha=0.25)
    panel.spines[['top', 'right']].set_visible(False)
    return figure


def plot_cost(records: Mapping[str, Record]) -> Figure:
    """Plot seconds for an image over its pixels, both logarithmic, with the fitted exponents."""
    figure = Figure(figsize=(10, 5), dpi=150, layout='constrained')
    panel = figure.subplots()
    costs = cost_by_pixels(records)
    colours = dict(zip(dict.fromkeys(name for name, _ in costs), COLOURS, strict=False))
    pixels = [side**2 for side in SIDES]
    for (name, policy), seconds in costs.items():
        panel.loglog(
            pixels,
            seconds,
            color=colours[name],
            marker='s' if policy == 'window' else 'o',
            linestyle='--' if policy == 'window' else '-',
            label=f'{name}, {policy}: {exponent(SIDES, seconds):.2f}',
        )
    panel.set_xticks(pixels, [f'{side}²' for side in SIDES])
    panel.minorticks_off()
    panel.set_xlabel('pixels')
    panel.set_ylabel('seconds for an image')
    panel.grid(alpha=0.25)
    panel.spines[['top', 'right']].set_visible(False)
    figure.legend(
        frameon=False,
        title='network, policy: exponent',
        alignment='left',
        loc='outside right upper',
    )
    return figure


@dataclass(frozen=True)
class Plot:
    """A plot of the page.

    Attributes:
        title: What it shows.
        draw: Draws it from the records by run.
        runs: Runs that it needs.
    """

    title: str
    draw: Callable[[Mapping[str, Record]], Figure]
    runs: frozenset[str]

    def is_measured(self, records: Mapping[str, Record]) -> bool:
        """Return whether all runs that it needs have records."""
        return self.runs <= records.keys()


PLOTS = {
    'accuracy_speed': Plot(
        'Published accuracy over measured speed', plot_accuracy, frozenset(['neighbours_224_b8'])
    ),
    'cost_by_pixels': Plot(
        'Seconds for an image over its pixels',
        plot_cost,
        frozenset(f'pixels_{side}' for side in SIDES),
    ),
}
"""Plots by the name of their section and file."""


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    # Without matplotlib's version, equal plots are equal files.
    figure.savefig(buffer, format='png', metadata={'Software': None})
    return buffer.getvalue()


def main() -> None:
    """Write the page and its plots."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'):
        write_page(ROOT / FOLDER, ROOT / 'docs/benchmarks.md', ROOT / 'docs/images')
    print('The tables are in docs/benchmarks.md, the plots in docs/images')


if __name__ == '__main__':
    main()

"""Write the tables and plots of the study from its records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from development.generated_document import markdown_table, with_sections
from mmvmlp.output_files import write_atomically
from projects.records import Record, read_records
from projects.resolution_study.classification import (
    FIELDS,
    NATIVE_SIZE,
    NETWORKS,
    POLICIES,
    SIZE_FREE,
    family_of,
)
from projects.resolution_study.detection import METRICS
from projects.resolution_study.finetuning import WAYS

CLASSIFICATION = 'resolution_classification'
DETECTION = 'resolution_detection'
FINE_TUNING = 'resolution_finetuning'
NO_RECORDS = 'Not measured yet.'
MEASURED = {
    CLASSIFICATION: ('accuracy', 'parameters', 'seconds_train'),
    DETECTION: (*METRICS, 'config', 'trained_at', 'parameters', 'seconds_train'),
    FINE_TUNING: ('accuracy', 'accuracy_before', 'accuracy_native', 'parameters'),
}
"""Fields of the records used in tables, by file."""

TITLES = {network: family_of(network).title for network in NETWORKS}

# Okabe and Ito's palette, distinguishable with colour vision deficiency.
BLUE, ORANGE, GREEN, PURPLE, INK = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#222222'
STYLES: dict[str, dict[str, Any]] = {
    'native': {'color': INK, 'marker': '*', 'markersize': 13, 'linestyle': 'none'},
    'resize': {'color': BLUE, 'marker': 'o', 'linestyle': '-'},
    'window': {'color': ORANGE, 'marker': 's', 'linestyle': '--'},
}
SIZE_FREE_STYLES: tuple[dict[str, Any], ...] = tuple(
    {'color': color, 'marker': marker, 'linestyle': linestyle}
    for color, marker, linestyle in zip(
        (GREEN, PURPLE, BLUE, ORANGE, INK), '^vos*', ('-', '--', '-.', ':', '-'), strict=True
    )
)


@dataclass(frozen=True)
class Spread:
    """Spread of a measure over the seeds.

    Attributes:
        mean: Mean value.
        lowest: Lowest value.
        highest: Highest value.
    """

    mean: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of some values."""
        values = list(values)
        return cls(sum(values) / len(values), min(values), max(values))

    def text(self, signed: bool = False) -> str:
        """Format as mean (lowest to highest), with one decimal."""
        mean, lowest, highest = (
            f'{value:+.1f}' if signed else f'{value:.1f}'
            for value in (self.mean, self.lowest, self.highest)
        )
        return f'{mean} ({lowest} to {highest})'.replace('-', '−')


class Measurements:
    """Values of a measure by network, policy, size and seed, in percent.

    Args:
        records: Records of a file.
        measure: Field of the records, a number from 0 to 1.
    """

    def __init__(self, records: Sequence[Record], measure: str) -> None:
        self.native = {
            record['network']: record.get('trained_at', NATIVE_SIZE) for record in records
        }
        self.values: dict[tuple[str, str, int], dict[int, float]] = {}
        for record in records:
            key = record['network'], record['policy'], record['size']
            self.values.setdefault(key, {})[record['seed']] = 100 * record[measure]
        tested = {network for network, _, _ in self.values}
        self.networks = [network for network in TITLES if network in tested]
        self.fixed = [name for name in self.networks if self.policies(name) != [SIZE_FREE]]
        self.size_free = [name for name in self.networks if name not in self.fixed]
        self.sizes = sorted({size for _, _, size in self.values})

    def policies(self, network: str) -> list[str]:
        """Return the policies a network was tested with."""
        tested = {policy for name, policy, _ in self.values if name == network}
        return [policy for policy in (*POLICIES, SIZE_FREE) if policy in tested]

    def spread(self, network: str, policy: str, size: int) -> Spread | None:
        """Return the spread over the seeds, if it was measured."""
        values = self.values.get((network, policy, size))
        return Spread.of(values.values()) if values else None

    def difference(
        self, network: str, first: tuple[str, int], second: tuple[str, int]
    ) -> Spread | None:
        """Return the spread of the difference between two pairs of policy and size.

        Values are compared seed by seed, since they share weights.
        """
        minuends = self.values.get((network, *first), {})
        subtrahends = self.values.get((network, *second), {})
        both = minuends.keys() & subtrahends.keys()
        return Spread.of(minuends[seed] - subtrahends[seed] for seed in both) if both else None

    def mean_difference(self, network: str, native: int) -> Spread | None:
        """Return ``resize`` minus ``window``, averaged over all sizes except the native one."""
        pairs = [
            tuple(self.values.get((network, policy, size), {}) for policy in ('resize', 'window'))
            for size in self.sizes
            if size != native
        ]
        # Seeds without all sizes would make means incomparable.
        seeds = [
            seed
            for seed in (pairs[0][0] if pairs else ())
            if all(seed in values for pair in pairs for values in pair)
        ]
        differences = [
            sum(resized[seed] - windows[seed] for resized, windows in pairs) / len(pairs)
            for seed in seeds
        ]
        return Spread.of(differences) if differences else None

    def missing(self) -> list[str]:
        """Describe missing measurements, one line per network and policy.

        A complete study has every network at every tested size with every seed.
        """
        lines = []
        for network, title in TITLES.items():
            if network not in self.networks:
                lines.append(title)
                continue
            for policy in (SIZE_FREE,) if family_of(network).size_free else POLICIES:
                sizes = [self.native[network]] if policy == 'native' else self.sizes
                gaps = [gap for size in sizes if (gap := self._gap(network, policy, size))]
                if gaps:
                    lines.append(f'{title} {_policy(policy)} at {", ".join(gaps)}')
        return lines

    def _gap(self, network: str, policy: str, size: int) -> str:
        """Describe the missing seeds of a size, or return ''."""
        all_seeds = {seed for values in self.values.values() for seed in values}
        seeds = sorted(all_seeds - self.values.get((network, policy, size), {}).keys())
        if not seeds:
            return ''
        named = 'seed' if len(seeds) == 1 else 'seeds'
        return (
            str(size)
            if len(seeds) == len(all_seeds)
            else f'{size} ({named} {", ".join(map(str, seeds))})'
        )


def write_report(data: Path, document: Path, images: Path) -> None:
    """Write the tables into the document, and the plots.

    Args:
        data: Folder of the records, ``resolution_classification.json``,
            ``resolution_finetuning.json`` and ``resolution_detection.json``. Missing records are
            noted in the document.
        document: Document with tables between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
        images: Folder of the plots.

    Raises:
        FileNotFoundError: If the document does not exist.
        ValueError: If a record file is invalid, or the document lacks a pair of markers.
    """
    text = with_sections(document, sections(data))
    plots = {}
    for name, measure, label, native in (
        (CLASSIFICATION, 'accuracy', 'accuracy (%)', NATIVE_SIZE),
        (DETECTION, 'segm_mAP', 'mask AP (%)', None),
    ):
        if records := _records(data, name):
            plots[name] = plot_by_size(Measurements(records, measure), label, native)
    for name, figure in plots.items():
        buffer = BytesIO()
        # Omit matplotlib's version, so that equal plots are equal files.
        figure.savefig(buffer, format='png', metadata={'Software': None})
        write_atomically(images / f'{name}.png', buffer.getvalue())
    write_atomically(document, text.encode())


def sections(data: Path) -> dict[str, str]:
    """Return the contents of the document's sections by name.

    Args:
        data: Folder of the records.

    Raises:
        ValueError: If a record file is invalid.
    """
    contents = dict.fromkeys(
        (
            *('networks', 'accuracy', 'drop', 'difference', 'fine_tuning'),
            *('detectors', 'detection_box', 'detection_mask'),
        ),
        NO_RECORDS,
    )
    if records := _records(data, CLASSIFICATION):
        measurements = Measurements(records, 'accuracy')
        contents['networks'] = _table_of_networks(records, measurements)
        contents['accuracy'] = _table_by_size(measurements, measurements.spread) + _gaps(
            measurements
        )
        contents['drop'] = _table_by_size(
            measurements,
            lambda network, policy, size: (
                None
                if size == NATIVE_SIZE or policy == 'native'
                else measurements.difference(network, (policy, size), (policy, NATIVE_SIZE))
            ),
            signed=True,
        )
        contents['difference'] = _table_of_differences(measurements)
    if records := _records(data, FINE_TUNING):
        contents['fine_tuning'] = _table_of_fine_tuning(records)
    if records := _records(data, DETECTION):
        contents['detectors'] = _table_of_detectors(records)
        for name, measure in (('detection_box', 'bbox_mAP'), ('detection_mask', 'segm_mAP')):
            measurements = Measurements(records, measure)
            contents[name] = _table_by_size(measurements, measurements.spread) + _gaps(measurements)
    return contents


def _records(data: Path, name: str) -> list[Record]:
    """Return the records of a file; none if it does not exist."""
    file = data / f'{name}.json'
    records = read_records(file, FIELDS)[1] if file.exists() else []
    policies = WAYS if name == FINE_TUNING else (*POLICIES, SIZE_FREE)
    for record in records:
        lacking = [key for key in MEASURED[name] if key not in record]
        if lacking:
            raise ValueError(f'{str(file)!r} has a record without {", ".join(lacking)}: {record}')
        for key, known in (('network', TITLES), ('policy', policies)):
            if record[key] not in known:
                raise ValueError(
                    f'{str(file)!r} has a record with {key} {record[key]!r}: accepted are '
                    f'{", ".join(known)}'
                )
    return records


def _gaps(measurements: Measurements) -> str:
    missing = measurements.missing()
    return f'\n\nNot measured: {"; ".join(missing)}.' if missing else ''


def _table_by_size(
    measurements: Measurements,
    spread: Callable[[str, str, int], Spread | None],
    signed: bool = False,
) -> str:
    rows = []
    for network in measurements.networks:
        for policy in measurements.policies(network):
            spreads = [spread(network, policy, size) for size in measurements.sizes]
            if any(spreads):
                cells = [found.text(signed) if found else '' for found in spreads]
                rows.append([TITLES[network], _policy(policy), *cells])
    return markdown_table(['network', 'policy', *map(str, measurements.sizes)], rows)


def _policy(policy: str) -> str:
    return policy if policy == SIZE_FREE else f'`{policy}`'


def _table_of_networks(records: Sequence[Record], measurements: Measurements) -> str:
    rows = []
    for network in measurements.networks:
        of_network = [record for record in records if record['network'] == network]
        arch = ', '.join(f'{name} {value}' for name, value in NETWORKS[network].items())
        rows.append(
            [
                TITLES[network],
                arch,
                f'{of_network[0]["parameters"]:,}',
                str(len({record['seed'] for record in of_network})),
                f'{Spread.of(record["seconds_train"] for record in of_network).mean:.0f}',
            ]
        )
    return markdown_table(['network', '`arch`', 'parameters', 'seeds', 'seconds trained'], rows)


def _table_of_detectors(records: Sequence[Record]) -> str:
    rows = []
    for network in TITLES:
        of_network = [
            record
            for record in records
            if record['network'] == network
            and record['size'] == record['trained_at']
            and record['policy'] in ('native', SIZE_FREE)
        ]
        if of_network:
            rows.append(
                [
                    TITLES[network],
                    f'`{of_network[0]["config"]}`',
                    f'{of_network[0]["parameters"]:,}',
                    str(len(of_network)),
                    # The minimum, since other load only adds time.
                    f'{min(record["seconds_train"] for record in of_network) / 60:.1f}',
                    *(
                        Spread.of(100 * record[measure] for record in of_network).text()
                        for measure in ('bbox_mAP', 'segm_mAP')
                    ),
                ]
            )
    headings = ['network', 'config', 'parameters', 'seeds', 'fewest minutes', 'box AP', 'mask AP']
    return markdown_table(headings, rows)


def _table_of_differences(measurements: Measurements) -> str:
    others = [size for size in measurements.sizes if size != NATIVE_SIZE]
    rows = []
    for network in measurements.fixed:
        spreads = [
            *(
                measurements.difference(network, ('resize', size), ('window', size))
                for size in others
            ),
            measurements.mean_difference(network, NATIVE_SIZE),
        ]
        rows.append([TITLES[network], *(found.text(True) if found else '' for found in spreads)])
    return markdown_table(['network', *map(str, others), 'mean of these sizes'], rows)


def _table_of_fine_tuning(records: Sequence[Record]) -> str:
    """Return what fine-tuning at the larger size gives, in a row for each network and way."""
    (size,) = {record['size'] for record in records}
    native, before, after = (
        Measurements(records, measure)
        for measure in ('accuracy_native', 'accuracy_before', 'accuracy')
    )
    rows = []
    for network in after.networks:
        for way in WAYS:
            of_way = [r for r in records if (r['network'], r['policy']) == (network, way)]
            difference = after.difference(network, (way, size), ('resize', size))
            rows.append(
                [
                    TITLES[network],
                    f'`{way}`' if way == 'resize' else way,
                    f'{of_way[0]["parameters"]:,}',
                    str(len(of_way)),
                    *(
                        spread.text() if (spread := found.spread(network, way, size)) else ''
                        for found in (native, before, after)
                    ),
                    difference.text(True) if difference and way != 'resize' else '',
                ]
            )
    headings = [
        *('network', 'token mixing', 'parameters', 'seeds', f'at {NATIVE_SIZE}, before'),
        *(f'at {size}, before', f'at {size}, after', 'resampled − `resize`'),
    ]
    return markdown_table(headings, rows)


def plot_by_size(measurements: Measurements, label: str, native: int | None) -> Figure:
    """Plot a measure over the image size: one panel per fixed-size network, one for all size-free.

    Args:
        measurements: Values to plot; error bars extend from the lowest to the highest seed.
        label: Label of the measure's axis.
        native: Image side of training to mark, in pixels; by default none.
    """
    panels = [*measurements.fixed, *([SIZE_FREE] if measurements.size_free else [])]
    figure = Figure(figsize=(1 + 2.9 * len(panels), 3.6), dpi=150, layout='constrained')
    # A figure with its own canvas does not affect the global state of matplotlib.pyplot.
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for panel, name in zip(axes, panels, strict=True):
        if native is not None:
            panel.axvline(native, color='#999999', linewidth=1, linestyle=':', zorder=0)
        if name == SIZE_FREE:
            for network, style in zip(measurements.size_free, itertools.cycle(SIZE_FREE_STYLES)):
                _plot_line(panel, measurements, network, SIZE_FREE, TITLES[network], style)
            panel.set_title('size-free')
        else:
            for policy in reversed(measurements.policies(name)):
                _plot_line(panel, measurements, name, policy, policy, STYLES[policy])
            panel.set_title(TITLES[name])
        panel.set_xticks(measurements.sizes)
        panel.set_xlabel('image side (pixels)')
        panel.grid(alpha=0.25)
        panel.spines[['top', 'right']].set_visible(False)
        panel.legend(frameon=False, loc='upper right', borderaxespad=0)
    axes[0].set_ylabel(label)
    axes[0].set_ylim(0, 100)
    return figure


def _plot_line(
    panel: Axes,
    measurements: Measurements,
    network: str,
    policy: str,
    label: str,
    style: dict[str, Any],
) -> None:
    points = [
        (size, spread)
        for size in measurements.sizes
        if (spread := measurements.spread(network, policy, size)) is not None
    ]
    panel.errorbar(
        [size for size, _ in points],
        [spread.mean for _, spread in points],
        [
            [spread.mean - spread.lowest for _, spread in points],
            [spread.highest - spread.mean for _, spread in points],
        ],
        label=label,
        capsize=3,
        linewidth=1.8,
        zorder=3 if policy == 'native' else 2,
        **{'markersize': 6, **style},
    )

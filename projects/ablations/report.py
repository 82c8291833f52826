"""Write the tables of the ablations: differences here and in the papers, and who agrees."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from scipy import stats

from development.generated_document import markdown_table, with_sections
from mmvmlp.backbones.base import registered_families
from mmvmlp.output_files import write_atomically
from projects.ablations.published import ABLATIONS, Variant
from projects.ablations.training import FIELDS
from projects.records import Record, read_records

SECTION = 'ablations'
NO_RECORDS = 'Not measured yet.'
CONFIDENCE = 0.95
AGREES, DIFFERS, NOT_SHOWN, UNKNOWN = 'agrees', 'differs', 'no difference shown', 'no number'
HEADINGS = ('network', 'parameters', 'accuracy (%)', 'gain', "paper's gain", 'verdict')


@dataclass(frozen=True)
class Gain:
    """Difference of two mean accuracies.

    Attributes:
        value: Difference in percentage points.
        half_width: Half the width of its confidence interval.
    """

    value: float
    half_width: float

    def verdict(self, published: float | None) -> str:
        """Say whether it has the sign of a published difference, if it exceeds its interval."""
        if published is None:
            return UNKNOWN
        if abs(self.value) <= self.half_width:
            return NOT_SHOWN
        return AGREES if self.value * published > 0 else DIFFERS


class Accuracies:
    """Accuracies of a network's variants, in percent by variant and seed.

    Args:
        records: Records of the network.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)
        self.parameters: dict[str, int] = {}
        for record in records:
            self.values[record['variant']].append(100 * record['accuracy'])
            self.parameters[record['variant']] = record['parameters']

    def gain(self, variant: str, reference: str) -> Gain:
        """Return a variant's gain over another.

        The interval is Student's, with the standard deviation over seeds that is pooled from all
        variants of the network.
        """
        first, second = self.values[variant], self.values[reference]
        factor = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.degrees)) if self.degrees else 1.0
        error = self.deviation * math.sqrt(1 / len(first) + 1 / len(second))
        return Gain(mean(first) - mean(second), factor * error)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the standard deviation."""
        return sum(len(values) - 1 for values in self.values.values())

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds, pooled from all variants; infinite with one seed."""
        if self.degrees == 0:
            return math.inf
        squares = sum(
            (value - mean(values)) ** 2 for values in self.values.values() for value in values
        )
        return math.sqrt(squares / self.degrees)


def write_report(file: Path, document: Path) -> None:
    """Write the tables into the document.

    Args:
        file: Records from :func:`~projects.ablations.training.train_ablations`, if there are any.
        document: Page with the tables between ``<!-- begin ablations -->`` and
            ``<!-- end ablations -->``.

    Raises:
        FileNotFoundError: If the document does not exist.
        ValueError: If `file` is not a file of records, or the document lacks the markers.
    """
    records = read_records(file, FIELDS)[1] if file.exists() else []
    text = with_sections(document, {SECTION: tables(records)})
    write_atomically(document, text.encode())


def tables(records: Sequence[Record]) -> str:
    """Return a table for each network with records, and how often paper and digits agree."""
    if not records:
        return NO_RECORDS
    by_network: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_network[record['network']].append(record)
    accuracies = {network: Accuracies(by_network[network]) for network in by_network}
    verdicts: Counter[str] = Counter()
    parts = []
    for family in registered_families():
        network = family.__name__
        if network not in accuracies:
            continue
        measured = accuracies[network]
        rows = _rows(network, measured)
        verdicts.update(row[-1] for row in rows)
        seeds = {len(values) for values in measured.values.values()}
        parts += [
            f'## {family.title}',
            f'Trainings per network: {" to ".join(map(str, sorted({min(seeds), max(seeds)})))}. '
            f'Standard deviation over seeds: {measured.deviation:.1f}.',
            markdown_table(HEADINGS, rows),
        ]
    agree, differ, not_shown = (verdicts[kind] for kind in (AGREES, DIFFERS, NOT_SHOWN))
    summary = (
        f'Of {agree + differ + not_shown} published gains, the digits agree with {agree}, differ '
        f'from {differ}, and show no difference in {not_shown}.'
    )
    return '\n\n'.join([summary, *parts])


def _rows(network: str, measured: Accuracies) -> list[list[str]]:
    rows = []
    for name, ablation in ABLATIONS.items():
        if ablation.network != network:
            continue
        variants = [each for each in ablation.variants if each.name in measured.values]
        reference = ablation.reference
        if variants:
            title = f'`{name}`: {reference.name}'
            rows.append([title, *_columns(measured, reference), '', ablation.source, ''])
        for variant in variants:
            gain = measured.gain(variant.name, reference.name)
            rows.append(
                [
                    variant.name,
                    *_columns(measured, variant),
                    f'{_signed(gain.value)} ± {gain.half_width:.1f}',
                    '' if variant.gain is None else _signed(variant.gain),
                    gain.verdict(variant.gain),
                ]
            )
    return rows


def _columns(measured: Accuracies, variant: Variant) -> list[str]:
    return [
        f'{measured.parameters[variant.name]:,}',
        f'{mean(measured.values[variant.name]):.1f}',
    ]


def _signed(value: float) -> str:
    return f'{value:+.1f}'.replace('-', '−')

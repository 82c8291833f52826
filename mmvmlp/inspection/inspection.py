"""All inspections of a network: figures, and one JSON file with the numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.colors import LogNorm

from mmvmlp.inspection.activations import measure_activations
from mmvmlp.inspection.class_activation import map_classes
from mmvmlp.inspection.feature_maps import CHANNELS_SHOWN, feature_pyramid, pyramid_panels
from mmvmlp.inspection.figures import Panel, draw_lines_over_depth, draw_panels, save_figure
from mmvmlp.inspection.mixing_weights import (
    THRESHOLD,
    MixingMatrix,
    measure_sparsity,
    mixing_matrices,
)
from mmvmlp.inspection.phases import measure_phases
from mmvmlp.inspection.reach import whole_map_statistics
from mmvmlp.inspection.receptive_field import measure_receptive_fields
from mmvmlp.inspection.subject import Subject
from mmvmlp.optional_packages import import_optional
from mmvmlp.output_files import write_atomically

JSON_NAME = 'inspection.json'
FAINTEST = 1e-4
"""Gradient, as a share of the largest, from which receptive fields are drawn."""

IMAGES_SHOWN = 4
"""Images of which the feature pyramid is drawn."""


def inspect_network(
    subject: Subject,
    parts: Sequence[str],
    out_dir: Path,
    about: Mapping[str, Any],
    report: Callable[[str], object] = lambda part: None,
) -> dict[str, Any]:
    """Inspect a network, and write figures and ``inspection.json``, which is written last.

    Args:
        subject: The network and its images.
        parts: Keys of :data:`PARTS`.
        out_dir: Where to write; it is made.
        about: What the JSON file is to say before the measurements.
        report: Called with the name of each part before it starts.

    Returns:
        The contents of the JSON file.

    Raises:
        ModuleNotFoundError: If ``class-activation`` is asked for and grad-cam is not installed.
        OSError: If a file cannot be written.
        TypeError: If nothing is stated about the reach of a layer, or class activation maps are
            asked for of a model that is no classifier.
        ValueError: If a part is unknown or needs images that are not noise, or the images are too
            small.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f'parts={unknown!r}: {", ".join(map(repr, PARTS))} are accepted')
    if 'class-activation' in parts:
        import_optional('pytorch_grad_cam', 'inspect')
    out_dir.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Any] = {
        **about,
        'image_size': list(subject.images.shape[2:]),
        'images': list(subject.names),
    }
    for part in parts:
        report(part)
        contents |= PARTS[part](subject, out_dir)
    write_atomically(out_dir / JSON_NAME, json.dumps(contents, indent=1).encode())
    return contents


def _inspect_receptive_fields(subject: Subject, out_dir: Path) -> dict[str, Any]:
    fields = measure_receptive_fields(subject.backbone, subject.images)
    panels, records = [], []
    for field in fields:
        rows, columns = field.reach_extent
        half, most = field.sides.values()
        panels.append(
            Panel(
                f'{field.layer.title}\nreach {rows}×{columns}\n50 % in {half}, 90 % in {most}',
                field.gradient.clamp(min=FAINTEST),
                field.reach,
            )
        )
        records.append(
            {
                'layer': field.layer.name,
                'title': field.layer.title,
                'reach_rows': rows,
                'reach_columns': columns,
                'reach_pixels': int(field.reach.sum()),
                'square_of_50_percent': half,
                'square_of_90_percent': most,
            }
        )
    statistics = whole_map_statistics(subject.backbone)
    title = 'Influence of pixels on the centre of each map; outline: analytic reach'
    figure = draw_panels(
        panels,
        f'{title} without {" and ".join(statistics)}' if statistics else title,
        'gradient, largest = 1',
        cmap='magma',
        norm=LogNorm(FAINTEST, 1),
    )
    save_figure(figure, out_dir / 'receptive_fields.png')
    return {
        'whole_map_statistics': statistics,
        'receptive_fields': records,
    }


def _inspect_mixing(subject: Subject, out_dir: Path) -> dict[str, Any]:
    matrices = mixing_matrices(subject.backbone)
    sparsity = measure_sparsity(subject.backbone)
    by_kind: dict[str, list[MixingMatrix]] = {}
    for matrix in matrices:
        by_kind.setdefault(matrix.kind, []).append(matrix)
    for kind, of_kind in by_kind.items():
        _draw_matrices(of_kind, out_dir / f'mixing_{kind.replace(" ", "_")}.png')
    shares: dict[str, list[tuple[int, float]]] = {}
    for each in sparsity:
        shares.setdefault(each.kind, []).append((each.block, each.share))
    panels = [
        (
            'Sparsity of the layers',
            f'share of weights below {THRESHOLD:.0%} of the largest',
            shares,
        )
    ]
    if matrices:
        distances = {
            kind: [(each.block, each.distance / each.distance_of_equal_weights) for each in of_kind]
            for kind, of_kind in by_kind.items()
        }
        panels.append(
            ('Locality of token mixing', 'mean distance; 1: that of equal weights', distances)
        )
    save_figure(
        draw_lines_over_depth(panels, 'Weights over depth'), out_dir / 'weights_over_depth.png'
    )
    return {
        'mixing': [
            {
                'layer': each.name,
                'kind': each.kind,
                'block': each.block,
                'distance': each.distance,
                'distance_of_equal_weights': each.distance_of_equal_weights,
            }
            for each in matrices
        ],
        'sparsity_threshold': THRESHOLD,
        'sparsity': [dataclasses.asdict(each) for each in sparsity],
    }


def _draw_matrices(matrices: Sequence[MixingMatrix], file: Path) -> None:
    panels, signed = [], bool(min(each.weight.min() for each in matrices) < 0)
    for each in matrices:
        # Some weights are much larger than all others.
        largest = each.weight.abs().flatten().quantile(0.995) if each.weight.numel() else 1
        panels.append(Panel(each.title, each.as_image() / largest))
    kind = matrices[0].kind
    wide = kind in ('all tokens', 'hidden units')
    titles = {
        'all tokens': 'Weights of each output token, as a map at its place',
        'hidden units': 'Weights of the first hidden units, as maps',
    }
    figure = draw_panels(
        panels,
        titles.get(kind, f'Weights along the {kind}: a row for each output'),
        'weight; 1 is larger than 99.5 % of its matrix',
        panels_per_row=4 if wide else 8,
        cmap='RdBu_r' if signed else 'viridis',
        vmin=-1 if signed else 0,
        vmax=1,
    )
    if wide:
        width, height = figure.get_size_inches()
        figure.set_size_inches(1.7 * width, 1.7 * height)
    save_figure(figure, file)


def _inspect_phases(subject: Subject, out_dir: Path) -> dict[str, Any]:
    measured = measure_phases(subject.backbone, subject.images)
    if measured:
        figure = draw_panels(
            [
                Panel(
                    f'{each.title}, {each.axis}\ncoherence {each.coherence:.2f}', each.first_image
                )
                for each in measured
            ],
            f'Phases of {subject.names[0]}, mean over channels',
            'radians',
            cmap='viridis',
            vmin=0,
            vmax=max(float(each.first_image.max()) for each in measured),
        )
        save_figure(figure, out_dir / 'phases.png')
    return {
        'phases': [
            {
                key: value
                for key, value in dataclasses.asdict(each).items()
                if key not in ('title', 'first_image')
            }
            for each in measured
        ]
    }


def _inspect_features(subject: Subject, out_dir: Path) -> dict[str, Any]:
    maps = feature_pyramid(subject.model, subject.images[:IMAGES_SHOWN])
    if subject.pictures is not None:
        figure = draw_panels(
            pyramid_panels(maps, subject.pictures[:IMAGES_SHOWN]),
            'Feature pyramid: root mean square of all channels, and the channels that vary most',
            panels_per_row=2 + CHANNELS_SHOWN,
            cmap='viridis',
        )
        save_figure(figure, out_dir / 'feature_pyramid.png')
    return {'pyramid': [list(each.shape[1:]) for each in maps]}


def _inspect_activations(subject: Subject, out_dir: Path) -> dict[str, Any]:
    return {
        'activations': [
            {
                'layer': each.layer.name,
                'title': each.layer.title,
                'mean': each.mean,
                'deviation': each.deviation,
                'largest': each.largest,
                'dead_share': each.dead_share,
                'finding': each.finding,
            }
            for each in measure_activations(subject.backbone, subject.images)
        ]
    }


def _inspect_classes(subject: Subject, out_dir: Path) -> dict[str, Any]:
    if subject.pictures is None:
        raise ValueError("parts=['class-activation']: it needs images, and noise was given")
    mapped = map_classes(subject.model, subject.images, subject.pictures)
    meta = getattr(subject.model, 'dataset_meta', None) or {}
    names: Sequence[str] = meta.get('classes') or ()
    titles = [
        f'{names[each.label] if each.label < len(names) else f"class {each.label}"} '
        f'({each.score:.2f})'
        for each in mapped
    ]
    figure = draw_panels(
        [
            Panel(f'{file}\n{title}', each.drawing)
            for file, title, each in zip(subject.names, titles, mapped, strict=True)
        ],
        f'Grad-CAM of {mapped[0].layer.title}, for the best class',
        panels_per_row=4,
    )
    save_figure(figure, out_dir / 'class_activation.png')
    return {
        'class_activation': [
            {'label': each.label, 'score': each.score, 'layer': each.layer.name} for each in mapped
        ]
    }


PARTS: dict[str, Callable[[Subject, Path], dict[str, Any]]] = {
    'receptive-fields': _inspect_receptive_fields,
    'mixing': _inspect_mixing,
    'phases': _inspect_phases,
    'features': _inspect_features,
    'activations': _inspect_activations,
    'class-activation': _inspect_classes,
}
"""Inspections by name."""

"""The page of a report: one HTML file that needs no other file and no network."""

from __future__ import annotations

import pprint
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from mmengine.config import Config

import mmvmlp
from mmvmlp.output_files import check_file_can_be_written, write_atomically
from mmvmlp.report.evaluation import Evaluation, evaluate_run
from mmvmlp.report.figures import plot_series
from mmvmlp.report.findings import Table
from mmvmlp.report.runs import Run, differences, read_runs
from mmvmlp.visualization.training_curves import AP_NAMES, LOSS_NAMES
from mmvmlp.visualization.training_log import Points

LARGEST = 10_000_000
"""Bytes of a report, at most."""

GALLERY = 12
ALL_GALLERIES = 72
LINES = 8
"""The most lines in a figure of one run."""

MEASURES = {
    'lr': ('Learning rate', 'learning rate'),
    'time': ('Time of an iteration', 'seconds'),
    'data_time': ('Time waiting for data', 'seconds'),
    'memory': ('GPU memory, peak', 'MiB'),
    'grad_norm': ('Norm of the gradient', 'norm'),
}
"""Titles and units of what mmengine logs beside losses."""

METRIC_NAMES = {
    **AP_NAMES,
    'coco/bbox_mAP_75': 'box AP at IoU 0.75',
    'coco/segm_mAP_75': 'mask AP at IoU 0.75',
}
BY_SIZE = ('_s', '_m', '_l')


def write_report(
    folders: Sequence[Path],
    out_file: Path,
    *,
    images: int = 200,
    device: str = 'cpu',
    data_root: str | None = None,
) -> list[str]:
    """Write the report of one training, or of several.

    Args:
        folders: Their work folders.
        out_file: What to write.
        images: The most validation images to evaluate a checkpoint on; 0 for none.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.
        data_root: Data folder, in place of the configs'.

    Returns:
        For each training, on what its checkpoint was evaluated, or why it was not.

    Raises:
        FileNotFoundError: If a folder is missing, or has no log of a training.
        OSError: If the file cannot be written.
        ValueError: If an argument is not accepted.
    """
    if images < 0:
        raise ValueError(f'images={images}: 0 and more are accepted')
    check_file_can_be_written(out_file, 'out_file')
    runs = read_runs(folders)
    gallery = max(2, min(GALLERY, ALL_GALLERIES // (2 * len(runs))))
    evaluations = [evaluate_run(run, images, gallery, device, data_root) for run in runs]
    page = render(runs, evaluations).encode()
    if len(page) > LARGEST:
        raise ValueError(
            f'the report would have {len(page) / 1e6:.1f} MB, and at most {LARGEST / 1e6:.0f} are '
            'written: report fewer trainings at once'
        )
    out_file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out_file, page)
    return [evaluation.about for evaluation in evaluations]


def render(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> str:
    """Render the page.

    Args:
        runs: The trainings.
        evaluations: Of each of them.
    """
    environment = Environment(
        loader=PackageLoader('mmvmlp.report', '.'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template('page.html.jinja').render(
        title=runs[0].name if len(runs) == 1 else f'{len(runs)} trainings compared',
        written=f'{datetime.now():%Y-%m-%d %H:%M}',
        version=mmvmlp.__version__,
        runs=runs,
        evaluations=evaluations,
        overview=_table(runs, [_overview(*pair) for pair in zip(runs, evaluations, strict=True)]),
        differences=_differences(runs),
        curves=_curves(runs),
        has_memory=any('memory' in run.log.measures for run in runs),
        data=_table(runs, [_data(run.config) for run in runs]),
        machines=_table(runs, [run.environment for run in runs]),
    )


def _table(runs: Sequence[Run], columns: Sequence[Mapping[str, str]]) -> Table:
    """Put runs side by side."""
    keys = dict.fromkeys(key for column in columns for key in column)
    return Table(
        '',
        ['', *(run.name for run in runs)] if len(runs) > 1 else [],
        [[key, *(column.get(key, '') for column in columns)] for key in keys],
    )


def _overview(run: Run, evaluation: Evaluation) -> dict[str, str]:
    backbone = run.config.model.get('backbone') or {}
    arch = backbone.get('arch')
    facts = {
        'model': str(run.config.model.get('type', '')),
        'backbone': f'{backbone.get("type", "")}{f" {arch}" if isinstance(arch, str) else ""}',
        'trained': run.progress,
        'started': f'{run.started:%Y-%m-%d %H:%M}',
    }
    if run.seconds is not None:
        facts['time in iterations'] = str(timedelta(seconds=round(run.seconds)))
    facts['last loss'] = f'{run.log.losses["loss"][-1, 1]:.4g}'
    for name, points in run.log.metrics.items():
        if not name.endswith(BY_SIZE):
            best = points[points[:, 1].argmax()]
            shown = f'{points[-1, 1]:.4g}'
            if best[1] > points[-1, 1]:
                shown += f' (best {best[1]:.4g} at iteration {best[0]:.0f})'
            facts[f'validation: {_metric(name)}'] = shown
    facts['evaluated here'] = evaluation.about
    if evaluation.findings is not None:
        for name, value in evaluation.findings.metrics.items():
            facts[f'evaluated here: {name}'] = f'{value:.4f}'
    return facts


def _differences(runs: Sequence[Run]) -> Table:
    return Table(
        '',
        ['setting', *(run.name for run in runs)],
        [
            [key, *('' if value is None else _text(value) for value in values)]
            for key, values in differences(runs).items()
        ],
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else pprint.pformat(value, width=60, compact=True)


def _data(config: Config) -> dict[str, str]:
    facts = {}
    for split in ('train', 'val'):
        loader = config.get(f'{split}_dataloader') or {}
        dataset = loader.get('dataset') or {}
        while 'dataset' in dataset:
            dataset = dataset['dataset']
        for key in ('type', 'data_root', 'ann_file', 'data_prefix', 'indices'):
            if dataset.get(key):
                facts[f'{split}: {key}'] = _text(dataset[key])
        if 'batch_size' in loader:
            facts[f'{split}: batch size'] = str(loader['batch_size'])
    return facts


def _curves(runs: Sequence[Run]) -> list[Markup]:
    if len(runs) == 1:
        return _curves_of_one(runs[0])
    figures = [plot_series(_of_all(runs, 'losses', 'loss'), 'Loss', 'loss', smoothed=True)]
    for name in dict.fromkeys(name for run in runs for name in run.log.metrics):
        if not name.endswith(BY_SIZE):
            series = _of_all(runs, 'metrics', name)
            label = _metric(name)
            figures.append(plot_series(series, f'Validation: {label}', label, markers=True))
    return figures + _measures(runs)


def _curves_of_one(run: Run) -> list[Markup]:
    parts = {**run.log.losses, **run.log.measures}
    losses = {
        LOSS_NAMES.get(name, name): points
        for name, points in parts.items()
        if name.rpartition('.')[2].startswith('loss')
    }
    figures = [plot_series(dict(list(losses.items())[:LINES]), 'Losses', 'loss', smoothed=True)]
    scales: dict[str, dict[str, Points]] = {}
    for name, points in run.log.metrics.items():
        if not name.endswith(BY_SIZE):
            # Some are shares, others per cent; both have the field's names.
            scale = 'per cent' if points[:, 1].max() > 1 else 'share'
            scales.setdefault(scale, {})[_metric(name)] = points
    for scale, series in scales.items():
        shown = dict(list(series.items())[:LINES])
        label = next(iter(shown)) if len(shown) == 1 else scale
        figures.append(plot_series(shown, 'Validation', label, markers=True))
    return figures + _measures([run])


def _measures(runs: Sequence[Run]) -> list[Markup]:
    return [
        plot_series(series, title, label, from_zero=key != 'grad_norm')
        for key, (title, label) in MEASURES.items()
        if (series := _of_all(runs, 'measures', key))
    ]


def _of_all(runs: Sequence[Run], kind: str, name: str) -> dict[str, Points]:
    return {
        run.name: getattr(run.log, kind)[name] for run in runs if name in getattr(run.log, kind)
    }


def _metric(name: str) -> str:
    return METRIC_NAMES.get(name, name.rpartition('/')[2].replace('_', ' '))

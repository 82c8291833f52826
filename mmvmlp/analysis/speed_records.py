"""Records of a benchmark: a table to read, JSON with everything, CSV in timm's columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmvmlp.analysis.speed import Benchmark, Measurement
from mmvmlp.output_files import write_atomically

JSON_NAME, CSV_NAME = 'benchmark.json', 'benchmark.csv'

TIMM_COLUMNS = {
    'infer': ('samples_per_sec', 'step_time', 'batch_size', 'img_size', 'gmacs', 'macts'),
    'train': ('samples_per_sec', 'step_time', 'batch_size', 'img_size'),
}
OUR_COLUMNS = (
    *('ratio', 'p95_step_time', 'peak_mb', 'stored_mb', 'matrix_rate_share'),
    *('dtype', 'runtime', 'fuse', 'compile', 'channels_last', 'threads', 'device'),
)

Record = dict[str, Any]


def benchmark_record(benchmark: Benchmark, facts: Mapping[str, Any], command: str) -> Record:
    """Return everything that was measured, in SI units, as JSON can hold it.

    Args:
        benchmark: What was measured.
        facts: From :func:`~mmvmlp.analysis.machine.machine_facts`.
        command: The command that measured it.
    """
    return {
        'command': command,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'machine': dict(facts),
        'shape': list(benchmark.shape),
        'batch': benchmark.batch,
        'matrix_rates': {dtype: round(rate) for dtype, rate in benchmark.matrix_rates.items()},
        'results': [_result(benchmark, each) for each in benchmark.measurements],
    }


def _result(benchmark: Benchmark, measurement: Measurement) -> Record:
    share = benchmark.share_of_matrix_rate(measurement)
    return {
        'name': measurement.name,
        **{key: value for key, value in asdict(measurement.mode).items() if key != 'arguments'},
        'ratio': round(benchmark.ratio(measurement), 4),
        'images_per_second': round(benchmark.images_per_second(measurement), 3),
        'median_seconds': round(measurement.median, 7),
        'p95_seconds': round(measurement.p95, 7),
        'peak_bytes': measurement.peak_bytes,
        'activation_bytes': measurement.activation_bytes,
        'parameters': measurement.parameters,
        'macs': measurement.macs,
        'macts': measurement.macts,
        'share_of_matrix_rate': None if share is None else round(share, 4),
        'compiled_frames': measurement.compiled_frames,
        'seconds': [round(each, 7) for each in measurement.seconds],
    }


def benchmark_table(record: Record) -> str:
    """Format a record as a table: ratios are to the first contestant."""
    trains = any(result['train'] for result in record['results'])
    headings = [
        *('ratio', 'images/s', 'median ms', 'p95 ms', 'peak MB'),
        *(['stored MB'] if trains else []),
        *('GMACs', 'of matrix rate'),
    ]
    width = max(len(result['name']) for result in record['results'])
    lines = [' ' * width + ''.join(f'{heading:>{_width(heading)}}' for heading in headings)]
    for result in record['results']:
        cells = [
            f'{result["ratio"]:.2f}',
            f'{result["images_per_second"]:.2f}',
            f'{1e3 * result["median_seconds"]:.1f}',
            f'{1e3 * result["p95_seconds"]:.1f}',
            _scaled(result['peak_bytes'], 1e6, '.0f'),
            *([_scaled(result['activation_bytes'], 1e6, '.0f')] if trains else []),
            _scaled(result['macs'], 1e9, '.2f'),
            _scaled(result['share_of_matrix_rate'], 1, '.2f'),
        ]
        padded = zip(cells, headings, strict=True)
        line = ''.join(f'{cell:>{_width(heading)}}' for cell, heading in padded)
        lines.append(f'{result["name"]:<{width}}{line}')
    return '\n'.join(lines)


def _width(heading: str) -> int:
    return max(len(heading), 8) + 2


def _scaled(value: float | None, unit: float, pattern: str) -> str:
    return '' if value is None else format(value / unit, pattern)


def benchmark_csv(record: Record) -> str:
    """Format a record in the columns of timm's ``results/benchmark-*.csv``, and ours after them.

    Step times are milliseconds, parameters, MACs and activations millions, billions and millions.
    A shape that is not square is written as HEIGHTxWIDTH.
    """
    prefixes = {'train' if result['train'] else 'infer' for result in record['results']}
    columns = [
        'model',
        *(f'{prefix}_{name}' for prefix in sorted(prefixes) for name in TIMM_COLUMNS[prefix]),
        *('param_count', *OUR_COLUMNS),
    ]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval='', lineterminator='\n')
    writer.writeheader()
    for result in record['results']:
        writer.writerow(_csv_row(record, result))
    return buffer.getvalue()


def _csv_row(record: Record, result: Record) -> dict[str, Any]:
    prefix = 'train' if result['train'] else 'infer'
    height, width = record['shape']
    timm = {
        'samples_per_sec': round(result['images_per_second'], 2),
        'step_time': round(1e3 * result['median_seconds'], 3),
        'batch_size': record['batch'],
        'img_size': height if height == width else f'{height}x{width}',
        'gmacs': _scaled(result['macs'], 1e9, '.2f'),
        'macts': _scaled(result['macts'], 1e6, '.2f'),
    }
    return {
        'model': result['name'],
        **{f'{prefix}_{name}': timm[name] for name in TIMM_COLUMNS[prefix]},
        'param_count': round(result['parameters'] / 1e6, 2),
        'ratio': result['ratio'],
        'p95_step_time': round(1e3 * result['p95_seconds'], 3),
        'peak_mb': _scaled(result['peak_bytes'], 1e6, '.1f'),
        'stored_mb': _scaled(result['activation_bytes'], 1e6, '.1f'),
        'matrix_rate_share': _scaled(result['share_of_matrix_rate'], 1, '.4f'),
        **{name: result[name] for name in ('dtype', 'runtime', 'fuse', 'compile', 'channels_last')},
        'threads': record['machine']['threads'],
        'device': record['machine']['device'],
    }


def write_benchmark(record: Record, folder: Path) -> None:
    """Write a record as ``benchmark.json`` and ``benchmark.csv``.

    Args:
        record: From :func:`benchmark_record`.
        folder: Folder of the files, made if it is missing.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = ',\n'.join(f'  {json.dumps(result)}' for result in record['results'])
    # A line for each contestant, which a reader and a comparison of two files can follow.
    others = json.dumps({**record, 'results': []}, indent=1)
    text = others.replace('"results": []', f'"results": [\n{results}\n ]')
    write_atomically(folder / JSON_NAME, f'{text}\n'.encode())
    write_atomically(folder / CSV_NAME, benchmark_csv(record).encode())

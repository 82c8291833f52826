"""The page of benchmarks and its plots agree with the records."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from development.benchmark_page import (
    GROUPS,
    NO_RECORDS,
    PLOTS,
    cost_by_pixels,
    exponent,
    published_accuracies,
    read_records,
    write_page,
)
from development.benchmark_runs import FOLDER, RUNS, SIDES, command_of
from mmvmlp.analysis.contestants import Mode, build_network, parse_contestant
from mmvmlp.cli.benchmark import parse_arguments

PAGE = Path('docs/benchmarks.md')
MACHINE = {
    **{'device': 'A processor', 'instructions': 'AVX512', 'cores': 2, 'threads': 2},
    **{'python': '3.11.7', 'versions': {'torch': '2.11.0'}, 'allocator': 'glibc 2.36'},
    **{'allocator_settings': {}, 'mkldnn': True},
}


def contestants(name, monkeypatch):
    monkeypatch.setattr('sys.argv', command_of(name).split()[1:])
    arguments = parse_arguments()
    return arguments, [arguments.name, *arguments.against]


def write_record(folder, name, monkeypatch, **changed):
    """Write a record as the command would: contestant k takes k seconds, times the pixels."""
    arguments, names = contestants(name, monkeypatch)
    height, width = arguments.shape
    results = []
    for number, text in enumerate(names, 1):
        mode = parse_contestant(text, Mode(train=arguments.train))[1]
        seconds = number * height * width / 224**2
        results.append(
            {
                **{'name': text, 'fuse': mode.fuse, 'compile': mode.compile, 'dtype': mode.dtype},
                **{'runtime': mode.runtime, 'train': mode.train, 'ratio': 1 / number},
                **{'images_per_second': arguments.batch / seconds, 'median_seconds': seconds},
                **{'p95_seconds': 2 * seconds, 'peak_bytes': 3e6, 'activation_bytes': 4e6},
                **{'macs': 5e9, 'share_of_matrix_rate': 0.25},
            }
        )
    record = {
        **{'command': command_of(name), 'date': '2026-11-27T00:00:00+00:00', 'machine': MACHINE},
        **{'shape': arguments.shape, 'batch': arguments.batch, 'results': results},
        **{'matrix_rates': {'float32': 2e11}, **changed},
    }
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / 'benchmark.json').write_text(json.dumps(record))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A record of every run, and the page."""
    for name in RUNS:
        write_record(tmp_path, name, monkeypatch)
    shutil.copy(PAGE, tmp_path)
    return tmp_path


def test_the_page_is_what_the_records_give(tmp_path):
    copy = tmp_path / PAGE.name
    shutil.copy(PAGE, copy)
    write_page(Path(FOLDER), copy, tmp_path)
    assert copy.read_text() == PAGE.read_text()
    for plot in tmp_path.glob('*.png'):
        assert Image.open(plot).size == Image.open(Path('docs/images', plot.name)).size


def test_tables_and_plots_have_the_records(folder):
    write_page(folder, folder / PAGE.name, folder)
    page = folder.joinpath(PAGE.name).read_text()
    assert NO_RECORDS not in page
    rows = [line for line in page.splitlines() if line.startswith('| ')]
    first = '| reference `hire_mlp_small` | eager | 8.0 | 1.00 | 1000 (2000) | 3 | 5.00 | 0.25 |'
    assert first in rows
    assert '| `hire_mlp_small` | fused, compiled, bfloat16 | 1.1 | 0.14 |' in page
    assert '| `hire_mlp_small` | `with_cp=True` | 2.7 | 0.33 | 3000 (6000) | 3 | 4 |' in page
    assert '| `hire_mlp_small` | openvino, bfloat16 | ' in page
    assert '| `smlpnet_tiny` | window | 4000 |' in page
    assert '| matrix rate | 200 to 200 GFLOP/s in float32 |' in page
    for name in PLOTS:
        assert f'](images/{name}.png)' in page
        image = np.asarray(Image.open(folder / f'{name}.png').convert('RGB'))
        assert image.shape[1] > 900
        assert image.std() > 10


def test_cost_is_fitted_by_its_exponent(folder):
    costs = cost_by_pixels(read_records(folder))
    assert [policy for _, policy in costs][:4] == ['size-free', 'size-free', 'resize', 'window']
    for seconds in costs.values():
        assert exponent(SIDES, seconds) == pytest.approx(1)
    assert exponent((10, 20, 40), (1, 16, 256)) == pytest.approx(2)


def test_what_is_not_measured_is_said(folder):
    shutil.rmtree(folder / 'pixels_224')
    shutil.rmtree(folder / 'hire_224_b1')
    write_page(folder, folder / PAGE.name, folder)
    assert folder.joinpath(PAGE.name).read_text().count(NO_RECORDS) == 3


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'command': 'mmvmlp benchmark other'}, "'mmvmlp benchmark other', not of 'mmvmlp bench"),
        ({'machine': {**MACHINE, 'threads': 1}}, 'of more than one machine: that of hire_224_b1'),
    ],
)
def test_records_of_others_are_refused(folder, monkeypatch, changed, message):
    write_record(folder, 'hire_224_b1', monkeypatch, **changed)
    before = folder.joinpath(PAGE.name).read_text()
    with pytest.raises(ValueError, match=message):
        write_page(folder, folder / PAGE.name, folder)
    assert folder.joinpath(PAGE.name).read_text() == before
    assert not list(folder.glob('*.png'))


def test_every_run_is_on_the_page_and_can_be_started(monkeypatch):
    on_page = {name for names in GROUPS.values() for name in names}
    assert on_page | {f'pixels_{side}' for side in SIDES} == RUNS.keys()
    texts = {text for name in RUNS for text in contestants(name, monkeypatch)[1]}
    for name, arguments in {
        (name, tuple(mode.arguments.items()))
        for name, mode in (parse_contestant(text, Mode()) for text in texts)
    }:
        if not name.startswith('timm:'):
            with torch.device('meta'):
                assert build_network(name, dict(arguments))
    compared = contestants('neighbours_224_b8', monkeypatch)[1]
    named = {parse_contestant(text, Mode())[0] for text in compared}
    assert named <= published_accuracies().keys()

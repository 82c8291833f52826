"""Benchmarks: what is timed, in which order, and what is counted."""

import json
import re
from functools import partialmethod

import pytest
import torch
from commands import exit_status
from torch import nn

from mmvmlp.analysis.contestants import Mode, build_network, parse_contestant
from mmvmlp.analysis.machine import allocator_advice, machine_facts
from mmvmlp.analysis.memory import RESET_PEAK
from mmvmlp.analysis.speed import (
    count_operations,
    run_benchmark,
    stored_bytes,
    time_in_turns,
)
from mmvmlp.backbones.base import registered_families

pytestmark = pytest.mark.skipif(not RESET_PEAK.exists(), reason='peak memory is read on Linux only')

NETWORKS = """
from torch import nn
from mmvmlp.backbones.base import registered_families

for family in registered_families():
    globals()[family.__name__] = lambda family=family: family(family.small_arch)

def convolution():
    return nn.Conv2d(3, 4, 1)

class Rectified(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).relu()

def rectified():
    return Rectified(3, 4, 1)

def number():
    return 3

constant = 3
"""
FAMILIES = [family.__name__ for family in registered_families()]


@pytest.fixture(scope='module')
def networks(tmp_path_factory):
    """A file with a function for the small network of each family."""
    file = tmp_path_factory.mktemp('networks') / 'networks.py'
    file.write_text(NETWORKS)
    return file


def test_contestants_take_turns():
    order = []
    seconds = time_in_turns([lambda: order.append('a'), lambda: order.append('b')], 3)
    assert ''.join(order) == 'ab' * 3
    assert [len(own) for own in seconds] == [3, 3]


@pytest.mark.parametrize('family', FAMILIES)
def test_every_family_is_timed_in_every_mode(family, networks):
    name = f'{networks}:{family}'
    modes = ('', '+fuse', '+bfloat16', '+channels_last', '+train')
    benchmark = run_benchmark(
        [name + mode for mode in modes], (64, 64), 2, repetitions=2, threads=1
    )
    first = benchmark.measurements[0]
    assert [each.name.removeprefix(name) for each in benchmark.measurements] == list(modes)
    assert {each.macs for each in benchmark.measurements} == {first.macs}
    assert benchmark.ratio(first) == 1
    assert set(benchmark.matrix_rates) == {'float32', 'bfloat16'}
    for each in benchmark.measurements:
        assert len(each.seconds) == 2
        assert min(each.seconds) <= each.median <= each.p95 <= max(each.seconds)
        assert benchmark.images_per_second(each) == pytest.approx(2 / each.median)
        assert benchmark.ratio(each) == pytest.approx(first.median / each.median)
        operations = 2 * each.macs * (3 if each.mode.train else 1)
        achieved = operations * benchmark.images_per_second(each)
        rate = benchmark.matrix_rates[each.mode.dtype]
        assert benchmark.share_of_matrix_rate(each) == pytest.approx(achieved / rate)
        assert (each.activation_bytes is not None) == each.mode.train


@pytest.mark.parametrize(
    ('name', 'gmacs', 'macts'),
    # From timm's results/benchmark-infer-*.csv, without the classifier of 0.5 million.
    [('resnet18', 1.82, 2.48), ('resmlp_12_224', 3.01, 5.50)],
)
def test_operations_are_those_of_timms_tables(name, gmacs, macts):
    with torch.device('meta'):
        network = build_network(f'timm:{name}', {})
    macs, outputs = count_operations(network, (224, 224))
    assert macs / 1e9 == pytest.approx(gmacs, abs=0.011)
    assert outputs / 1e6 == pytest.approx(macts, abs=0.011)


def test_stored_memory_is_what_autograd_keeps():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 1))
    image = torch.randn(2, 3, 8, 8)
    stored = stored_bytes(lambda: network(image).sum().backward(), network)
    # The image, and the output of the ReLU, which the second convolution stores too.
    assert stored == 4 * 2 * 64 * (3 + 4)


def test_recomputation_stores_less():
    family = registered_families()[0]
    image, stored = torch.randn(1, 3, 64, 64), []
    for with_cp in (False, True):
        network = family(family.small_arch, with_cp=with_cp).train()

        def step(network=network):
            sum(level.sum() for level in network(image)).backward()

        stored.append(stored_bytes(step, network))
    assert stored[1] < 0.35 * stored[0]


def test_modes_are_read_from_names():
    defaults = Mode(fuse=True)
    assert parse_contestant('resmlp_s12', defaults) == ('resmlp_s12', defaults)
    name, mode = parse_contestant('resmlp_s12+compile+bfloat16+resolution=window', defaults)
    assert name == 'resmlp_s12'
    assert mode == Mode('bfloat16', fuse=True, compile=True, arguments={'resolution': 'window'})
    assert parse_contestant('a+openvino+with_cp=True', Mode())[1] == Mode(
        runtime='openvino', arguments={'with_cp': True}
    )


def test_what_compiles_nothing_is_refused(networks, monkeypatch):
    torch._dynamo.reset()
    # Machine code would take a minute to compile.
    monkeypatch.setattr(nn.Module, 'compile', partialmethod(nn.Module.compile, backend='eager'))
    (compiled,) = run_benchmark(
        [f'{networks}:rectified+compile'], (8, 8), repetitions=1
    ).measurements
    assert compiled.compiled_frames > 0
    # torch leaves out the forward methods of its own modules.
    with pytest.raises(ValueError, match='torch.compile has compiled nothing'):
        run_benchmark([f'{networks}:convolution+compile'], (8, 8), repetitions=1)


def test_runtimes_run_an_export(networks):
    name = f'{networks}:S2MLP'
    names = [f'{name}+onnxruntime', f'{name}+openvino+bfloat16']
    benchmark = run_benchmark(names, (32, 32), 2, repetitions=1, threads=1)
    assert all(each.macs > 0 and each.peak_bytes >= 0 for each in benchmark.measurements)
    with pytest.raises(ValueError, match='onnxruntime runs in fp32 here'):
        run_benchmark([f'{name}+onnxruntime+bfloat16'], (32, 32))


@pytest.mark.slow
def test_a_quantised_file_has_no_rate_to_compare_with(networks):
    benchmark = run_benchmark([f'{networks}:S2MLP+openvino+int8'], (32, 32), repetitions=1)
    assert benchmark.matrix_rates == {}
    assert benchmark.share_of_matrix_rate(benchmark.measurements[0]) is None


@pytest.mark.slow
def test_whole_models_are_timed():
    names = [
        'configs/mask_rcnn_mlp_mixer_digits.py',
        'configs/mask_rcnn_mlp_mixer_digits.py+fuse+bfloat16',
        'configs/classify_hire_mlp_t_digits.py',
        'mmvmlp::sem_fpn_hire_mlp_t.py',
    ]
    benchmark = run_benchmark(names, (64, 96), repetitions=1)
    detector = benchmark.measurements[0]
    assert detector.parameters > 4_000_000
    assert all(each.macs > 1e8 and each.macts is None for each in benchmark.measurements)


def test_a_better_allocator_is_offered_where_there_is_one():
    facts = {'allocator': 'glibc 2.36', 'allocator_settings': {}}
    assert 'MALLOC_TRIM_THRESHOLD_=' in allocator_advice(facts)
    assert allocator_advice({**facts, 'allocator': 'jemalloc'}) is None
    assert allocator_advice({**facts, 'allocator_settings': {'MALLOC_TOP_PAD_': '1'}}) is None


def test_facts_have_the_settings_of_the_allocator(monkeypatch):
    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '99')
    facts = machine_facts('cpu')
    assert facts['allocator_settings']['MALLOC_TRIM_THRESHOLD_'] == '99'
    assert facts['threads'] == torch.get_num_threads()
    assert facts['versions']['torch'] == torch.__version__.partition('+')[0]
    assert facts['tf32'] is None


TIMM_HEADER = (
    'model,infer_samples_per_sec,infer_step_time,infer_batch_size,infer_img_size,infer_gmacs,'
    'infer_macts,'
)


def test_the_command_writes_json_and_csv(networks, tmp_path, run):
    contestants = [f'{networks}:S2MLP', f'{networks}:S2MLP+fuse']
    printed = run(
        'tools/benchmark.py',
        *(contestants[0], '--against', contestants[1], '--shape', 32, 48, '--batch', 3),
        *('--repetitions', 2, '--out', tmp_path / 'new/folder'),
    )
    assert re.search(rf'^{re.escape(contestants[0])} +1\.00 ', printed, re.MULTILINE)
    assert 'of matrix rate' in printed
    record = json.loads((tmp_path / 'new/folder/benchmark.json').read_text())
    assert [result['name'] for result in record['results']] == contestants
    assert record['shape'] == [32, 48]
    assert record['batch'] == 3
    assert record['command'].startswith(f'mmvmlp benchmark {contestants[0]} --against')
    assert record['machine']['allocator']
    header, *rows = (tmp_path / 'new/folder/benchmark.csv').read_text().splitlines()
    assert header.startswith(TIMM_HEADER + 'param_count,ratio,')
    assert len(rows) == 2
    first = dict(zip(header.split(','), rows[0].split(','), strict=True))
    assert first['infer_img_size'] == '32x48'
    assert first['infer_batch_size'] == '3'
    assert float(first['ratio']) == 1


def test_columns_of_training_are_timms_too(networks, tmp_path, run):
    arguments = f'{networks}:S2MLP', '--train', '--shape', 32, 32, '--repetitions', 1
    printed = run('tools/benchmark.py', *arguments, '--out', tmp_path)
    assert 'stored MB' in printed
    header = (tmp_path / 'benchmark.csv').read_text().splitlines()[0]
    assert header.startswith(
        'model,train_samples_per_sec,train_step_time,train_batch_size,train_img_size,param_count,'
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['resnet50'], "'resnet50' is not known: a backbone, timm:NAME, a config, or FILE.py:FUN"),
        (['s2_mlp_deep', '--against', 'nothing'], "'nothing' is not known"),
        (['timm:nothing'], "'timm:nothing' is not known: a name of timm.list_models()"),
        (['missing.py:build'], "file 'missing.py' does not exist"),
        (['missing.py'], "config 'missing.py' does not exist"),
        (['mmdet::missing.py'], "config 'mmdet::missing.py' cannot be read"),
        (['NETWORKS:missing'], 'has no function'),
        (['NETWORKS:constant'], 'has no function'),
        (['NETWORKS:number'], 'returns a int: a torch.nn.Module is accepted'),
        (['NETWORKS:S2MLP+with_cp=True'], "takes no argument 'with_cp'"),
        (['NETWORKS:convolution+fuse'], 'fuse is for the networks of mmvmlp'),
        (['s2_mlp_deep+int4'], "'s2_mlp_deep+int4': the mode 'int4' is unknown; accepted are fuse"),
        (['s2_mlp_deep+int8'], 'int8: accepted with openvino only'),
        (['s2_mlp_deep+fuse', '--train'], 'train: the fused form is for inference only'),
        (['s2_mlp_deep+openvino+compile'], 'compile: accepted with torch only, not openvino'),
        (['s2_mlp_deep', '--batch', '0'], 'batch=0: a positive integer is accepted'),
        (['s2_mlp_deep', '--repetitions', '0'], 'repetitions=0: a positive integer is accepted'),
        (['s2_mlp_deep', '--threads', '0'], 'threads=0: a positive integer is accepted'),
        (['s2_mlp_deep', '--shape', '0', '9'], 'height=0: a positive integer is accepted'),
        (['NETWORKS:S2MLP', '--shape', '9', '9'], 'images of 9x9 pixels are too small'),
        (['s2_mlp_deep', '--device', 'gpu'], "device='gpu': 'cpu', 'cuda' and 'cuda:N' are acc"),
        (
            ['configs/classify_hire_mlp_t_digits.py', '--train'],
            'a training step is accepted for networks, not for whole models',
        ),
        (['s2_mlp_deep', '--out', 'README.md'], "--out 'README.md': "),
    ],
    ids=lambda value: '_'.join(value) if isinstance(value, list) else '',
)
def test_the_command_refuses_with_one_line(arguments, message, networks, monkeypatch, capsys):
    arguments = [each.replace('NETWORKS', str(networks)) for each in arguments]
    assert exit_status(monkeypatch, 'tools/benchmark.py', *arguments) == 1
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if not line.startswith('... ')]
    assert line.startswith('error: ')
    assert message in line
    assert printed.out == ''


def test_a_wrong_precision_is_a_usage_error(monkeypatch, capsys):
    arguments = 's2_mlp_deep', '--dtype', 'float8'
    assert exit_status(monkeypatch, 'tools/benchmark.py', *arguments) == 2
    assert "invalid choice: 'float8'" in capsys.readouterr().err

"""Networks of a fixed size must not pay for a detector's images with memory."""

import pytest
from commands import exit_status

from mmvmlp.analysis.memory import RESET_PEAK, measure_forward_memory
from mmvmlp.backbones.base import registered_families

on_linux = pytest.mark.skipif(not RESET_PEAK.exists(), reason='the peak is read on Linux only')


@on_linux
@pytest.mark.slow
def test_a_detectors_image_costs_other_families_no_more_than_hire_mlp():
    fixed_size = [
        f'{family.name_prefix}_{family.smallest_variant}'
        for family in registered_families()
        if not family.size_free
    ]
    hire, *others = measure_forward_memory(['hire_mlp_small', *fixed_size], 800, 1216)
    # Its first stage's map and the four times wider one inside the channel MLP live at once.
    assert hire.peak > 5 * 64 * 200 * 304 * 4
    for other in others:
        assert other.peak < 1.5 * hire.peak, (other, hire)


@on_linux
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['resnet50'], "name='resnet50' is not a backbone; accepted are "),
        (['s2_mlp_deep', '--shape', '0', '0'], 'height=0: a positive integer is accepted'),
        (['s2_mlp_deep', '--shape', '64', '-1'], 'width=-1: a positive integer is accepted'),
        (
            ['s2_mlp_deep', 'hire_mlp_t', '--shape', '31', '64'],
            'images of 31x64 pixels are too small for HireMLP',
        ),
        (['s2_mlp_deep', '--device', 'gpu'], "device='gpu': 'cpu', 'cuda' and 'cuda:N' are acc"),
        (['s2_mlp_deep', '--device', 'cuda:99'], "device='cuda:99': PyTorch finds"),
    ],
)
def test_the_command_refuses_wrong_arguments_with_one_line(arguments, message, monkeypatch, capsys):
    assert exit_status(monkeypatch, 'tools/measure_memory.py', *arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f'error: {message}')
    assert printed.out == ''


@on_linux
def test_the_command_prints_a_row_a_backbone(monkeypatch, capsys):
    arguments = ('s2-mlp-deep', '--shape', '32', '48')
    assert exit_status(monkeypatch, 'tools/measure_memory.py', *arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith('| `s2_mlp_deep` | 2')

"""Errors that end a run of several processes, as the shell shows them."""

import subprocess
import sys

import pytest

ENDS = """
import os, signal, sys

if sys.argv[1] == 'message':
    from mmvmlp.cli.errors import one_clear_error
    from mmvmlp.config.loading import load_config

    with one_clear_error():
        load_config('none.py')
if os.environ['RANK'] == '1':
    if sys.argv[1] == 'signal':
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError('not on purpose')
"""


@pytest.fixture(scope='module')
def script(tmp_path_factory):
    file = tmp_path_factory.mktemp('torchrun') / 'ends.py'
    file.write_text(ENDS)
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    ('how', 'status', 'errors'),
    [
        ('message', 1, ["error: config 'none.py' does not exist"]),
        ('signal', 128 + 9, ['error: the process of rank 1 was killed by SIGKILL']),
        ('traceback', 1, ['RuntimeError: not on purpose', 'rank 1 exited with status 1']),
    ],
)
def test_what_ends_two_processes_is_shown_once(script, how, status, errors):
    result = subprocess.run(
        [
            *(sys.executable, 'tools/torchrun.py', '--standalone', '--nproc_per_node', '2'),
            *(script, how),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert result.returncode == status, result.stderr
    for error in errors:
        assert result.stderr.count(error) == 1
    assert result.stderr.count('error: ') == 1
    assert result.stderr.count('Traceback') == (how == 'traceback')


@pytest.mark.slow
def test_torchrun_itself_shows_the_message(script):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', script, 'message']
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr.count("error: config 'none.py' does not exist") == 1

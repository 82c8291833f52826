"""docs/pretraining.md: the chain of commands works when pasted, here with less data and steps."""

import re
from pathlib import Path

import pytest
from pasted import run_pasted

SMALLER = {
    '--train 20000 --val 1000': '--train 20 --val 10',
    'data/digits\n': 'data/digits --train 8 --val 2\n',
    '--train 4000 --val 200': '--train 8 --val 2',
    '=850': '=2',
}


@pytest.mark.slow
def test_the_chain_works_when_pasted(tmp_path, run, monkeypatch):
    page = Path('docs/pretraining.md').read_text()
    (commands,) = re.findall(r'^```sh\n(.+?)^```$', page, re.MULTILINE | re.DOTALL)
    for written, smaller in SMALLER.items():
        assert written in commands
        commands = commands.replace(written, smaller)
    output = run_pasted(commands, tmp_path, run, monkeypatch)
    # A classifier has a norm behind the last level; a pyramid has one behind each of four, so that
    # three norms of five tensors are new.
    loaded = (
        r'classifier/epoch_1\.pth.*: 413 tensors loaded\n +missing .*: norm0\.weight, .*15 in all'
    )
    assert len(re.findall(loaded, output)) == 2
    for made in ('detector_pretrained/epoch_3.pth', 'segmentor_pretrained/iter_2.pth'):
        assert (tmp_path / 'work_dirs' / made).is_file()

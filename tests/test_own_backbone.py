"""docs/own_backbone.md: its blocks, run in an empty folder with the installed wheel, all work."""

import re

import pytest
from from_the_wheel import run_from_the_wheel
from pasted import ROOT

PAGE = (ROOT / 'docs/own_backbone.md').read_text()
BLOCKS = re.findall(r'^```sh\n(.+?)^```$', PAGE, re.MULTILINE | re.DOTALL)
# A depth and a number of rounds that a test can afford, in the place of the page's.
SMALLER = {'(2, 2, 4, 2)': '(1, 1, 1, 1)', '--repetitions 5': '--repetitions 1'}
MADE = ['report.html', 'roll_mlp.onnx', 'official.pth', 'again.pth', 'inspected/inspection.json']


@pytest.mark.slow
def test_the_page_works_with_the_installed_wheel(installed_site, tmp_path):
    pasted = '\n'.join(BLOCKS)
    for written, smaller in SMALLER.items():
        assert written in pasted
        pasted = pasted.replace(written, smaller)
    printed = run_from_the_wheel(pasted, installed_site, tmp_path)
    assert not re.search('^error: ', printed, re.MULTILINE)
    assert 'Epoch(train) [1][2/2]' in printed
    # The stem's patch, and two more along each axis.
    assert re.search('^stage 1, block 1 +12x12 ', printed, re.MULTILINE)
    assert all((tmp_path / 'empty' / made).is_file() for made in MADE)

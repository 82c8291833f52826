"""docs/own_data.md: the commands of each section, pasted in order, do what the page says."""

import re

import pytest
from pasted import ROOT, run_pasted

SECTIONS = dict(
    re.findall(
        r'^## (.+?)\n(?:(?!^## ).)*?^```sh\n(.+?)^```$',
        (ROOT / 'docs/own_data.md').read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
RESULTS = {
    "Boxes and masks in COCO's format": ['my_detector/predictions/predictions.json'],
    'Masks in folders, as ADE20K has them': ['my_segmentor/iter_10.pth'],
    'A folder a class': ['my_classifier/epoch_1.pth'],
}


def test_every_section_has_commands():
    assert list(SECTIONS) == list(RESULTS)


@pytest.mark.parametrize('section', RESULTS)
def test_a_config_has_at_most_25_lines(section):
    (config,) = re.findall(r"<<'END'\n(.+?)^END$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    assert len(config.splitlines()) <= 25


@pytest.mark.slow
@pytest.mark.parametrize('section', RESULTS)
def test_the_commands_work_when_pasted(section, tmp_path):
    output = run_pasted(SECTIONS[section], tmp_path)
    # The check before training found nothing that would spoil it.
    assert not re.search('^error: ', output, re.MULTILINE)
    for made in RESULTS[section]:
        assert (tmp_path / 'work_dirs' / made).is_file()

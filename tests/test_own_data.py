"""docs/own_data.md: the commands of each section, pasted in order, do what the page says."""

import re

import pytest
from pasted import ROOT, run_pasted

PAGE = (ROOT / 'docs/own_data.md').read_text()
SECTIONS = dict(
    re.findall(r'^## (.+?)\n(?:(?!^## ).)*?^```sh\n(.+?)^```$', PAGE, re.MULTILINE | re.DOTALL)
)
RESULTS = {
    "Boxes and masks in COCO's format": ['my_detector/predictions/predictions.json'],
    'Masks in folders, as ADE20K has them': ['my_segmentor/iter_10.pth'],
    'A folder a class': ['my_classifier/epoch_1.pth'],
}
# The other methods that the text below a section's commands names: the config inherited, and what
# stands in the model's place.
OTHER_METHODS = {
    "Boxes and masks in COCO's format": (
        'configs/retinanet_hire_mlp_t.py',
        'model = dict(bbox_head=dict(num_classes=10))',
    ),
    'Masks in folders, as ADE20K has them': (
        'configs/upernet_hire_mlp_t.py',
        'auxiliary_head=dict(num_classes=len(classes))',
    ),
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


@pytest.mark.slow
@pytest.mark.parametrize('section', OTHER_METHODS)
def test_the_other_method_of_a_section_takes_its_config(section, tmp_path):
    inherited, model = OTHER_METHODS[section]
    assert f'`{inherited}`' in PAGE
    assert f'`{model}`' in PAGE
    commands = SECTIONS[section].partition('python tools/train.py')[0]
    commands = re.sub("(?<=^_base_ = ').+(?='$)", inherited, commands, flags=re.MULTILINE)
    if model.startswith('model = '):
        commands = re.sub(r'^model = dict\(\n.+\)$', model, commands, flags=re.MULTILINE)
    else:
        decode_head = 'decode_head=dict(num_classes=len(classes))'
        commands = commands.replace(decode_head, f'{decode_head}, {model}')
    assert model in commands
    output = run_pasted(commands, tmp_path)
    assert not re.search('^error: ', output, re.MULTILINE)

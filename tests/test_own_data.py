"""docs/own_data.md: the commands of each section, pasted in order, do what the page says."""

import json
import re

import cv2
import pytest
from pages import ROOT, blocks_of, shell_code
from pasted import Terminal

from mmvmlp.config.check import ConfigCheck
from mmvmlp.config.loading import load_config
from mmvmlp.datasets.digit_scenes import make_digit_scenes

PAGE = 'docs/own_data.md'
SECTIONS = list(dict.fromkeys(block.section for block in blocks_of(PAGE, 'sh')))
# The other methods that the text below a section's commands names: the config inherited, and what
# stands in the model's place.
OTHER_METHODS = {
    'Boxes and masks in COCO format': (
        'mmvmlp::retinanet_hire_mlp_t.py',
        'model = dict(bbox_head=dict(num_classes=10))',
    ),
    "Segmentation masks in ADE20K's layout": (
        'mmvmlp::upernet_hire_mlp_t.py',
        'auxiliary_head=dict(num_classes=len(classes))',
    ),
}


@pytest.mark.parametrize('section', SECTIONS)
def test_a_config_has_at_most_25_lines(section):
    assert len(config_of(section).splitlines()) <= 25


@pytest.mark.slow
@pytest.mark.parametrize('section', OTHER_METHODS)
def test_the_other_method_of_a_section_takes_its_config(section, tmp_path, run, monkeypatch):
    inherited, model = OTHER_METHODS[section]
    page = (ROOT / PAGE).read_text()
    assert f'`{inherited}`' in page
    assert f'`{model}`' in page
    commands = shell_code(PAGE, section).partition('mmvmlp train')[0]
    commands = re.sub("(?<=^_base_ = ').+(?='$)", inherited, commands, flags=re.MULTILINE)
    if model.startswith('model = '):
        commands = re.sub(r'^model = dict\(\n.+\)$', model, commands, flags=re.MULTILINE)
    else:
        decode_head = 'decode_head=dict(num_classes=len(classes))'
        commands = commands.replace(decode_head, f'{decode_head}, {model}')
    assert model in commands
    output = Terminal(tmp_path, run, monkeypatch).paste(commands)
    assert not re.search('^error: ', output, re.MULTILINE)


def config_of(section):
    commands = shell_code(PAGE, section)
    (config,) = re.findall(r"<<'END'\n(.+?)^END$", commands, re.MULTILINE | re.DOTALL)
    return config


def found(config, folder):
    """Return what the check finds in a config of the page, written into a folder."""
    if not (folder / 'configs').exists():
        (folder / 'configs').symlink_to(ROOT / 'configs')
    file = folder / 'own.py'
    file.write_text(config)
    return [
        (finding.blocks, f'{finding.problem} | {finding.fix}')
        for finding in ConfigCheck(load_config(file)).findings()
    ]


def as_png(folder):
    for image in folder.rglob('*.jpg'):
        cv2.imwrite(str(image.with_suffix('.png')), cv2.imread(str(image)))
        image.unlink()


@pytest.fixture
def objects(tmp_path, monkeypatch):
    """Sixty images as PNG, in folders and files of other names, with categories in a new order."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / 'data/my_objects'
    make_digit_scenes(data, 'coco', 48, 12, 64, progress=False)
    for split in ('train', 'val'):
        as_png(data / f'{split}2017')
        (data / f'{split}2017').rename(data / f'pictures_{split}')
        annotations = data / f'annotations/instances_{split}2017.json'
        contents = json.loads(annotations.read_text().replace('.jpg"', '.png"'))
        contents['categories'].reverse()
        (data / f'{split}.json').write_text(json.dumps(contents))
        annotations.unlink()
    return tmp_path


def test_objects_of_other_names_formats_and_order(objects):
    config = config_of('Boxes and masks in COCO format').replace('(320, 320)', '(64, 64)')
    errors = [text for blocks, text in found(config, objects) if blocks]
    for split in ('train', 'val'):
        prefix = f"data_prefix=dict(img='pictures_{split}/')"
        assert any(text.endswith(prefix) for text in errors), errors
        config = config.replace(f'{split}2017/', f'pictures_{split}/')
    errors = [text for blocks, text in found(config, objects) if blocks]
    assert errors
    assert all('instances_train2017.json' in text for text in errors), errors
    for split in ('train', 'val'):
        config = config.replace(f'annotations/instances_{split}2017.json', f'{split}.json')
    errors = [text for blocks, text in found(config, objects) if blocks]
    reversed_names = str(tuple('9876543210'))
    assert errors
    assert all('order' in text and reversed_names in text for text in errors), errors
    config = config.replace(str(tuple('0123456789')), reversed_names)
    assert not [text for blocks, text in found(config, objects) if blocks]


def test_objects_with_the_inherited_warm_up(objects):
    config = config_of('Boxes and masks in COCO format').replace('(320, 320)', '(64, 64)')
    for split in ('train', 'val'):
        config = config.replace(f'annotations/instances_{split}2017.json', f'{split}.json')
        config = config.replace(f'{split}2017/', f'pictures_{split}/')
    config = config.replace(str(tuple('0123456789')), str(tuple('9876543210')))
    config = config.replace('param_scheduler[0].end = 7\n', '')
    (error,) = (text for blocks, text in found(config, objects) if blocks)
    assert 'warms up for 500 of 288 iterations' in error
    assert 'param_scheduler.0.end=29' in error


def test_regions_of_other_names_and_formats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / 'data/my_regions'
    make_digit_scenes(data, 'ade', 48, 12, 64, progress=False)
    as_png(data / 'images')
    (data / 'images').rename(data / 'photos')
    config = config_of("Segmentation masks in ADE20K's layout")
    config = config.replace('(1024, 256)', '(256, 64)').replace('(256, 256)', '(64, 64)')
    errors = [text for blocks, text in found(config, tmp_path) if blocks]
    assert errors
    assert all('data_prefix' in text and 'photos' in text for text in errors), errors
    config = config.replace("'images/", "'photos/")
    errors = [text for blocks, text in found(config, tmp_path) if blocks]
    assert errors
    assert all("img_suffix='.png'" in text for text in errors), errors
    config = config.replace("img_suffix='.jpg'", "img_suffix='.png'")
    assert not [text for blocks, text in found(config, tmp_path) if blocks]


def test_classes_in_folders_of_other_names_and_formats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / 'data/my_images'
    make_digit_scenes(data, 'imagenet', 48, 12, 64, progress=False)
    as_png(data)
    (data / 'train').rename(data / 'training')
    config = config_of('One folder per class')
    errors = [text for blocks, text in found(config, tmp_path) if blocks]
    assert errors
    assert all('data_prefix' in text and 'training' in text for text in errors), errors
    own = 'train_dataloader = dict(batch_size=10, dataset=dict(data_root=data_root'
    assert own in config
    config = config.replace(own, f"{own}, data_prefix='training'")
    assert not [text for blocks, text in found(config, tmp_path) if blocks]

"""Errors in data end in one message; those of other code keep their traceback."""

import json

import pytest
from mmdet.datasets import CocoDataset
from torch.utils.data import DataLoader

from mmvmlp.cli.errors import one_clear_error

IMAGE = {'id': 1, 'file_name': 'a.png', 'width': 8, 'height': 8}
WITHOUT_BOX = {'id': 1, 'image_id': 1, 'category_id': 1, 'area': 4, 'iscrowd': 0}
CATEGORY = {'id': 1, 'name': 'person'}


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
    ('contents', 'message'),
    [
        ('{"images": [', 'JSONDecodeError'),
        ('[]', 'AssertionError: annotation file format'),
        (
            json.dumps({'images': [IMAGE], 'annotations': [WITHOUT_BOX], 'categories': [CATEGORY]}),
            "KeyError: 'bbox'",
        ),
    ],
)
def test_broken_annotations_are_one_message(tmp_path, capsys, contents, message, workers):
    file = tmp_path / 'annotations.json'
    file.write_text(contents)
    data = CocoDataset(ann_file=str(file), data_prefix={'img': ''}, lazy_init=True)
    loader = DataLoader(LoadedLate(data), num_workers=workers)
    with pytest.raises(SystemExit) as exited, one_clear_error():
        next(iter(loader))
    assert exited.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: the data cannot be read (')
    assert message in line
    assert 'check-config' in line


class LoadedLate:
    """Reads a data set in the process that uses it."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.data.full_init()
        return 0


def test_errors_of_other_code_keep_their_traceback():
    with pytest.raises(KeyError), one_clear_error():
        {}['key']

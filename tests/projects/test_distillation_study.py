"""Study of distillation from end to end, with a few steps on a few images."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from projects.distillation.report import table, write_records, write_report
from projects.distillation.training import METHODS, TrainingOptions, train_all

DOCUMENT = Path('docs/distillation.md')
RECORDS = Path('projects/distillation/data/distillation.json')
TINY = TrainingOptions(teacher_seconds=0.5, student_seconds=0.3, train=20, val=10, batch_size=10)


def test_teacher_is_trained_once_and_students_by_every_method(tmp_path):
    lines = []
    records = train_all(
        tmp_path / 'data', tmp_path / 'work', seeds=(0, 2), options=TINY, report=lines.append
    )
    assert [(record['method'], record['seed']) for record in records] == [
        ('teacher', 0),
        *((method, seed) for seed in (0, 2) for method in METHODS),
    ]
    assert len(lines) == len(records)
    assert all(record['steps'] > 0 for record in records)
    assert {round(10 * record['accuracy'], 6) % 1 for record in records} == {0}
    students = [record for record in records if record['method'] != 'teacher']
    assert {(record['seconds'], record['parameters']) for record in students} == {(0.3, 319914)}
    weights = torch.load(tmp_path / 'work' / 'teacher.pth')['state_dict']
    parameters = [tensor for key, tensor in weights.items() if key.endswith(('weight', 'bias'))]
    assert sum(tensor.numel() for tensor in parameters) == records[0]['parameters']


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'seeds': ()}, 'seeds'),
        ({'seeds': (1, 1)}, 'distinct'),
        ({'options': TrainingOptions(student_seconds=0)}, 'student_seconds=0'),
    ],
)
def test_wrong_arguments_are_named_before_files_are_written(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        train_all(tmp_path / 'data', tmp_path / 'work', **changed)
    assert list(tmp_path.iterdir()) == []


def record(method, seed, accuracy, steps=100):
    shared = {'seconds': 30, 'parameters': 1234567}
    return {'method': method, 'seed': seed, 'accuracy': accuracy, 'steps': steps, **shared}


def test_gains_are_computed_per_seed():
    records = [
        record('teacher', 0, 0.95),
        *(record('plain', seed, 0.7 + 0.1 * seed) for seed in (0, 1)),
        *(record('hard', seed, 0.8, steps=80 + 10 * seed) for seed in (0, 1)),
        *(record('soft', seed, 0.6) for seed in (0, 1)),
    ]
    assert table(records).splitlines()[2:] == [
        '| teacher | 1,234,567 | 1 | 30 | 100 | 95.0 (95.0 to 95.0) |  |',
        '| student, labels only | 1,234,567 | 2 | 30 | 100 | 75.0 (70.0 to 80.0) |  |',
        '| student, hard distillation | 1,234,567 | 2 | 30 | 85 | 80.0 (80.0 to 80.0) | '
        '+5.0 (+0.0 to +10.0) |',
        '| student, soft distillation | 1,234,567 | 2 | 30 | 100 | 60.0 (60.0 to 60.0) | '
        '−15.0 (−20.0 to −10.0) |',
    ]


def test_document_matches_the_records(tmp_path):
    copy = tmp_path / 'distillation.md'
    shutil.copy(DOCUMENT, copy)
    write_report(RECORDS, copy)
    assert copy.read_text() == DOCUMENT.read_text()
    # As the command writes them.
    write_records(tmp_path / 'records.json', json.loads(RECORDS.read_text()))
    assert (tmp_path / 'records.json').read_text() == RECORDS.read_text()

"""Studies of detectors at equal time, with a few steps of one of them."""

import json
from pathlib import Path

import pytest

from mmvmlp.backbones.base import registered_families
from mmvmlp.config.loading import load_config
from projects.families.__main__ import table
from projects.families.training import (
    head_configs,
    learning_rate_scale,
    train_detectors,
)

ROOT = Path(__file__).resolve().parents[2]
RECORDS, HEADS = (
    json.loads((ROOT / f'projects/families/data/{study}.json').read_text())
    for study in ('families', 'heads')
)


@pytest.mark.slow
def test_a_training_ends_after_its_time_and_is_not_repeated(tmp_path, digits_folder):
    lines = []
    for _ in range(2):
        (record,) = train_detectors(
            ROOT,
            [ROOT / 'configs/dino_hire_mlp_nano_digits.py'],
            digits_folder,
            tmp_path,
            seconds=2,
            report=lines.append,
        )
    assert record['network'] == 'Hire-MLP'
    assert 0 < record['steps'] < 200
    assert 0 <= record['box_ap'] <= 1
    assert record['mask_ap'] is None
    assert lines[0] == lines[1] and len(list(tmp_path.glob('*/*/*.log'))) == 1


def test_learning_rate_rises_and_falls():
    rates = [learning_rate_scale(spent / 100) for spent in range(101)]
    assert 0 < rates[0] < 0.1
    assert max(rates) == rates[5] == 1
    assert rates[-1] == pytest.approx(0)
    assert sorted(rates[5:], reverse=True) == rates[5:]


def test_the_page_has_families_at_equal_time():
    assert table(RECORDS) in (ROOT / 'docs/families.md').read_text(), (
        'run python -m projects.families'
    )
    networks = [record['network'] for record in RECORDS]
    assert len(set(networks)) == len(networks) >= 12
    assert set(networks) <= {family.title for family in registered_families()}
    assert len({record['seconds'] for record in RECORDS}) == 1


def test_the_page_has_heads_at_equal_time():
    assert table(HEADS) in (ROOT / 'docs/families.md').read_text(), (
        'run python -m projects.families heads'
    )
    files = head_configs(ROOT)
    assert {record['config'] for record in HEADS} == {file.stem for file in files}
    assert len({record['seconds'] for record in HEADS}) == 1
    first, *others = (load_config(file).model.backbone for file in files)
    assert all(dict(first, out_indices=None) == dict(other, out_indices=None) for other in others)


@pytest.mark.parametrize('wrong', [{'seconds': 0}, {'seconds': 1, 'jobs': 0}])
def test_wrong_numbers_are_named_before_anything_is_made(tmp_path, wrong):
    with pytest.raises(ValueError, match='=0: a number above 0'):
        train_detectors(ROOT, [], tmp_path / 'digits', tmp_path / 'work', **wrong)
    assert list(tmp_path.iterdir()) == []

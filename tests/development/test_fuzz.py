"""Random inputs are accepted or refused with one error; the record says so for many more."""

import json
from pathlib import Path

import pytest

from development.fuzz.command import DOCUMENT, RECORD, SECTION, fuzzing_section
from development.fuzz.targets import COUNTS
from development.fuzz.trials import accepted, limits, try_inputs
from development.generated_document import with_sections

SHARE = 40
"""Inputs of the command for one of the tests."""


@pytest.mark.slow
@pytest.mark.parametrize('kind', COUNTS, ids=lambda kind: kind.__name__)
def test_inputs_are_accepted_or_refused_with_one_error(kind, tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', [])
    count = COUNTS[kind] // SHARE
    outcomes = try_inputs(kind(tmp_path), count, stop=True)
    assert outcomes.accepted > 0
    assert outcomes.refused > 0


def test_other_errors_are_unexpected(capsys):
    def fail(error):
        raise error

    with pytest.raises(KeyError):
        accepted(lambda: fail(KeyError('x')))
    with pytest.raises(RuntimeError):
        accepted(lambda: fail(RuntimeError('x')))
    with pytest.raises(AssertionError, match='exit status 2'):
        accepted(lambda: 2)
    with pytest.raises(AssertionError, match='no error is named'):
        accepted(lambda: 1)
    with pytest.raises(MemoryError), limits():
        bytearray(2**33)


def test_the_table_is_that_of_the_record_and_nothing_was_unexpected():
    record = json.loads(Path(RECORD).read_text())
    document = Path(DOCUMENT)
    assert with_sections(document, {SECTION: fuzzing_section(record)}) == document.read_text()
    outcomes = record['outcomes']
    assert [outcome['inputs'] for outcome in outcomes] == [kind.name for kind in COUNTS]
    assert sum(outcome['tried'] for outcome in outcomes) >= 5000
    for outcome in outcomes:
        assert outcome['unexpected'] == 0
        assert outcome['accepted'] > 0
        assert outcome['refused'] > 0

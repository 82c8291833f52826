"""The table of killed trainings agrees with its record, and the record with what is promised."""

import json
from pathlib import Path

from development.generated_document import with_sections
from development.kill_trainings import CONFIGS, DOCUMENT, RECORD, SECTION, killed_section


def test_the_table_is_that_of_the_record_and_nothing_was_lost():
    record = json.loads(Path(RECORD).read_text())
    document = Path(DOCUMENT)
    assert with_sections(document, {SECTION: killed_section(record)}) == document.read_text()
    outcomes = record['outcomes']
    assert [outcome['trained'] for outcome in outcomes] == list(CONFIGS)
    assert sum(outcome['kills'] for outcome in outcomes) >= 200
    for outcome in outcomes:
        assert outcome['failed_resumes'] == 0
        assert outcome['most_lost'] <= 1
        assert outcome['equal'] == outcome['finished'] > 0

"""The table of long runs agrees with its record, and memory was flat."""

import json
from pathlib import Path

from development.generated_document import with_sections
from development.soak import (
    DOCUMENT,
    PREDICTIONS,
    RECORD,
    SECTION,
    STEPS,
    growth,
    outcome,
    soak_section,
)


def test_the_table_is_that_of_the_record_and_memory_was_flat():
    record = json.loads(Path(RECORD).read_text())
    document = Path(DOCUMENT)
    assert with_sections(document, {SECTION: soak_section(record)}) == document.read_text()
    assert [each['count'] for each in record['outcomes']] == [PREDICTIONS, STEPS]
    assert all(growth(each) < 0.05 for each in record['outcomes'])


def test_memory_that_grows_after_the_warm_up_is_found():
    assert growth(outcome('steps', [100] * 200 + [110] * 100)) > 0.05
    assert growth(outcome('steps', [100 + i for i in range(200)] + [299] * 100)) < 0.05

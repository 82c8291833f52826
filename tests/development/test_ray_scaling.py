"""The table of prediction on Ray agrees with its record, and the record with what is promised."""

import json
from pathlib import Path

from development.generated_document import with_sections
from development.ray_scaling import DOCUMENT, RECORD, SECTION, scaling_section


def test_the_table_is_that_of_the_record_and_two_workers_are_faster():
    record = json.loads(Path(RECORD).read_text())
    document = Path(DOCUMENT)
    assert with_sections(document, {SECTION: scaling_section(record)}) == document.read_text()
    one, two = record['images_per_second']
    assert two >= 1.6 * one
    assert record['images'] >= 100

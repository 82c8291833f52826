"""The table of pruned detectors agrees with its record, and that with what the page states."""

import json
from pathlib import Path

from development.generated_document import with_sections
from development.pruning_table import DOCUMENT, KINDS, RECORD, SECTION, SHARES, pruning_section


def test_the_table_is_that_of_the_record_and_ap_falls_with_the_share():
    record = json.loads(Path(RECORD).read_text())
    document = Path(DOCUMENT)
    assert with_sections(document, {SECTION: pruning_section(record)}) == document.read_text()
    whole, *pruned = record['measured']
    assert (whole['kind'], whole['share']) == ('', 0)
    for kind in KINDS:
        aps = [each['bbox'] for each in pruned if each['kind'] == kind]
        assert len(aps) == len(SHARES)
        assert [whole['bbox'], *aps] == sorted([whole['bbox'], *aps], reverse=True)

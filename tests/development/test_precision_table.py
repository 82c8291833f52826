"""The table of errors in lower precision agrees with its record, and the record with the bounds."""

import json
from pathlib import Path

from development.generated_document import with_sections
from development.precision_table import (
    COMMAND,
    DOCUMENT,
    RECORD,
    SECTION,
    TRAINED,
    precision_section,
)
from mmvmlp.analysis.precision import LARGEST_ERRORS, PRECISIONS
from mmvmlp.build import list_backbones


def test_the_table_is_that_of_the_record_and_within_the_stated_bounds():
    record = json.loads(Path(RECORD).read_text())
    document = Path(DOCUMENT)
    assert with_sections(document, {SECTION: precision_section(record)}) == document.read_text(), (
        f'run {COMMAND}'
    )
    for result in record['results']:
        bound = LARGEST_ERRORS[result['dtype']]
        assert result['maps'] < bound and result['features'] < bound, result


def test_every_network_is_measured_in_every_precision_and_form():
    results = json.loads(Path(RECORD).read_text())['results']
    measured = {
        (each['name'], each['fused'], each['dtype'], each['in_weights']) for each in results
    }
    assert measured == {
        (name, fused, precision.dtype, precision.in_weights)
        for name in (*list_backbones(), TRAINED)
        for fused in (False, True)
        for precision in PRECISIONS
    }

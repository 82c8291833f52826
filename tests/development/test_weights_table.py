"""The tables of docs/weights.md."""

from pathlib import Path

from development.weights_table import weights_tables
from mmvmlp.checkpoints import list_weights, published_weights


def test_page_lists_every_name_and_address():
    tables = weights_tables()
    page = Path('docs/weights.md').read_text()
    for table in tables.values():
        assert table in page, 'run python -m development.weights_table'
    rows = published_weights().values()
    of_files = tables['weights'] + tables['models']
    assert all(f'| `{name}` |' in of_files for name in list_weights())
    assert all(f']({row.address})' in of_files for row in rows if row.address)
    assert all(f'| `{row.name}` |' in tables['unreleased'] for row in rows if not row.format)
    assert '| `hire_mlp_small.in1k` | 82.1 | ImageNet-1k | MIT badge' in page
    assert '| `resmlp_s12.distilled_in1k` | 77.8 | ImageNet-1k, distilled | Apache-2.0 |' in page

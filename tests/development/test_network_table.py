"""The README's table of networks."""

from pathlib import Path

from development.network_table import network_table
from mmvmlp.backbones.base import registered_families


def test_every_family_has_a_row_with_its_networks_and_their_sizes():
    rows = network_table().splitlines()[2:]
    assert network_table() in Path('docs/networks.md').read_text(), (
        'run python -m development.network_table'
    )
    for row, family in zip(rows, registered_families(), strict=True):
        assert row.startswith(f'| [{family.title}]({family.paper}) | `{family.name_prefix}_')
        assert row.count('`: ') == len(family.variants)
    table = '\n'.join(rows)
    assert '`hire_mlp_tiny`: 18,041,672<br>`hire_mlp_small`: 33,113,848<br>' in table
    for end in (
        '`mlp_mixer_h14`: 432,350,952 | 14 or 16 or 32 | `resolution` | `mlp_mixer_b16` |',
        '`s2_mlp_deep`: 53,917,288 | 16 | by design | `s2_mlp_deep`<br>`s2_mlp_wide` |',
        '| 4-32 | `resolution` | `smlpnet_b`<br>`smlpnet_s`<br>`smlpnet_t` |',
    ):
        assert end in table

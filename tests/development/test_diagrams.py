"""The diagrams of docs/concepts show what the layers do, and what the pages say is measured."""

from pathlib import Path

import pytest
import torch

from development.diagrams import image_sizes, pyramids, token_mixing
from development.diagrams.__main__ import DOCUMENT, FOLDER, SECTION
from development.diagrams.comparison import comparison
from development.diagrams.drawing import SCHEMES
from development.diagrams.token_mixing import BlockPanel, LayerPanel, in_reach, measured, rows_of
from development.generated_document import with_sections
from mmvmlp.backbones import ASMLP, ConvMLP, CycleMLP
from mmvmlp.backbones.base import registered_families

FAMILIES = registered_families()
PADDED = (ConvMLP, CycleMLP, ASMLP)
OUTDATED = 'run python -m development.diagrams'
BACKGROUNDS = {'light': '#ffffff', 'dark': '#131416'}


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.name_prefix)
def test_the_diagram_of_a_family_shows_what_its_layers_read_now(family):
    file = Path(FOLDER, f'mixing_{family.name_prefix}.svg')
    assert file.read_bytes() == token_mixing.diagram(family), OUTDATED
    page = Path(DOCUMENT).read_text()
    assert f'### {family.title}\n' in page
    assert f'](../images/concepts/{file.name})' in page


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.name_prefix)
def test_branches_of_a_block_read_what_the_block_does(family):
    for row in rows_of(family):
        layers = [panel for panel in row if isinstance(panel, LayerPanel)]
        if layers and isinstance(row[-1], BlockPanel) and '→' not in [each.sign for each in layers]:
            together = {
                position
                for layer in layers
                for group in measured(layer).groups
                for position in group.positions
            }
            assert together | {token_mixing.MIDDLE} == set(in_reach(row[-1]))


def test_the_table_is_measured():
    assert with_sections(Path(DOCUMENT), {SECTION: comparison()}) == Path(DOCUMENT).read_text(), (
        OUTDATED
    )


def test_the_other_diagrams_are_what_the_program_draws():
    for name, drawn in {**image_sizes.diagrams(), **pyramids.diagrams()}.items():
        assert Path(FOLDER, name).read_bytes() == drawn, OUTDATED


@pytest.mark.parametrize('resolution', ['resize', 'window'])
def test_the_steps_of_a_policy_end_at_the_output_of_the_layer(resolution):
    first, *_, last = image_sizes.steps_of_policy(resolution)
    mixed = image_sizes.mixing(resolution)(first.values[None, None])[0, 0]
    torch.testing.assert_close(last.values, first.values + mixed)


def test_padding_changes_what_the_page_says():
    changes = {family: image_sizes.changes_by_padding(family) for family in PADDED}
    assert (changes[ConvMLP][:, :10] == 0).all()
    assert (changes[ConvMLP][:, -1] > 0).all()
    assert (changes[CycleMLP] > 0).all()
    far, near = changes[ASMLP][:, 0].mean(), changes[ASMLP][:, -1].mean()
    assert far > 0.5 * near
    assert changes[ASMLP].mean() > 5 * changes[CycleMLP].mean()


def test_text_has_contrast_in_both_schemes_and_files_are_small():
    for scheme, background in BACKGROUNDS.items():
        for ink in list(SCHEMES[scheme].values())[:2]:
            assert contrast(ink, background) >= 4.5
    files = sorted(Path(FOLDER).iterdir())
    assert sum(file.stat().st_size for file in files) < 1_500_000
    pages = ' '.join(page.read_text() for page in Path('docs/concepts').glob('*.md'))
    assert all(file.name in pages for file in files)


def contrast(first, second):
    lighter, darker = sorted(map(luminance, (first, second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

"""Pages and files of the repository agree with each other and with what is there."""

import re
from pathlib import Path

import pytest
from mmengine import fileio

import mmvmlp

PAGES = sorted([*Path().glob('*.md'), *Path('docs').rglob('*.md'), *Path('.agents').rglob('*.md')])
LINK = re.compile(r'\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)')


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r'^#+ (.+)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f'{target}#{anchor}'


def test_the_readme_names_every_room_and_only_those():
    layout = Path('README.md').read_text().partition('## Repository layout')[2]
    named = {name for name in re.findall(r'`((?:mmvmlp/)?[\w.]+/?)`', layout) if '/' in name}
    packages = {f'{path.parent}/' for path in Path('mmvmlp').glob('*/__init__.py')}
    assert {name for name in named if name.endswith('/') and '/' in name[:-1]} == packages
    assert all(Path(name).exists() for name in named)


def test_versions_agree():
    citation = fileio.load('CITATION.cff', file_format='yaml')
    assert citation['version'] == mmvmlp.__version__
    hooks = fileio.load('.pre-commit-config.yaml')['repos']
    (ruff,) = (repo['rev'] for repo in hooks if 'ruff' in repo['repo'])
    pins = ''.join(path.read_text() for path in Path('requirements').iterdir())
    assert re.findall(r'^ruff==([\d.]+)', pins, re.MULTILINE) == [ruff.removeprefix('v')]

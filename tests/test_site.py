"""`make docs`: the site builds without warnings, documents what there is, and loads nothing."""

import re
import subprocess
import sys

import pytest
from pasted import ROOT
from sphinx.util.inventory import InventoryFile

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.cli import COMMANDS


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp('site')
    (command,) = re.findall(
        r'-m (sphinx -EW .+) build/docs$', (ROOT / 'Makefile').read_text(), re.M
    )
    result = subprocess.run(
        [sys.executable, '-m', *command.split(), folder],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return folder


@pytest.mark.slow
def test_the_reference_has_every_public_name_and_every_command(site):
    with (site / 'objects.inv').open('rb') as file:
        inventory = InventoryFile.load(file, '', lambda base, page: page)
    documented = {name for kind in inventory if kind.startswith('py:') for name in inventory[kind]}
    missing = []
    for name in mmvmlp.__all__:
        named = getattr(mmvmlp, name)
        paths = {f'mmvmlp.{name}', f'{getattr(named, "__module__", "")}.{name}'}
        if name != '__version__' and not paths & documented:
            missing.append(name)
    assert not missing
    for family in registered_families():
        assert f'{family.__module__}.{family.__name__}' in documented
    commands = (site / 'api/commands.html').read_text()
    assert set(re.findall(r'usage: mmvmlp ([\w-]+)', commands)) == set(COMMANDS)


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    loading = re.compile(
        r'<(?:script|img|iframe|source)[^>]+src="(https?:)?//|@import|url\(.?https?:'
    )
    linked = re.compile(r'<link[^>]+rel="(?:stylesheet|preload|preconnect|icon)"[^>]+href="https?:')
    for page in [*site.rglob('*.html'), *site.rglob('*.css')]:
        text = page.read_text()
        assert not loading.search(text) and not linked.search(text), page

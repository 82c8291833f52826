"""Configuration of Sphinx: `make docs` builds the site from these pages and the docstrings."""

import contextlib
import io
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import mmvmlp

DOCS = Path(__file__).parent
REPOSITORY = 'https://github.com/mmvmlp/mmvmlp'

project = 'mmvmlp'
author = 'the authors of mmvmlp'
copyright = '2026, the authors of mmvmlp'
version = release = mmvmlp.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'sphinx_design',
]
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 4

autodoc_member_order = 'bysource'
autodoc_class_signature = 'mixed'
autodoc_typehints_format = 'short'
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'mmvmlp {version}'
html_static_path = ['static']
html_css_files = ['site.css']
html_show_sphinx = False
html_theme_options = {
    'source_repository': REPOSITORY,
    'source_branch': 'main',
    'source_directory': 'docs/',
}


class CommandHelp(SphinxDirective):
    """Shows the help of a command, as the command prints it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        command = self.arguments[0]
        module = import_module(f'mmvmlp.cli.{command.replace("-", "_")}')
        printed = io.StringIO()
        with (
            patch.object(sys, 'argv', [f'mmvmlp {command}', '--help']),
            patch.dict(os.environ, {'COLUMNS': '88'}),
            contextlib.redirect_stdout(printed),
            contextlib.suppress(SystemExit),
        ):
            module.main()
        text = printed.getvalue()
        return [nodes.literal_block(text, text, language='text')]


def link_to_the_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Point links that leave the pages of the site to the repository."""
    folder = (DOCS / page).parent

    def absolute(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / match[1]))
        if target.is_relative_to(DOCS):
            return match[0]
        kind = 'tree' if target.is_dir() else 'blob'
        return f']({REPOSITORY}/{kind}/main/{target.relative_to(DOCS.parent)}{match[2] or ""})'

    source[0] = re.sub(r'\]\((\.\./[^)#\s]*)(#[^)\s]*)?\)', absolute, source[0])


def setup(app: Sphinx) -> None:
    """Add what these pages need to Sphinx."""
    app.add_directive('command-help', CommandHelp)
    app.connect('source-read', link_to_the_repository)

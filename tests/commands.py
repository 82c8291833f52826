"""Files of ``tools/``, called as a shell would, in this process."""

import runpy

import pytest


def exit_status(monkeypatch: pytest.MonkeyPatch, file: str, *arguments: object) -> object:
    """Run a file with arguments, and return its exit status; pytest captures what it prints."""
    monkeypatch.setattr('sys.argv', [file, *map(str, arguments)])
    try:
        runpy.run_path(file, run_name='__main__')
    except SystemExit as ended:
        return ended.code or 0
    return 0

"""Files that are whole or not there, and whether they could be written."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmvmlp.output_files import (
    check_file_can_be_written,
    check_folder_can_be_written,
    write_atomically,
)


def test_permissions_are_those_of_any_other_file(tmp_path, monkeypatch):
    # One mask for all threads of a process: changed by one, another's files would be too open.
    monkeypatch.setattr(os, 'umask', None)
    names = [tmp_path / str(number) for number in range(20)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: write_atomically(name, name.name.encode()), names))
    (tmp_path / 'usual').touch()
    usual = stat.S_IMODE((tmp_path / 'usual').stat().st_mode)
    assert {stat.S_IMODE(name.stat().st_mode) for name in names} == {usual}
    assert [name.read_text() for name in names] == [name.name for name in names]


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path, monkeypatch):
    file = tmp_path / 'file.json'
    write_atomically(file, b'old')
    real = type(file).open

    def open_full(path, *arguments):
        real(path, *arguments).close()
        return open('/dev/full', 'wb')

    with monkeypatch.context() as patch:
        patch.setattr(type(file), 'open', open_full)
        with pytest.raises(OSError, match=r"file\.json' cannot be written: No space left"):
            write_atomically(file, b'new')
    assert file.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file.json']
    write_atomically(file, b'new')
    assert file.read_bytes() == b'new'


def test_a_name_of_the_greatest_length_is_written(tmp_path):
    file = tmp_path / ('n' * 255)
    check_file_can_be_written(file, '--out')
    write_atomically(file, b'')
    assert file.is_file()


@pytest.mark.parametrize(
    ('check', 'name', 'reason'),
    [
        (check_folder_can_be_written, 'file', 'is not a folder'),
        (check_folder_can_be_written, 'file/below', "file' is not a folder"),
        (check_folder_can_be_written, '/proc/mmvmlp/below', "cannot be written in '/proc'"),
        (check_folder_can_be_written, 'n' * 300, 'name too long'),
        (check_file_can_be_written, 'folder', 'is not a file'),
        (check_file_can_be_written, 'file/below', "file' is not a folder"),
        (check_file_can_be_written, '/proc/mmvmlp', "cannot be written in '/proc'"),
        (check_file_can_be_written, '/dev/null', 'is not a file'),
    ],
)
def test_what_cannot_be_written_is_named_and_nothing_is_left(tmp_path, check, name, reason):
    (tmp_path / 'file').touch()
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OSError, match=reason) as error:
        check(tmp_path / name, '--option')
    assert str(error.value).startswith(f"--option '{tmp_path / name}'")
    for other in ('folder/new/deeper', 'other/new'):
        check(tmp_path / other, '--option')
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder']
    assert not os.listdir(tmp_path / 'folder')


def test_an_empty_name_is_no_folder():
    with pytest.raises(ValueError, match="--work-dir ''"):
        check_folder_can_be_written('', '--work-dir')

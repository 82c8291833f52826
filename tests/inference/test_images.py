"""Files, folders and patterns name images."""

from pathlib import Path

import pytest

from mmvmlp.inference.images import find_images


def write_images(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_files_folders_and_patterns(tmp_path, monkeypatch):
    a, b, c = write_images(tmp_path, 'b.png', 'a.JPG', 'deep/c.jpg')
    (tmp_path / 'notes.txt').write_text('')
    assert find_images([str(tmp_path)]) == [b, a]
    assert find_images([f'{tmp_path}/**/*']) == [b, a, c]
    assert find_images([str(a), str(tmp_path), f'{tmp_path}/*.png']) == [a, b]
    monkeypatch.chdir(tmp_path)
    assert find_images(['**/c.*', '**']) == [Path('deep/c.jpg'), Path('a.JPG'), Path('b.png')]


def test_a_file_name_that_looks_like_a_pattern_is_a_file(tmp_path):
    (odd,) = write_images(tmp_path, 'scene[1].png')
    assert find_images([str(odd)]) == [odd]


def test_a_link_that_leads_to_itself_is_named(tmp_path):
    (image,) = write_images(tmp_path, 'a.png')
    loop = tmp_path / 'loop.png'
    loop.symlink_to(loop)
    for name in 'bcd':
        (tmp_path / name).symlink_to(tmp_path)
    assert find_images([f'{tmp_path}/**/*.png']) == [image, loop]
    with pytest.raises(
        FileNotFoundError, match=r"loop\.png': this link leads nowhere, or to itself"
    ):
        find_images([str(loop)])

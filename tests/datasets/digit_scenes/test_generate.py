"""Generation is reproducible, and never leaves an incomplete data set."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mmvmlp.datasets.digit_scenes import make_digit_scenes

TOOL = Path(__file__).parents[3] / 'tools' / 'make_digits.py'


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob('*')
        if path.is_file()
    }


def make(folder: Path, **options: Any) -> Path:
    return make_digit_scenes(
        folder, **{'train': 4, 'val': 3, 'size': 64, 'progress': False, **options}
    )


def age(folder: Path) -> None:
    """Make a folder look as if an earlier generator version with fewer options had made it."""
    manifest = folder / 'digit_scenes.json'
    contents = json.loads(manifest.read_text())
    del contents['digit_height']
    manifest.write_text(json.dumps({**contents, 'version': 1}))
    (folder / 'ATTRIBUTION.txt').write_text('old')


def run_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize('layout', ['coco', 'ade', 'imagenet'])
def test_files_depend_on_seed_but_not_on_number_of_images(tmp_path: Path, layout: str) -> None:
    first = hashes(make(tmp_path / 'first', layout=layout))
    assert hashes(make(tmp_path / 'second', layout=layout)) == first
    assert hashes(make(tmp_path / 'other', layout=layout, seed=1)) != first
    bigger = hashes(make(tmp_path / 'bigger', layout=layout, train=6, val=5))
    images = {name for name in first if name.endswith(('.jpg', '.png'))}
    assert len(images) == (14 if layout == 'ade' else 7)
    assert {name: bigger[name] for name in images} == {name: first[name] for name in images}


def test_same_options_are_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / 'digits')
    times = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
    assert make(folder) == folder
    assert 'up to date' in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('*')} == times


def test_other_options_require_overwrite(tmp_path: Path) -> None:
    folder = make(tmp_path / 'digits')
    before = hashes(folder)
    with pytest.raises(FileExistsError, match='train 4 instead of 5'):
        make(folder, train=5)
    assert hashes(folder) == before
    make(folder, train=5, overwrite=True)
    assert len(list((folder / 'train2017').iterdir())) == 5
    assert [path.name for path in tmp_path.iterdir()] == ['digits']


def test_other_version_is_replaced_only_with_renew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / 'digits')
    current = hashes(folder)
    age(folder)
    old = hashes(folder)
    with pytest.raises(FileExistsError, match='version 1 instead of'):
        make(folder)
    assert hashes(folder) == old
    make(folder, renew=True)
    assert 'made by version 1' in capsys.readouterr().out
    assert hashes(folder) == current
    assert [path.name for path in tmp_path.iterdir()] == ['digits']
    make(folder, renew=True)
    assert 'up to date' in capsys.readouterr().out


@pytest.mark.parametrize('aged', [False, True])
def test_renew_keeps_scenes_with_other_options(tmp_path: Path, aged: bool) -> None:
    folder = make(tmp_path / 'digits')
    if aged:
        age(folder)
    before = hashes(folder)
    with pytest.raises(FileExistsError, match='train 4 instead of 5'):
        make(folder, train=5, renew=True)
    assert hashes(folder) == before


def test_error_names_the_command_to_overwrite(tmp_path: Path) -> None:
    folder = make(tmp_path / 'my digits')
    request = {
        'train': 2,
        'size': (64, 80),
        'seed': 5,
        'digits_per_scene': (1, 2),
        'digit_height': (0.3, 0.35),
    }
    with pytest.raises(FileExistsError) as refusal:
        make(folder, **request)
    command = shlex.split(str(refusal.value).splitlines()[-1])
    subprocess.run(command, check=True, cwd=TOOL.parents[1], stderr=subprocess.DEVNULL)
    assert hashes(folder) == hashes(make(tmp_path / 'asked', **request))


@pytest.mark.parametrize('text', ['', '{"version": 5', '[1]', 'null', '\udcff'])
def test_a_damaged_record_is_replaced_when_asked(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path / 'digits')
    whole = hashes(folder)
    (folder / 'digit_scenes.json').write_bytes(text.encode(errors='surrogateescape'))
    for renew in (False, True):
        with pytest.raises(FileExistsError, match=r'json is damaged.*\n.*--overwrite$'):
            make(folder, renew=renew)
    make(folder, overwrite=True)
    assert hashes(folder) == whole


@pytest.mark.parametrize(
    ('layout', 'part', 'named'),
    [
        ('coco', 'train2017', r'train2017/\*\.jpg: 0 of 4'),
        ('coco', 'val2017/000000500001.jpg', r'val2017/\*\.jpg: 2 of 3'),
        (
            'coco',
            'annotations/instances_val2017.json',
            r'annotations/instances_val2017\.json: 0 of 1',
        ),
        ('ade', 'annotations/training', r'annotations/training/\*\.png: 0 of 4'),
        ('imagenet', 'val/0', r'val/\*/\*\.jpg: 2 of 3'),
    ],
)
def test_missing_files_are_named_and_made_anew(
    tmp_path: Path, layout: str, part: str, named: str
) -> None:
    folder = make(tmp_path / 'digits', layout=layout)
    whole = hashes(folder)
    lost = folder / part
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(FileExistsError, match=rf'files are missing \({named}\)'):
        make(folder, layout=layout)
    make(folder, layout=layout, renew=True)
    assert hashes(folder) == whole


def test_foreign_folder_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / 'thesis'
    folder.mkdir()
    (folder / 'chapter1.txt').write_text('dear')
    with pytest.raises(FileExistsError, match='not made by this generator'):
        make(folder, overwrite=True)
    assert (folder / 'chapter1.txt').read_text() == 'dear'
    file = tmp_path / 'file'
    file.write_text('dear')
    with pytest.raises(FileExistsError):
        make(file, overwrite=True)


def test_empty_folder_and_link_are_filled(tmp_path: Path) -> None:
    disk = tmp_path / 'disk'
    (disk / 'digits').mkdir(parents=True)
    link = tmp_path / 'digits'
    link.symlink_to(disk / 'digits')
    make(link)
    assert link.is_symlink()
    assert (disk / 'digits' / 'digit_scenes.json').is_file()


def test_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmvmlp.datasets.digit_scenes.layouts._write_image', full_disk)
    with pytest.raises(OSError, match='No space'):
        make(tmp_path / 'digits')
    assert not list(tmp_path.iterdir())


def test_failed_overwrite_keeps_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / 'digits')
    before = hashes(folder)

    def full_disk(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmvmlp.datasets.digit_scenes.layouts._write_image', full_disk)
    with pytest.raises(OSError, match='No space'):
        make(folder, seed=1, overwrite=True)
    assert hashes(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ['digits']


def test_killed_run_leaves_no_complete_folder(tmp_path: Path) -> None:
    folder = tmp_path / 'digits'
    process = subprocess.Popen(
        [sys.executable, str(TOOL), str(folder), '--train', '100000'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.rglob('*.jpg'))) < 5:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not folder.exists()
    assert not list(tmp_path.rglob('digit_scenes.json'))
    make(folder)
    assert [path.name for path in tmp_path.iterdir()] == ['digits']
    assert hashes(folder) == hashes(make(tmp_path / 'undisturbed'))


def test_simultaneous_runs_do_not_collide(tmp_path: Path) -> None:
    folder = tmp_path / 'digits'
    errors: list[BaseException] = []

    def run() -> None:
        try:
            make(folder)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [path.name for path in tmp_path.iterdir()] == ['digits']


@pytest.mark.parametrize(
    ('name', 'value', 'accepted'),
    [
        ('layout', 'voc', "'coco', 'ade', 'imagenet'"),
        ('train', 0, 'from 1'),
        ('val', -3, 'from 1'),
        ('train', 2.5, 'an integer'),
        ('size', 10, 'from 64 to 2048'),
        ('size', (64, 4096), 'from 64 to 2048'),
        ('size', (64, 64, 3), 'one or two'),
        ('seed', -1, 'from 0'),
        ('categories', 'coco', "'digits', 'coco80'"),
        ('digits_per_scene', (0, 3), 'from 1'),
        ('digits_per_scene', (5, 3), 'its minimum first'),
        ('digit_height', (0.5, 0.4), 'minimum first'),
        ('digit_height', (0.0, 0.4), 'from 0.1 to 0.95'),
        ('digit_height', (0.5, 1.0), 'from 0.1 to 0.95'),
        ('digit_height', 0.5, 'two fractions'),
    ],
)
def test_bad_value_is_named(tmp_path: Path, name: str, value: Any, accepted: str) -> None:
    with pytest.raises(ValueError, match=re.escape(accepted)) as caught:
        make(tmp_path / 'digits', **{name: value})
    assert name in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_category_names_require_the_coco_layout(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='categories'):
        make(tmp_path / 'digits', layout='ade', categories='coco80')


def test_tool_reports_a_bad_value_in_one_line(tmp_path: Path) -> None:
    result = run_tool(tmp_path / 'digits', '--size', 10)
    assert result.returncode != 0
    assert result.stderr.splitlines() == ['error: size must be an integer from 64 to 2048, got 10']


def test_tool_passes_its_options_on(tmp_path: Path) -> None:
    options = ['--train', 2, '--val', 1, '--size', 64, 80, '--seed', 3]
    options += ['--digits-per-scene', 1, 2, '--digit-height', 0.5, 0.6, '--categories', 'coco80']
    result = run_tool(tmp_path / 'tool', *options)
    assert result.returncode == 0, result.stderr
    made = make(
        tmp_path / 'call',
        train=2,
        val=1,
        size=(64, 80),
        seed=3,
        digits_per_scene=(1, 2),
        digit_height=(0.5, 0.6),
        categories='coco80',
    )
    assert hashes(tmp_path / 'tool') == hashes(made)


def test_import_needs_no_torch() -> None:
    # A stub package, since importing mmvmlp itself may import torch.
    code = (
        'import sys, types; package = types.ModuleType("mmvmlp"); '
        f'package.__path__ = [{str(TOOL.parents[1] / "mmvmlp")!r}]; '
        'sys.modules["mmvmlp"] = package; import mmvmlp.datasets.digit_scenes; '
        'assert not {"torch", "mmdet", "mmcv", "mmengine"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.slow
def test_default_size_takes_less_than_thirty_seconds(tmp_path: Path) -> None:
    # CPU time, and the better of two runs, since other load affects both.
    def seconds_used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for attempt in ('first', 'second'):
        before = seconds_used()
        result = run_tool(tmp_path / attempt)
        assert result.returncode == 0, result.stderr
        times.append(seconds_used() - before)
        if times[-1] < 30:
            break
    assert min(times) < 30, times

"""What a terminal shows of a run, and that its log file has the rest."""

import warnings
from types import SimpleNamespace

import pytest
from commands import forget_earlier_runs
from mmengine.logging import MMLogger, print_log

from mmvmlp.cli import short_log as module
from mmvmlp.cli.short_log import short_log


def as_from(name, statement, **variables):
    """Run a statement as code of a module."""
    exec(compile(statement, f'{name}.py', 'exec'), {'__name__': name, **variables})


@pytest.fixture
def log_of(tmp_path, capsys):
    """Return what a function shows on the terminal, and writes into the log file."""

    def run(before, after):
        forget_earlier_runs()
        file = tmp_path / 'run.log'
        with short_log():
            before()
            logger = MMLogger.get_instance('run', log_file=str(file))
            after(logger)
        return capsys.readouterr().out, file.read_text()

    yield run
    forget_earlier_runs()


def test_messages_of_dependencies_are_in_the_file_only(log_of):
    def before():
        print_log('from the command', logger='current')
        as_from('mmdet.datasets', "log('without a logger')", log=print_log)

    def after(logger):
        as_from('mmengine.runner.runner', "log.info('whole config')", log=logger)
        as_from('mmdet.models.losses', "log('a layer', logger='current')", log=print_log)
        as_from('pycocotools.coco', "print('index', 'created!')")
        as_from('mmengine.runner.runner', "log.info('Load checkpoint from x')", log=logger)
        as_from('my_hooks', "log.info('of a hook')", log=logger)
        as_from('my_hooks', "log('of another', logger='current')", log=print_log)
        as_from('my_hooks', "print('printed')")

    terminal, file = log_of(before, after)
    for text in ('from the command', 'Load checkpoint from x', 'of a hook', 'of another'):
        assert text in terminal and text in file
    assert 'printed\n' in terminal
    assert 'run.log' in terminal
    for text in ('without a logger', 'whole config', 'a layer', 'index created!'):
        assert text not in terminal and text in file


def test_warnings_that_matter_are_shown(log_of):
    def before():
        warnings.warn('torch.meshgrid: in an upcoming release', stacklevel=1)
        warnings.warn('the image is damaged', stacklevel=1)

    def after(logger):
        as_from('mmengine.runner', "log.warning('there is no optimizer state')", log=logger)
        as_from('mmengine.fileio', """log.warning('"FileClient" will be deprecated')""", log=logger)

    terminal, file = log_of(before, after)
    for text in ('the image is damaged', 'there is no optimizer state'):
        assert text in terminal and text in file
    for text in ('torch.meshgrid', '"FileClient" will be deprecated'):
        assert text not in terminal and text in file


@pytest.mark.parametrize('minutes', [1, 13, 40])
def test_progress_comes_ever_more_rarely_and_results_always(log_of, monkeypatch, minutes):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, 'time', SimpleNamespace(monotonic=lambda: clock.now))

    def after(logger):
        for _ in range(minutes * 60):
            as_from(
                'mmengine.hooks.logger_hook',
                'def after_train_iter(): log.info("Epoch(train) eta")\nafter_train_iter()',
                log=logger,
            )
            clock.now += 1
        for step in range(3):
            as_from(
                'mmengine.hooks.logger_hook',
                f'def after_val_epoch(): log.info("Epoch(val) {step}")\nafter_val_epoch()',
                log=logger,
            )

    terminal, file = log_of(lambda: None, after)
    assert file.count('Epoch(train)') == minutes * 60
    assert file.count('Epoch(val)') == terminal.count('Epoch(val)') == 3
    assert max(5, minutes / 2) <= terminal.count('Epoch(train)') <= 40

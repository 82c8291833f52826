"""Build a run as mmengine does: model, data loaders, hooks, loops, optimiser, schedule."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.optim import LinearLR
from mmengine.optim.scheduler.param_scheduler import INF
from mmengine.registry import MODELS, RUNNERS, VISBACKENDS, VISUALIZERS
from mmengine.runner import CheckpointLoader, Runner
from torch.utils.data import DataLoader

from mmvmlp.checkpoints import check_pretrained_modules, check_starting_checkpoint
from mmvmlp.config.check.agreement import PARTS
from mmvmlp.config.check.annotations import AnnotationFile, remembered_files
from mmvmlp.config.check.finding import Finding, error_as_finding
from mmvmlp.config.check.registered import registered
from mmvmlp.config.launcher import check_strategy
from mmvmlp.config.required_files import check_checkpoints

LONGEST_WARM_UP = 0.5
"""Fraction of the training above which a warm-up is reported."""
SUGGESTED_WARM_UP = 0.1
"""Fraction of the training that is suggested instead."""
LARGEST_GAP = 0.05
"""Fraction of the training between its end and that of the schedule, above which it is reported."""


def _fix_of_model(config: Config) -> str:
    """Suggest a fix for a model that cannot be built."""
    backbone = config.model.get('backbone')
    kind = str(backbone.get('type', '')) if isinstance(backbone, Mapping) else ''
    try:
        unknown = kind.startswith('mmvmlp.') and MODELS.get(kind) is None
    except ImportError:
        return 'a package that can be imported, or none'
    if unknown:
        return (
            f'another type than {kind!r}; for a backbone of your own, @MODELS.register_module() '
            "and an installed package with an entry point of the group 'mmvmlp.backbones'"
        )
    return 'another type or argument'


def build_model(config: Config, findings: list[Finding]) -> Any:
    """Build the model with its data preprocessor, or return None on failure."""
    model = None
    if config.get('model'):
        with error_as_finding(findings, 'model cannot be built', _fix_of_model(config)):
            if config.get('data_preprocessor'):
                config.model.setdefault('data_preprocessor', config.data_preprocessor)
            model = MODELS.build(deepcopy(config.model))
    return model


def checkpoints(config: Config, model: Any) -> Iterator[Finding]:
    """Compare the checkpoints from which training starts with the model."""
    findings: list[Finding] = []
    with error_as_finding(findings, 'a checkpoint cannot be used', 'another file'):
        check_checkpoints(config)
        check_pretrained_modules(model)
        if config.get('load_from') and not config.get('resume'):
            contents = CheckpointLoader.load_checkpoint(config.load_from, 'cpu')
            check_starting_checkpoint(model, contents, config.load_from)
    yield from findings


def build_loader(
    split: str, settings: Any, findings: list[Finding]
) -> tuple[DataLoader[Any] | None, dict[str, AnnotationFile]]:
    """Build a data loader, or return None on failure, and record its annotation files."""
    loader, files = None, {}
    errors: list[Finding] = []
    name = f'{split}_dataloader'
    fix = (
        'change the setting that the error names; for a data set also check its paths, its '
        'classes, and its filter_cfg, which drops images without annotations of these classes'
    )
    with error_as_finding(errors, f'{name} cannot be built', fix):
        with remembered_files(settings['dataset']) as files:
            loader = Runner.build_dataloader(settings)
    # mmengine concatenates the records, and fails if there are none.
    if errors and 'at least one array' in errors[0].problem or loader and not len(loader.dataset):
        kind = settings['dataset']['type']
        errors = [
            Finding(
                True,
                f'{name}.dataset ({kind}) has no images',
                'check its paths, its classes, and its filter_cfg, which drops images without '
                'annotations of these classes',
            )
        ]
        loader = None
    if loader is not None and not len(loader):
        errors = [
            Finding(
                True,
                f'{name} has no batches: {len(loader.dataset)} images, batch_size='
                f'{settings.get("batch_size")}, drop_last={settings.get("drop_last", False)}',
                'a smaller batch_size, or drop_last=False',
            )
        ]
        loader = None
    findings += errors
    return loader, files


def build_runner(
    config: Config,
    model: Any,
    loaders: Mapping[str, DataLoader[Any]],
    work_dir: str,
    findings: list[Finding],
) -> Runner | None:
    """Build the runner from the built parts, or return None on failure.

    Args:
        config: The config of the run.
        model: Its model.
        loaders: Its data loaders by split; splits without one are left out.
        work_dir: Folder for the files that every runner writes.
        findings: Extended by errors.
    """
    runner = None
    parts = {
        name: loaders[split] if name == names[0] else deepcopy(config.get(name))
        for split, names in PARTS.items()
        if split in loaders
        for name in names
    }
    optional = {
        name: deepcopy(config[name])
        for name in ('auto_scale_lr', 'env_cfg', 'log_processor', 'default_scope', 'randomness')
        if config.get(name)
    }
    runner_type = config.get('runner_type', 'Runner')
    with error_as_finding(
        findings, 'the run cannot be set up', 'check the setting that the error names'
    ):
        check_strategy(config)
        if registered(RUNNERS, runner_type) is None:
            raise ValueError(f'runner_type={runner_type!r} is not registered')
        runner = Runner(
            model=model,
            work_dir=work_dir,
            log_level='ERROR',
            experiment_name=Path(work_dir).name,
            **parts,
            **optional,
        )
        # A GPU may be in use, and errors on the CPU are clearer.
        runner.model = runner.model.cpu()
    return runner


def hooks(config: Config, runner: Runner) -> Iterator[Finding]:
    """Build the hooks, and look up the types of the visualizer, which might write files."""
    findings: list[Finding] = []
    named = {f'default_hooks.{key}': hook for key, hook in _items(config.get('default_hooks'))}
    named |= {f'custom_hooks.{key}': hook for key, hook in _items(config.get('custom_hooks'))}
    for name, settings in named.items():
        # None disables a default hook.
        if settings is not None:
            with error_as_finding(
                findings, f'{name} cannot be built', 'another type or argument, or None'
            ):
                runner.register_hook(deepcopy(settings))
    visualizer = config.get('visualizer') or {}
    types = [('visualizer', VISUALIZERS, visualizer.get('type', 'Visualizer'))]
    types += [
        (f'visualizer.vis_backends.{key}', VISBACKENDS, backend.get('type'))
        for key, backend in _items(visualizer.get('vis_backends'))
    ]
    for name, registry, kind in types:
        if registered(registry, kind) is None:
            findings.append(Finding(True, f'{name}.type={kind!r} is unknown', 'another type'))
    yield from findings


def _items(settings: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(settings, Mapping):
        yield from settings.items()
    else:
        yield from enumerate(settings or [])


def loops(config: Config, runner: Runner, splits: tuple[str, ...]) -> Iterator[Finding]:
    """Build the loops of validation and test, with their evaluators."""
    findings: list[Finding] = []
    for split in splits:
        problem = f'{split}_cfg or {split}_evaluator does not fit'
        with error_as_finding(findings, problem, 'another type or argument'):
            # The property builds the loop.
            getattr(runner, f'{split}_loop')
    yield from findings


def schedule(config: Config, runner: Runner) -> Iterator[Finding]:
    """Build the training loop, the optimiser and its schedule, and check the warm-up."""
    findings: list[Finding] = []
    settings = deepcopy(config.get('param_scheduler'))
    with error_as_finding(
        findings, f'train_cfg={dict(config.train_cfg)} does not fit', 'another argument'
    ):
        # The property builds the loop.
        assert runner.train_loop is not None
    with error_as_finding(findings, 'optim_wrapper cannot be built', 'another type or argument'):
        runner.optim_wrapper = runner.build_optim_wrapper(deepcopy(config.optim_wrapper))
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    if settings and not findings:
        with error_as_finding(
            findings, 'param_scheduler cannot be built', 'another type or argument'
        ):
            schedulers = runner.build_param_scheduler(settings)
            if isinstance(schedulers, list):
                findings += _warm_up(settings, schedulers, runner)
                findings += _end_of_schedule(settings, schedulers, runner)
    yield from findings


def _warm_up(settings: Any, schedulers: list[Any], runner: Runner) -> Iterator[Finding]:
    for index, scheduler in enumerate(schedulers):
        if not _is_warm_up(scheduler):
            continue
        total, unit = _length(scheduler, runner)
        if scheduler.end <= LONGEST_WARM_UP * total:
            continue
        name, length = _setting_of(settings, index, runner)
        yield Finding(
            scheduler.end >= total,
            f'{name}: the learning rate warms up for {scheduler.end} of {total} {unit}'
            + (': it never reaches its full value' if scheduler.end >= total else ''),
            f'{name}.end={max(1, round(SUGGESTED_WARM_UP * length))}',
        )


def _end_of_schedule(settings: Any, schedulers: list[Any], runner: Runner) -> Iterator[Finding]:
    """Compare the end of the last scheduler after the warm-up with that of the training."""
    ends = [
        (scheduler.end / _length(scheduler, runner)[0], index)
        for index, scheduler in enumerate(schedulers)
        if not _is_warm_up(scheduler)
    ]
    if not ends:
        return
    share, index = max(ends)
    scheduler = schedulers[index]
    total, unit = _length(scheduler, runner)
    if abs(share - 1) <= LARGEST_GAP or scheduler.end >= INF:
        return
    name, length = _setting_of(settings, index, runner)
    yield Finding(
        False,
        f'{name}: the schedule of the learning rate ends at {scheduler.end} of {total} {unit}'
        + (
            ', and the rate stays what it is then' if share < 1 else ': the training ends before it'
        ),
        f'{name}.end={length}',
    )


def _is_warm_up(scheduler: Any) -> bool:
    return isinstance(scheduler, LinearLR) and scheduler.start_factor < scheduler.end_factor


def _length(scheduler: Any, runner: Runner) -> tuple[int, str]:
    """Return the length of the training in the scheduler's unit, and that unit."""
    if scheduler.by_epoch:
        return runner.max_epochs, 'epochs'
    return runner.max_iters, 'iterations'


def _setting_of(settings: Any, index: int, runner: Runner) -> tuple[str, int]:
    """Return the name of a scheduler's setting, and the length of the training in its unit."""
    several = isinstance(settings, (list, tuple))
    name = f'param_scheduler.{index}' if several else 'param_scheduler'
    in_epochs = (settings[index] if several else settings).get('by_epoch', True)
    return name, runner.max_epochs if in_epochs else runner.max_iters

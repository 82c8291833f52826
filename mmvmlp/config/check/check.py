"""All checks of a config, in order of their dependencies."""

from collections.abc import Iterator, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from mmvmlp.config.check import agreement
from mmvmlp.config.check.annotations import AnnotationFile, annotations
from mmvmlp.config.check.data_sets import FILES_CHECKED, FILES_DECODED, base_datasets
from mmvmlp.config.check.finding import Finding, error_as_finding
from mmvmlp.config.check.folders import folders
from mmvmlp.config.check.images import Images
from mmvmlp.config.check.masks import mask_values
from mmvmlp.config.check.run import (
    build_loader,
    build_model,
    build_runner,
    checkpoints,
    hooks,
    loops,
    schedule,
)
from mmvmlp.config.check.step import load_batch, train_step
from mmvmlp.config.required_files import SPLITS, check_data

SPLIT_NAMES = {'train': 'training', 'val': 'validation', 'test': 'test'}


class ConfigCheck:
    """Builds everything in a config, reads data of each split, and runs one training step.

    Training runs on the CPU. Large data sets are sampled evenly. Only a temporary folder is
    written to.

    Args:
        config: Config of mmdet, mmsegmentation or mmpretrain; it is not changed.
        most_decoded: Maximum number of images, and of masks, to decode of a data set; None for all.

    Attributes:
        examined: Checks done so far, one phrase each.
    """

    def __init__(self, config: Config, most_decoded: int | None = FILES_DECODED) -> None:
        self.config = Config(config.to_dict(), filename=config.filename)
        self.most_decoded = most_decoded
        self.examined: list[str] = []

    def findings(self) -> Iterator[Finding]:
        """Yield the problems of the run as they are found."""
        try:
            with TemporaryDirectory() as work_dir:
                yield from self._findings(work_dir)
        except ModuleNotFoundError as error:
            package = (error.name or '').partition('.')[0]
            yield Finding(
                True,
                f'the config requires package {package!r}, which is not installed',
                f'pip install {package}',
            )

    def _findings(self, work_dir: str) -> Iterator[Finding]:
        config = self.config
        init_default_scope(config.get('default_scope') or 'mmengine')
        mistyped = list(agreement.mistyped_settings(config))
        yield from mistyped
        if mistyped:
            return
        yield from agreement.missing_settings(config)
        yield from agreement.learning_rate(config)
        splits = [split for split in SPLITS if config.get(f'{split}_dataloader')]
        same = 'val' in splits and config.get('test_dataloader') == config.val_dataloader
        if same:
            splits.remove('test')
        absent = list(self._absent_data(splits))
        yield from absent
        if absent:
            return
        unfit: list[Finding] = []
        model = build_model(config, unfit)
        if model is not None:
            with error_as_finding(unfit, 'necks and heads do not fit', 'check the model'):
                unfit += agreement.necks(config, model)
            unfit += checkpoints(config, model)
        yield from unfit
        loaders: dict[str, DataLoader[Any]] = {}
        batches: dict[str, Any] = {}
        classes: dict[str, Sequence[str]] = {}
        for split in splits:
            found: list[Finding] = []
            loader, files = build_loader(split, config[f'{split}_dataloader'], found)
            if loader is not None:
                loaders[split] = loader
                found += self._data(split, loader.dataset, files, classes)
                if not any(finding.blocks for finding in (*unfit, *found)):
                    batches[split] = load_batch(split, loader, found)
            yield from found
        if model is None:
            return
        if (
            same
            and 'val' in loaders
            and config.get('test_evaluator') != config.get('val_evaluator')
        ):
            loaders['test'] = loaders['val']
        complete = {
            split: loader
            for split, loader in loaders.items()
            if all(config.get(name) is not None for name in agreement.PARTS[split])
        }
        found = []
        runner = build_runner(config, model, complete, work_dir, found)
        yield from found
        if runner is None:
            return
        yield from hooks(config, runner)
        yield from loops(config, runner, tuple(split for split in complete if split != 'train'))
        if 'train' in complete:
            found = list(schedule(config, runner))
            yield from found
            batch = batches.get('train')
            if batch is not None and not any(finding.blocks for finding in found):
                yield from train_step(config, runner, batch)
                self.examined.append('one training step done')

    def _absent_data(self, splits: Sequence[str]) -> Iterator[Finding]:
        found = list(folders(self.config, splits))
        yield from found
        if not found:
            try:
                check_data(self.config, tuple(splits))
            except FileNotFoundError as error:
                problem = str(error).partition('\nExpected')[0]
                yield Finding(True, problem, 'set the folder with --data-root')

    def _data(
        self,
        split: str,
        dataset: Any,
        files: dict[str, AnnotationFile],
        classes: dict[str, Sequence[str]],
    ) -> Iterator[Finding]:
        classes[split] = tuple((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
        yield from agreement.same_classes(split, classes[split], classes.get('train', ()))
        count = checked = decoded = 0
        is_sample = False
        for base in base_datasets(dataset):
            name = f'{split}_dataloader.dataset ({type(base).__name__})'
            images = Images(name, base, self.most_decoded)
            yield from annotations(name, base, files)
            yield from mask_values(name, base, self.most_decoded)
            yield from images.findings()
            yield from agreement.evaluators(split, self.config, base)
            count += len(base)
            checked += min(len(base), FILES_CHECKED)
            decoded += images.decoded
            is_sample |= self.most_decoded is not None and len(base) > self.most_decoded
        yield from agreement.heads(split, self.config, classes[split])
        sampled = f' and {checked} found' if checked < count else ''
        more = ' (--all-images decodes all)' if is_sample else ''
        self.examined.append(
            f'{decoded} of {count} {SPLIT_NAMES[split]} images decoded{sampled}{more}'
        )

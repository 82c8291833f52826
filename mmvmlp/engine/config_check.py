"""What would go wrong in a training run, found before it: config against data against model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mmcv
import numpy as np
from mmengine import fileio
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, FUNCTIONS, MODELS, init_default_scope

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.engine.run_config import annotations_of_evaluators, check_data

SPLITS = ('train', 'val', 'test')
IMAGES_IN_STEP = 2
MASKS_READ = 30
"""So many segmentation masks are searched for values that no class has."""
SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or deserves a look.

    Attributes:
        blocks: Whether training fails, or learns something else than was meant.
        problem: What it is, with the setting's name and value.
        remedy: What to change.
    """

    blocks: bool
    problem: str
    remedy: str


def check_config(config: Config) -> Iterator[Finding]:
    """Build everything in a config, load data of each split, and train a step on the CPU.

    Args:
        config: Of a run of mmdet, mmsegmentation or mmpretrain; it is not changed.

    Yields:
        What would go wrong, as it is found; nothing if the run would begin well.
    """
    config = Config(config.to_dict(), filename=config.filename)
    init_default_scope(config.get('default_scope') or 'mmengine')
    splits = [split for split in SPLITS if config.get(f'{split}_dataloader')]
    if 'val' in splits and config.get('test_dataloader') == config.val_dataloader:
        splits.remove('test')
    try:
        check_data(config, tuple(splits))
    except FileNotFoundError as error:
        yield Finding(True, str(error).partition('\nExpected')[0], 'name the folder: --data-root')
        return
    yield from _learning_rate(config)
    model = _model(config)
    necks = list(_necks(config, model))
    yield from necks
    classes: dict[str, Sequence[str]] = {}
    for split in splits:
        dataset, failures = _dataset(split, config[f'{split}_dataloader'].dataset)
        if dataset is None:
            yield from failures
            continue
        findings = list(_data(split, dataset, classes))
        findings += _heads(split, config, dataset)
        findings += _evaluators(split, config, dataset)
        yield from findings
        if any(finding.blocks for finding in (*necks, *findings)):
            continue
        batch, failures = _batch(split, dataset, config[f'{split}_dataloader'])
        yield from failures
        if split == 'train' and batch is not None:
            yield from _step(config, model, batch)


def _learning_rate(config: Config) -> Iterator[Finding]:
    expected = config.get('auto_scale_lr', {}).get('base_batch_size')
    batch = config.train_dataloader.get('batch_size') if config.get('train_dataloader') else None
    if expected and batch and expected % batch:
        yield Finding(
            False,
            f'the learning rate is for {expected} images a step, and no number of processes with '
            f'train_dataloader.batch_size={batch} makes that',
            '--auto-scale-lr, which scales it by your number',
        )
    elif expected and batch and expected != batch and not config.auto_scale_lr.get('enable'):
        yield Finding(
            False,
            f'the learning rate is for {expected} images a step: {expected // batch} processes '
            f'with train_dataloader.batch_size={batch}',
            f'start {expected // batch} processes, or with another number --auto-scale-lr',
        )


def _model(config: Config) -> BaseModel:
    config.model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    return revert_sync_batchnorm(MODELS.build(config.model))


def _necks(config: Config, model: Any) -> Iterator[Finding]:
    """Compare what necks and heads expect with what the backbone emits."""
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, VisionMLP):
        return
    info = backbone.feature_info
    necks = config.model.get('neck') or []
    necks = necks if isinstance(necks, (list, tuple)) else [necks]
    built = [model.neck] if len(necks) == 1 else list(getattr(model, 'neck', []))
    source = f'the backbone emits with out_indices={backbone.out_indices}'
    for settings, neck in zip(necks, built, strict=True):
        expected = [level.channels for level in info]
        single = isinstance(settings.get('in_channels'), int)
        given = [settings.in_channels] if single else list(settings.get('in_channels', expected))
        if given != expected:
            value = given[0] if single else given
            yield Finding(
                True,
                f'{settings.type} has in_channels={value!r}, but {source} {expected!r}',
                f'in_channels={expected!r}',
            )
            return
        if 'stride' in settings and settings.stride != info[0].stride:
            yield Finding(
                True,
                f'{settings.type} has stride={settings.stride}, but {source} stride '
                f'{info[0].stride}',
                f'stride={info[0].stride}',
            )
            return
        if not hasattr(neck, 'feature_info'):
            return
        info, source = neck.feature_info, f'{settings.type} makes'
    head = config.model.get('decode_head')
    expected = [level.channels for level in info]
    if head and 'in_channels' in head and not necks[1:]:
        index = head.get('in_index', -1)
        wanted = (
            [expected[i] for i in index] if isinstance(index, (list, tuple)) else expected[index]
        )
        if head.in_channels != wanted:
            yield Finding(
                True,
                f'decode_head has in_channels={head.in_channels!r}, but {source} {wanted!r}',
                f'in_channels={wanted!r}',
            )


def _dataset(split: str, settings: Mapping[str, Any]) -> tuple[Any, list[Finding]]:
    try:
        dataset = DATASETS.build(settings)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        return dataset, []
    except Exception as error:
        # mmengine joins the images into one array, of which there must be one.
        empty = 'at least one array' in str(error)
        problem = 'has no image' if empty else f'cannot be built: {_described(error)}'
        return None, [
            Finding(
                True,
                f'{split}_dataloader.dataset ({settings["type"]}) {problem}',
                'look at its paths, its classes and its filter_cfg, which drops images without '
                'annotations of those',
            )
        ]


def _data(split: str, dataset: Any, classes: dict[str, Sequence[str]]) -> Iterator[Finding]:
    """Look for images and annotations that are not there, or mean nothing."""
    name = f'{split}_dataloader.dataset ({type(dataset).__name__})'
    classes[split] = tuple(dataset.metainfo.get('classes') or ())
    if split != 'train' and classes.get('train') and classes[split] != classes['train']:
        yield Finding(
            True,
            f'{name} has other classes than the training data: {_shown(classes[split])} instead of '
            f'{_shown(classes["train"])}',
            'the same metainfo=dict(classes=...) for all splits',
        )
    yield from _categories(name, dataset)
    yield from _mask_values(name, dataset)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    empty = sum('instances' in info and not info['instances'] for info in infos)
    if empty == len(infos):
        yield Finding(
            True,
            f'{name}: none of its {empty} images has an annotation of its classes',
            'look at metainfo=dict(classes=...) and at the annotation file',
        )
    elif empty:
        yield Finding(
            False,
            f'{name}: {empty} of {len(infos)} images have no annotation',
            'nothing, if they are meant to be empty; filter_cfg=dict(filter_empty_gt=True) else',
        )


def _categories(name: str, dataset: Any) -> Iterator[Finding]:
    """Compare the classes of a COCO data set with the categories in its file."""
    if not hasattr(dataset, 'COCOAPI'):
        return
    there = [category['name'] for category in fileio.load(dataset.ann_file)['categories']]
    wanted = dataset.metainfo['classes']
    if missing := [category for category in wanted if category not in there]:
        yield Finding(
            True,
            f'{name}: the annotation file has no category {_shown(missing)}; it has '
            f'{_shown(there)}. mmdet leaves such classes out without a word',
            f'metainfo=dict(classes={tuple(there)!r})',
        )
    elif unused := [category for category in there if category not in wanted]:
        yield Finding(
            False,
            f'{name}: annotations of {_shown(unused)} are not among its classes, and not used',
            'nothing, if that is meant',
        )


def _mask_values(name: str, dataset: Any) -> Iterator[Finding]:
    """Compare the values in segmentation masks with the classes."""
    if not hasattr(dataset, 'reduce_zero_label'):
        return
    step = max(1, len(dataset) // MASKS_READ)
    values: set[int] = set()
    for index in range(0, len(dataset), step):
        path = dataset.get_data_info(index).get('seg_map_path')
        if path:
            mask = mmcv.imfrombytes(fileio.get(path), flag='unchanged', backend='pillow')
            values |= set(np.unique(mask).tolist())
    first = 1 if dataset.reduce_zero_label else 0
    last = first + len(dataset.metainfo['classes']) - 1
    wrong = sorted(values - set(range(first, last + 1)) - {0, dataset.ignore_index})
    setting = f'reduce_zero_label={dataset.reduce_zero_label}'
    if wrong and wrong == [last + 1] and not dataset.reduce_zero_label:
        yield Finding(
            True,
            f'{name}: masks have the values 0 to {wrong[0]}, one more than there are classes, and '
            f'{setting}',
            'reduce_zero_label=True if 0 is no class, or one more class',
        )
    elif wrong:
        yield Finding(
            True,
            f'{name}: masks have the values {_shown(wrong)}, but with {setting} the '
            f'{last - first + 1} classes are {first} to {last}',
            f'masks with {first} to {last}, and {dataset.ignore_index} for what is no class',
        )
    elif dataset.reduce_zero_label and values - {dataset.ignore_index} == set(range(last)):
        yield Finding(
            False,
            f'{name}: masks have the values 0 to {last - 1}, as if 0 were a class, but {setting} '
            f'makes the classes 1 to {last}',
            'reduce_zero_label=False if 0 is a class of yours',
        )


def _heads(split: str, config: Config, dataset: Any) -> Iterator[Finding]:
    """Compare the number of classes of heads and data."""
    number = len(dataset.metainfo.get('classes') or ())
    if not number:
        return
    for name, head in _with_classes(config.model, 'model'):
        if head['num_classes'] != number:
            yield Finding(
                True,
                f'{name}.num_classes={head["num_classes"]}, but {split}_dataloader.dataset has '
                f'{number} classes',
                f'num_classes={number}',
            )


def _evaluators(split: str, config: Config, dataset: Any) -> Iterator[Finding]:
    """Compare the annotations that are loaded with those that predictions are compared with."""
    loaded = getattr(dataset, 'ann_file', None)
    if not loaded:
        return
    loader = config[f'{split}_dataloader']
    evaluated = [name for name in SPLITS if config.get(f'{name}_dataloader') == loader]
    for name in evaluated:
        for setting, path in annotations_of_evaluators(config, name).items():
            if os.path.realpath(path) != os.path.realpath(loaded):
                yield Finding(
                    True,
                    f'{setting}={path!r}, but {split}_dataloader.dataset has the annotations '
                    f'{loaded!r}',
                    f'ann_file={loaded!r}',
                )


def _with_classes(settings: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(settings, Mapping):
        if 'num_classes' in settings:
            yield name, settings
        for key, value in settings.items():
            if key != 'rpn_head':
                yield from _with_classes(value, f'{name}.{key}')
    elif isinstance(settings, (list, tuple)):
        for index, value in enumerate(settings):
            yield from _with_classes(value, f'{name}.{index}')


def _batch(split: str, dataset: Any, loader: Mapping[str, Any]) -> tuple[Any, list[Finding]]:
    """Load some images as the data loader would."""
    collate = FUNCTIONS.get(loader.get('collate_fn', {}).get('type', 'pseudo_collate'))
    try:
        return collate([dataset[index % len(dataset)] for index in range(IMAGES_IN_STEP)]), []
    except Exception as error:
        # Whatever a transform raises is what this looks for; the same holds for the step below.
        problem = f'{split}_dataloader: an image does not pass the pipeline: {_described(error)}'
        return None, [Finding(True, problem, 'look at the pipeline and at the file it names')]


def _step(config: Config, model: Any, batch: Any) -> Iterator[Finding]:
    """Train one step, and look for losses that are no numbers and for parameters without use."""
    model.init_weights()
    model.train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    try:
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        loss, parts = model.parse_losses(losses)
        loss.backward()
        wrapper.step()
    except Exception as error:
        yield Finding(
            True,
            f'a training step fails: {_described(error)}',
            'tools/train.py has its traceback',
        )
        return
    if not loss.isfinite():
        named = ', '.join(f'{name} {value}' for name, value in parts.items())
        yield Finding(True, f'the first losses are not finite: {named}', 'a lower learning rate')
    unused = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    if unused:
        yield Finding(
            True,
            f'no gradient reaches {_shown(unused)}: training on several processes stops at that',
            'out_indices that emit only the levels that are used, or find_unused_parameters=True',
        )


def _described(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:500]}'


def _shown(values: Sequence[Any]) -> str:
    more = f', ... ({len(values)} in all)' if len(values) > SHOWN else ''
    return ', '.join(str(value) for value in values[:SHOWN]) + more

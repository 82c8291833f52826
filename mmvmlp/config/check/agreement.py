"""Parts of a config that must agree: backbone, necks, heads, classes, evaluators, batch size."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.config.check.finding import Finding, shown
from mmvmlp.config.required_files import SPLITS, annotations_of_evaluators

PARTS = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
"""Settings that mmengine requires together."""


def mistyped_settings(config: Config) -> Iterator[Finding]:
    """Find settings that are not mappings, so that nothing can be built from them."""
    parts = (name for names in PARTS.values() for name in names)
    for name in ('model', 'visualizer', 'auto_scale_lr', *parts):
        value = config.get(name)
        several = name.endswith('_evaluator') and isinstance(value, (list, tuple))
        if not all(isinstance(item, Mapping) for item in (value if several else [value or {}])):
            accepted = 'a dict or a list of them' if name.endswith('_evaluator') else 'a dict'
            yield Finding(True, f'{name}={value!r}: {accepted} is accepted', f'{name}=dict(...)')
        elif name.endswith('_dataloader') and value:
            dataset = value.get('dataset')
            if not isinstance(dataset, Mapping):
                problem = f'{name}.dataset={dataset!r}: a dict is accepted'
                yield Finding(True, problem, f'{name}.dataset=dict(...)')


def missing_settings(config: Config) -> Iterator[Finding]:
    """Find missing settings that a run requires."""
    if not config.get('model'):
        yield Finding(True, 'model is not set', 'model=dict(type=...)')
    absent = {
        split: [name for name in names if config.get(name) is None]
        for split, names in PARTS.items()
    }
    for split, missing in absent.items():
        given = [name for name in PARTS[split] if name not in missing]
        if missing and given:
            yield Finding(
                True,
                f'{" and ".join(given)} {"is" if len(given) == 1 else "are"} set, but '
                f'{" and ".join(missing)} {"is" if len(missing) == 1 else "are"} not',
                f'set {", ".join(PARTS[split])}, or none of them',
            )
    if absent['train'] == list(PARTS['train']):
        tests = any(len(absent[split]) < len(PARTS[split]) for split in ('val', 'test'))
        yield Finding(
            not tests,
            f'{", ".join(PARTS["train"])} are not set: the config cannot be trained',
            'set all of them' + (', unless the config is only for testing' if tests else ''),
        )


def learning_rate(config: Config) -> Iterator[Finding]:
    """Compare the base batch size of the learning rate with that of the data loader."""
    expected = (config.get('auto_scale_lr') or {}).get('base_batch_size')
    batch = (config.get('train_dataloader') or {}).get('batch_size')
    if not expected or not isinstance(batch, int) or batch < 1:
        return
    if expected % batch:
        yield Finding(
            False,
            f'the learning rate is for a batch of {expected} images, which is not a multiple of '
            f'train_dataloader.batch_size={batch}',
            '--auto-scale-lr, which scales it to your batch size',
        )
    elif expected != batch and not config.auto_scale_lr.get('enable'):
        yield Finding(
            False,
            f'the learning rate is for a batch of {expected} images: {expected // batch} processes '
            f'with train_dataloader.batch_size={batch}',
            f'start {expected // batch} processes, or add --auto-scale-lr',
        )


def necks(config: Config, model: Any) -> Iterator[Finding]:
    """Compare the channels and strides of necks and heads with those of the backbone."""
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, VisionMLP):
        return
    info = backbone.feature_info
    settings_of_necks = config.model.get('neck') or []
    if isinstance(settings_of_necks, (list, tuple)):
        built = list(getattr(model, 'neck', None) or [])
    else:
        settings_of_necks, built = [settings_of_necks], [model.neck]
    source = f'the backbone emits with out_indices={backbone.out_indices}'
    for settings, neck in zip(settings_of_necks, built, strict=True):
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
        if 'stride' in settings:
            expected = [level.stride for level in info]
            single = isinstance(settings.stride, int)
            if ([settings.stride] if single else list(settings.stride)) != expected:
                wanted = expected[0] if len(expected) == 1 else expected
                yield Finding(
                    True,
                    f'{settings.type} has stride={settings.stride!r}, but {source} stride '
                    f'{wanted!r}',
                    f'stride={wanted!r}',
                )
                return
        if not hasattr(neck, 'feature_info'):
            return
        info, source = neck.feature_info, f'{settings.type} makes'
    head = config.model.get('decode_head')
    expected = [level.channels for level in info]
    if isinstance(head, Mapping) and 'in_channels' in head and not settings_of_necks[1:]:
        index = head.get('in_index', -1)
        wanted = (
            [expected[i] for i in index] if isinstance(index, (list, tuple)) else expected[index]
        )
        if head['in_channels'] != wanted:
            yield Finding(
                True,
                f'decode_head has in_channels={head["in_channels"]!r}, but {source} {wanted!r}',
                f'in_channels={wanted!r}',
            )


def heads(split: str, config: Config, classes: Sequence[str]) -> Iterator[Finding]:
    """Compare the number of classes of the heads with that of the data."""
    if not classes:
        return
    for name, head in _with_classes(config.get('model'), 'model'):
        if head['num_classes'] != len(classes):
            yield Finding(
                True,
                f'{name}.num_classes={head["num_classes"]}, but {split}_dataloader.dataset has '
                f'{len(classes)} classes',
                f'num_classes={len(classes)}',
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


def same_classes(
    split: str, classes: Sequence[str], training_classes: Sequence[str]
) -> Iterator[Finding]:
    """Compare the classes of a split with those of the training data."""
    if classes and training_classes and classes != training_classes:
        yield Finding(
            True,
            f'{split}_dataloader.dataset has different classes from the training data: '
            f'{shown(classes)} instead of {shown(training_classes)}',
            'the same metainfo=dict(classes=...) for all splits',
        )


def evaluators(split: str, config: Config, dataset: Any) -> Iterator[Finding]:
    """Compare the annotation file of the data set with that of its evaluators."""
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
                    f'{setting}={path!r}, but {split}_dataloader.dataset has ann_file={loaded!r}',
                    f'ann_file={loaded!r}',
                )

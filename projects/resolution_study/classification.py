"""Accuracy of fixed-size networks at image sizes other than that of training.

Each network is trained at its native size only; then the same weights are tested at several sizes
with each image-size policy. Images of all sizes show the same scenes: they are generated once at
the largest size, and downscaled by averaging pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.datasets.loading import BACKEND_NAME
from projects.processes import in_processes
from projects.records import Record, RecordFile, check_names

NATIVE_SIZE = 64
IMAGE_SIZE = 128
SIZES = (48, 56, 64, 80, 96, 128)
POLICIES = ('native', 'resize', 'window')
SIZE_FREE = 'size-free'
"""Used in place of a policy for networks that need none."""

FIELDS = ('network', 'seed', 'policy', 'size')
"""Fields that identify a record."""

ARCHITECTURES: dict[str, Mapping[str, Any]] = {
    'SMLPNet': {'depths': [2, 2, 2, 2], 'channels': 24, 'image_size': NATIVE_SIZE},
    'ResMLP': {'depth': 6, 'channels': 96, 'patch_size': 8, 'image_size': NATIVE_SIZE},
    'MLPMixer': {'depth': 6, 'channels': 96, 'patch_size': 8, 'image_size': NATIVE_SIZE},
    'HireMLP': {'depths': [2, 2, 2, 2], 'channels': [24, 48, 96, 160]},
    'S2MLP': {'depth': 6, 'channels': 96, 'patch_size': 8},
}
"""Small architectures of about one cost, by class: those that the kept records were measured with.

Add a family's before it is measured, or it takes part with its ``small_arch``.
"""

NETWORKS: dict[str, Mapping[str, Any]] = {
    **ARCHITECTURES,
    **{
        family.__name__: family.small_arch
        for family in registered_families()
        if family.__name__ not in ARCHITECTURES
    },
}
"""The architecture of each network of the study, by class: all registered families."""

VAL_BATCH_SIZE = 50


@dataclass(frozen=True)
class TrainingOptions:
    """Options common to all trainings.

    Attributes:
        train: Number of training images.
        val: Number of validation images, used for testing.
        epochs: Number of epochs.
        batch_size: Images per step.
        learning_rate: Peak learning rate, after the warm-up.
        weight_decay: Weight decay of all parameters except vectors.
    """

    train: int = 20000
    val: int = 1000
    epochs: int = 3
    batch_size: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 0.05


def classify(
    out: Path,
    data: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    networks: Sequence[str] = tuple(NETWORKS),
    sizes: Sequence[int] = SIZES,
    options: TrainingOptions | None = None,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> None:
    """Train each network once per seed, and test it at every size with every policy.

    Args:
        out: JSON file of the records; trainings recorded there are skipped. Logs and checkpoints go
            into a folder next to it with the same name.
        data: Folder of the images; generated if missing.
        seeds: Seeds of weights, order and crops; the images are the same for all.
        networks: Names in :data:`NETWORKS`.
        sizes: Sides of the test images in pixels.
        options: Options of the trainings.
        jobs: Number of parallel trainings, which share the cores.
        report: Called with a line after every training.

    Raises:
        FileExistsError: If `data` has other contents.
        ValueError: If an argument is not accepted, or `out` has records with other settings.
    """
    options = options or TrainingOptions()
    check_names('networks', networks, NETWORKS)
    check_numbers(seeds, sizes, options, jobs)
    settings = {
        **asdict(options),
        'native_size': NATIVE_SIZE,
        'image_size': IMAGE_SIZE,
        'architectures': {network: NETWORKS[network] for network in networks},
    }
    file = RecordFile(out, settings, FIELDS)
    make_digit_scenes(data, 'imagenet', options.train, options.val, IMAGE_SIZE, progress=False)
    trainings = [
        (network, seed)
        for seed in seeds
        for network in networks
        if not all(file.has(network=network, seed=seed, size=size) for size in sizes)
    ]
    measure = partial(
        train_and_test, sizes=tuple(sizes), data=data, work_dir=out.with_suffix(''), options=options
    )
    for done, records in enumerate(in_processes(measure, trainings, jobs), start=1):
        file.add(record for record in records if not file.has(**_key(record)))
        report(f'{done} of {len(trainings)}: {_line(records)}')


def check_numbers(
    seeds: Sequence[int], sizes: Sequence[int], options: TrainingOptions, jobs: int
) -> None:
    """Refuse numbers that are not accepted.

    Raises:
        ValueError: With what is accepted.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f'seeds {list(seeds)!r}: distinct integers of at least 0 are accepted')
    if not sizes or min(sizes) < 32 or max(sizes) > IMAGE_SIZE:
        raise ValueError(f'sizes {list(sizes)!r}: numbers from 32 to {IMAGE_SIZE} are accepted')
    for name, value in (*asdict(options).items(), ('jobs', jobs)):
        if value <= 0:
            raise ValueError(f'{name}={value!r}: a number above 0 is accepted')


def _key(record: Record) -> Record:
    return {name: record[name] for name in FIELDS}


def _line(records: Sequence[Record]) -> str:
    first = records[0]
    tests = ', '.join(
        f'{record["policy"]} {record["size"]}: {100 * record["accuracy"]:.1f} %'
        for record in records
    )
    return f'{first["network"]}, seed {first["seed"]}, {first["seconds_train"]:.0f} s: {tests}'


def family_of(network: str) -> type[VisionMLP]:
    """Return the backbone class of a name in :data:`NETWORKS`."""
    return next(family for family in registered_families() if family.__name__ == network)


def classifier_config(network: str, policy: str, **changed: Any) -> dict[str, Any]:
    """Return the config of a network's classifier with ten classes.

    Args:
        network: A name in :data:`NETWORKS`.
        policy: An image-size policy, or :data:`SIZE_FREE`.
        **changed: Fields of the architecture to change.
    """
    family = family_of(network)
    backbone: dict[str, Any] = {
        'type': f'mmvmlp.{network}',
        'arch': {**NETWORKS[network], **changed},
        'out_indices': (-1,),
        'out_norm': family.has_final_norm,
        'resolution': None if policy == SIZE_FREE else policy,
    }
    arguments = {name: value for name, value in backbone.items() if name != 'type'}
    return {
        'type': 'mmpretrain.ImageClassifier',
        'data_preprocessor': {
            'type': 'mmpretrain.ClsDataPreprocessor',
            'mean': [123.675, 116.28, 103.53],
            'std': [58.395, 57.12, 57.375],
            'to_rgb': True,
        },
        'backbone': backbone,
        'neck': {'type': 'mmpretrain.GlobalAveragePooling'},
        'head': {
            'type': 'mmpretrain.LinearClsHead',
            'num_classes': 10,
            'in_channels': family(**arguments).feature_info[-1].channels,
            'loss': {'type': 'mmpretrain.CrossEntropyLoss'},
        },
    }


def train_and_test(
    network: str,
    seed: int,
    *,
    sizes: Sequence[int],
    data: Path,
    work_dir: Path,
    options: TrainingOptions,
) -> list[Record]:
    """Train a network at its native size, and test it at every size with every policy.

    Args:
        network: A name in :data:`NETWORKS`.
        seed: Seed of weights, order and crops.
        sizes: Sides of the test images in pixels.
        data: Folder of the images.
        work_dir: Parent of the folder for log and checkpoint.
        options: Options of the training.

    Returns:
        Records, one for each valid pair of policy and size.
    """
    size_free = family_of(network).size_free
    start = time.monotonic()
    config = classifier_config(network, SIZE_FREE if size_free else 'native')
    trained = train(config, seed, data, work_dir / f'{network}_seed{seed}', options)
    seconds = time.monotonic() - start
    models = {}
    for policy in (SIZE_FREE,) if size_free else POLICIES:
        models[policy] = MODELS.build(classifier_config(network, policy)).eval()
        models[policy].load_state_dict(trained.state_dict())
    records = []
    for size in sizes:
        tested = {
            policy: model
            for policy, model in models.items()
            if policy != 'native' or size == NATIVE_SIZE
        }
        for policy, accuracy in accuracies(tested, data, size).items():
            records.append(
                {
                    'network': network,
                    'seed': seed,
                    'policy': policy,
                    'size': size,
                    'accuracy': accuracy,
                    'images': options.val,
                    'seconds_train': round(seconds, 1),
                    'parameters': sum(p.numel() for p in trained.parameters()),
                }
            )
    return records


def train(
    config: Mapping[str, Any],
    seed: int,
    data: Path,
    work_dir: Path,
    options: TrainingOptions,
    size: int = NATIVE_SIZE,
    load_from: Path | None = None,
) -> nn.Module:
    """Train a classifier.

    Args:
        config: From :func:`classifier_config`.
        seed: Seed of weights, order and crops.
        data: Folder of the images.
        work_dir: Folder for log and checkpoint.
        options: Options of the training.
        size: Side of the images in pixels.
        load_from: Checkpoint of the weights to start from; by default they are random.

    Returns:
        The trained classifier.
    """
    # As on ImageNet, objects vary in size. No flips, since mirrored digits are not digits.
    crop = {
        'type': 'RandomResizedCrop',
        'scale': size,
        'crop_ratio_range': (0.4, 1.0),
        'aspect_ratio_range': (0.9, 1.1),
        'interpolation': 'area',
    }
    # Denormal gradients are slow on CPUs.
    torch.set_flush_denormal(True)
    runner = Runner(
        model=dict(config),
        work_dir=str(work_dir),
        experiment_name=work_dir.name,
        load_from=None if load_from is None else str(load_from),
        train_dataloader=_loader(data, 'train', crop, options.batch_size),
        train_cfg={'by_epoch': True, 'max_epochs': options.epochs},
        optim_wrapper={
            'optimizer': {
                'type': 'AdamW',
                'lr': options.learning_rate,
                'weight_decay': options.weight_decay,
                'fused': True,
            },
            'clip_grad': {'max_norm': 5.0},
            'paramwise_cfg': {'flat_decay_mult': 0.0},
        },
        param_scheduler=_schedule(options),
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': options.epochs}},
        default_scope='mmpretrain',
        randomness={'seed': seed},
        log_level='WARNING',
    )
    runner.train()
    trained: nn.Module = runner.model
    return trained


def _schedule(options: TrainingOptions) -> list[dict[str, Any]]:
    """Return a linear warm-up for 5 % of the steps, followed by half a cosine."""
    steps = options.epochs * -(-options.train // options.batch_size)
    warm_up = max(1, steps // 20)
    return [
        {
            'type': 'LinearLR',
            'start_factor': 0.01,
            'by_epoch': False,
            'begin': 0,
            'end': warm_up,
        },
        {
            'type': 'CosineAnnealingLR',
            'T_max': max(1, steps - warm_up),
            'eta_min_ratio': 0.005,
            'by_epoch': False,
            'begin': warm_up,
            'end': max(steps, warm_up + 1),
        },
    ]


def _loader(data: Path, split: str, resize: Mapping[str, Any], batch_size: int) -> dict[str, Any]:
    return {
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': split == 'train'},
        'collate_fn': {'type': 'default_collate'},
        'dataset': {
            'type': 'CustomDataset',
            'data_root': str(data),
            'data_prefix': split,
            'pipeline': [
                {'type': 'LoadImageFromFile', 'backend_args': {'backend': BACKEND_NAME}},
                dict(resize),
                {'type': 'PackInputs'},
            ],
        },
    }


@torch.inference_mode()
def accuracies(models: Mapping[str, Any], data: Path, size: int) -> dict[str, float]:
    """Return the accuracy of each model on validation images of a size.

    Args:
        models: Classifiers by name, in evaluation mode.
        data: Folder of the images.
        size: Side of the images in pixels.
    """
    init_default_scope('mmpretrain')
    resize = {'type': 'Resize', 'scale': (size, size), 'interpolation': 'area'}
    loader = Runner.build_dataloader(_loader(data, 'val', resize, VAL_BATCH_SIZE))
    right = dict.fromkeys(models, 0)
    for batch in loader:
        for policy, model in models.items():
            right[policy] += sum(
                int(sample.pred_label == sample.gt_label) for sample in model.test_step(batch)
            )
    return {policy: count / len(loader.dataset) for policy, count in right.items()}

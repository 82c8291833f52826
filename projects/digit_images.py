"""Images of one digit in memory, and training and testing of classifiers on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.datasets.digit_scenes import make_digit_scenes

CONFIG = 'mmvmlp::classify_hire_mlp_t_digits.py'
"""Images of the studies, and all of their classifiers but the networks."""

SIZE = 32
MARGIN = 4
WARM_UP = 0.05
"""Share of a training in which the learning rate increases, before it falls as half a cosine."""


@dataclass(frozen=True)
class TrainingOptions:
    """Options common to all trainings of a study.

    Attributes:
        train: Number of training images.
        val: Number of validation images, used for testing.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW, after the warm-up.
        weight_decay: Weight decay of all parameters except vectors.
    """

    train: int = 10000
    val: int = 1000
    batch_size: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 0.05

    def check(self) -> None:
        """Refuse numbers that are not positive.

        Raises:
            ValueError: With the name of the option.
        """
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f'{name}={value!r}: a number above 0 is accepted')


class DigitImages(Dataset[dict[str, Any]]):
    """Images of a split in memory: reading them takes longer than a step of a small network.

    Args:
        settings: Data set of the config.
        augment: True to shift each image by up to a margin, and to invert every second.
    """

    metainfo: Mapping[str, Any] = {}

    def __init__(self, settings: Mapping[str, Any], augment: bool) -> None:
        self.items: list[dict[str, Any]] = list(DATASETS.build(settings))
        self.augment = augment

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.items[index]
        if not self.augment:
            return item
        shifts = 2 * MARGIN + 1
        top, left, invert = (int(torch.randint(end, ())) for end in (shifts, shifts, 2))
        padded = F.pad(item['inputs'][None].float(), [MARGIN] * 4, mode='replicate')[0]
        image = padded[:, top : top + SIZE, left : left + SIZE]
        return {**item, 'inputs': 255 - image if invert else image}


def make_digit_images(data: Path, options: TrainingOptions) -> None:
    """Generate the images where they are missing.

    Raises:
        FileExistsError: If `data` has other contents.
    """
    make_digit_scenes(
        data,
        'imagenet',
        options.train,
        options.val,
        SIZE,
        digits_per_scene=(1, 1),
        digit_height=(0.75, 0.95),
        progress=False,
    )


def read_digit_images(data: Path, augment: bool) -> tuple[Config, DigitImages, DigitImages]:
    """Read the images.

    Args:
        data: Folder of the images.
        augment: True to shift and invert those of train at random.

    Returns:
        The config, and the images of train and val.
    """
    config = load_config(CONFIG)
    set_data_root(config, data)
    init_default_scope(config.default_scope)
    # mmengine logs the weight decay of every parameter.
    MMLogger.get_current_instance().setLevel('WARNING')
    pipeline = config.test_dataloader.dataset.pipeline
    train, val = (
        DigitImages(
            {**config[f'{split}_dataloader'].dataset, 'pipeline': pipeline},
            augment and split == 'train',
        )
        for split in ('train', 'val')
    )
    return config, train, val


def classifier(config: Config, backbone: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """Return the config's classifier with another backbone, which emits some channels."""
    settings = config.to_dict()
    return {
        **settings['model'],
        'data_preprocessor': settings['data_preprocessor'],
        'backbone': dict(backbone),
        'head': {**settings['model']['head'], 'in_channels': channels},
    }


def train(
    model: Any,
    images: DigitImages,
    seed: int,
    options: TrainingOptions,
    spent: Callable[[int], float],
) -> int:
    """Train a model.

    Args:
        model: Classifier.
        images: Training images.
        seed: Seed of their order.
        options: Options of the training.
        spent: Returns the share of the training that is over after a number of steps.

    Returns:
        Number of steps.
    """
    # Denormal gradients are slow on CPUs.
    torch.set_flush_denormal(True)
    wrapper = build_optim_wrapper(
        model,
        {
            'optimizer': {
                'type': 'AdamW',
                'lr': options.learning_rate,
                'weight_decay': options.weight_decay,
                'fused': True,
            },
            'clip_grad': {'max_norm': 5.0},
            'paramwise_cfg': {'flat_decay_mult': 0.0},
        },
    )
    loader = _loader(images, options.batch_size, seed)
    model.train()
    steps = 0
    for batch in _endless(loader):
        share = spent(steps)
        if share >= 1:
            break
        for group in wrapper.optimizer.param_groups:
            group['lr'] = options.learning_rate * _rate(share)
        model.train_step(batch, wrapper)
        steps += 1
    return steps


@torch.inference_mode()
def accuracy(model: Any, images: DigitImages) -> float:
    """Return a model's share of images with the right class."""
    model.eval()
    right = sum(
        int(sample.pred_label == sample.gt_label)
        for batch in _loader(images, batch_size=100)
        for sample in model.test_step(batch)
    )
    return right / len(images)


def _loader(images: DigitImages, batch_size: int, seed: int | None = None) -> DataLoader[Any]:
    settings = {
        'dataset': images,
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': seed is not None},
        'collate_fn': {'type': 'default_collate'},
    }
    loader: DataLoader[Any] = Runner.build_dataloader(settings, seed=seed)
    return loader


def _rate(spent: float) -> float:
    """Return the share of the peak learning rate: a linear warm-up, then half a cosine."""
    if spent < WARM_UP:
        return max(0.01, spent / WARM_UP)
    return (1 + math.cos(math.pi * (spent - WARM_UP) / (1 - WARM_UP))) / 2


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        yield from loader
        epoch += 1

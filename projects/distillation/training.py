"""Accuracy of a small student trained by itself and from a teacher, for the same time.

Time is that of the processor, so that other load on the machine changes nothing: a distilled
student pays for the predictions of its teacher with steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner, set_random_seed
from torch.utils.data import DataLoader, Dataset

from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.engine.distillation import DistilledClassifier

Record = dict[str, Any]

CONFIG = 'mmvmlp::classify_hire_mlp_t_digits.py'
"""Images of the study, and all of its classifiers but the networks."""

NUM_CLASSES = 10
SIZE = 32
MARGIN = 4
STUDENT: dict[str, Any] = {
    'backbone': {
        'type': 'mmvmlp.ResMLP',
        'arch': {'depth': 4, 'channels': 96, 'patch_size': 8, 'image_size': SIZE},
        'out_indices': (-1,),
        'out_norm': True,
    },
    'channels': 96,
}
# A convolutional network, as the teacher of ResMLP's authors is.
TEACHER: dict[str, Any] = {
    'backbone': {
        'type': 'ResNet_CIFAR',
        'depth': 18,
        'stem_channels': 16,
        'base_channels': 16,
        'strides': (2, 2, 2, 2),
    },
    'channels': 128,
}
METHODS: dict[str, dict[str, Any]] = {
    'plain': {},
    'hard': {'distillation': 'hard'},
    'soft': {'distillation': 'soft'},
}
"""Arguments of the distillation by method; none for training on the labels alone."""

WARM_UP = 0.05


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the study.

    Attributes:
        teacher_seconds: Processor time for training the teacher.
        student_seconds: Processor time for training each student, with all it computes and reads.
        train: Number of training images.
        val: Number of validation images, used for testing.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW, after a warm-up for 5 % of the time.
        weight_decay: Weight decay of all parameters except vectors.
    """

    teacher_seconds: float = 60
    student_seconds: float = 25
    train: int = 10000
    val: int = 1000
    batch_size: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 0.05


class DigitImages(Dataset[dict[str, Any]]):
    """Images of a split in memory: reading them takes longer than a step of the student.

    Args:
        settings: Data set of the config.
        augment: Whether to shift each image by up to a margin, and to invert every second.
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


def train_all(
    data: Path,
    work_dir: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    options: TrainingOptions | None = None,
    report: Callable[[str], None] = print,
) -> list[Record]:
    """Train the teacher once, and the student once per method and seed; test all of them.

    Args:
        data: Folder of the images; generated if missing.
        work_dir: Folder for the teacher's config and checkpoint.
        seeds: Seeds of the students' weights, order and crops; the images are the same for all.
        options: Options of the trainings.
        report: Called with a line after every training.

    Raises:
        FileExistsError: If `data` has other contents.
        ValueError: If an argument is not accepted.
    """
    options = options or TrainingOptions()
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f'seeds {list(seeds)!r}: distinct integers of at least 0 are accepted')
    for name, value in asdict(options).items():
        if value <= 0:
            raise ValueError(f'{name}={value!r}: a number above 0 is accepted')
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
    config = load_config(CONFIG)
    set_data_root(config, data)
    init_default_scope(config.default_scope)
    # mmengine logs the weight decay of every parameter.
    MMLogger.get_current_instance().setLevel('WARNING')

    pipeline = config.test_dataloader.dataset.pipeline
    images, tested = (
        DigitImages(
            {**config[f'{split}_dataloader'].dataset, 'pipeline': pipeline}, split == 'train'
        )
        for split in ('train', 'val')
    )

    def train(method: str, seed: int, model: dict[str, Any], seconds: float) -> Record:
        set_random_seed(seed)
        built = MODELS.build(model)
        built.init_weights()
        steps = _train(built, images, seed, seconds, options)
        record = {
            'method': method,
            'seed': seed,
            'accuracy': _accuracy(built, tested),
            'steps': steps,
            'seconds': seconds,
            'parameters': sum(parameter.numel() for parameter in built.parameters()),
        }
        if method == 'teacher':
            torch.save({'state_dict': built.state_dict()}, work_dir / 'teacher.pth')
        report(f'{method}, seed {seed}: {100 * record["accuracy"]:.1f} % after {steps} steps')
        return record

    work_dir.mkdir(parents=True, exist_ok=True)
    teacher = _classifier(config, TEACHER)
    Config({'default_scope': config.default_scope, 'model': teacher}).dump(work_dir / 'teacher.py')
    records = [train('teacher', 0, teacher, options.teacher_seconds)]
    settings = {
        'type': DistilledClassifier,
        'teacher': {
            'model': str(work_dir / 'teacher.py'),
            'checkpoint': str(work_dir / 'teacher.pth'),
        },
    }
    for seed in seeds:
        for method, arguments in METHODS.items():
            distilled = {**settings, **arguments} if arguments else {}
            model = {**_classifier(config, STUDENT), **distilled}
            records.append(train(method, seed, model, options.student_seconds))
    return records


def _classifier(config: Config, network: dict[str, Any]) -> dict[str, Any]:
    model = config.to_dict()['model']
    return {
        **model,
        'data_preprocessor': config.to_dict()['data_preprocessor'],
        'backbone': network['backbone'],
        'head': {**model['head'], 'in_channels': network['channels']},
    }


def _train(
    model: Any, images: DigitImages, seed: int, seconds: float, options: TrainingOptions
) -> int:
    """Train a model for a time, and return the number of steps."""
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
    start, steps = time.process_time(), 0
    for batch in _endless(loader):
        spent = (time.process_time() - start) / seconds
        if spent >= 1:
            break
        for group in wrapper.optimizer.param_groups:
            group['lr'] = options.learning_rate * _rate(spent)
        model.train_step(batch, wrapper)
        steps += 1
    return steps


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


@torch.inference_mode()
def _accuracy(model: Any, images: DigitImages) -> float:
    model.eval()
    right = sum(
        int(sample.pred_label == sample.gt_label)
        for batch in _loader(images, batch_size=100)
        for sample in model.test_step(batch)
    )
    return right / len(images)

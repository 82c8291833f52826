"""Accuracy of a small student trained by itself and from a teacher, for the same time.

Time is that of the processor, so that other load on the machine changes nothing: a distilled
student pays for the predictions of its teacher with steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed

from mmvmlp.engine.distillation import DistilledClassifier
from projects import digit_images
from projects.digit_images import (
    SIZE,
    accuracy,
    classifier,
    make_digit_images,
    read_digit_images,
)

Record = dict[str, Any]

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


@dataclass(frozen=True)
class TrainingOptions(digit_images.TrainingOptions):
    """Options of the study.

    Attributes:
        teacher_seconds: Processor time for training the teacher.
        student_seconds: Processor time for training each student, with all it computes and reads.
    """

    teacher_seconds: float = 60
    student_seconds: float = 25


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
    options.check()
    make_digit_images(data, options)
    config, images, tested = read_digit_images(data, augment=True)

    def train(method: str, seed: int, model: dict[str, Any], seconds: float) -> Record:
        set_random_seed(seed)
        built = MODELS.build(model)
        built.init_weights()
        start = time.process_time()
        steps = digit_images.train(
            built, images, seed, options, lambda steps: (time.process_time() - start) / seconds
        )
        record = {
            'method': method,
            'seed': seed,
            'accuracy': accuracy(built, tested),
            'steps': steps,
            'seconds': seconds,
            'parameters': sum(parameter.numel() for parameter in built.parameters()),
        }
        if method == 'teacher':
            torch.save({'state_dict': built.state_dict()}, work_dir / 'teacher.pth')
        report(f'{method}, seed {seed}: {100 * record["accuracy"]:.1f} % after {steps} steps')
        return record

    work_dir.mkdir(parents=True, exist_ok=True)
    teacher = classifier(config, **TEACHER)
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
            model = {**classifier(config, **STUDENT), **distilled}
            records.append(train(method, seed, model, options.student_seconds))
    return records

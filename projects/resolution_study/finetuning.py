"""Fine-tuning at a larger image size: `resize`, and weights resampled to that size (FixRes).

Each network is trained at its native size. Two copies of its weights are then fine-tuned at a
larger size, with the same images and steps: one with the image-size policy `resize`, and one whose
token mixing is resampled to that size on loading. Before fine-tuning, both give the same outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from mmengine.registry import MODELS, init_default_scope

from mmvmlp import load_checkpoint
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from projects.records import Record, RecordFile, check_names
from projects.resolution_study.classification import (
    FIELDS,
    IMAGE_SIZE,
    NATIVE_SIZE,
    NETWORKS,
    TrainingOptions,
    accuracies,
    check_numbers,
    classifier_config,
    train,
)

FINE_TUNED = ('SMLPNet', 'ResMLP', 'MLPMixer')
SIZE = 96
WAYS = ('resize', 'resampled')


@dataclass(frozen=True)
class FineTuningOptions(TrainingOptions):
    """Options of trainings and fine-tunings.

    Attributes:
        fine_tuning_epochs: Number of epochs at the larger size.
        fine_tuning_rate: Peak learning rate at the larger size.
    """

    train: int = 2000
    val: int = 500
    epochs: int = 5
    batch_size: int = 10
    learning_rate: float = 3e-3
    fine_tuning_epochs: int = 1
    fine_tuning_rate: float = 1e-3


def fine_tune(
    out: Path,
    data: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    networks: Sequence[str] = FINE_TUNED,
    size: int = SIZE,
    options: FineTuningOptions | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Train each network once per seed, and fine-tune it in both ways.

    Args:
        out: JSON file of the records; trainings recorded there are skipped. Logs and checkpoints go
            into a folder next to it with the same name.
        data: Folder of the images; generated if missing.
        seeds: Seeds of weights, order and crops; the images are the same for all.
        networks: Names in ``NETWORKS`` of networks with a native size.
        size: Side of the larger images in pixels, a native size of these networks.
        options: Options of the trainings.
        report: Called with a line after every network and seed.

    Raises:
        FileExistsError: If `data` has other contents.
        ValueError: If an argument is not accepted, or `out` has records with other settings.
    """
    options = options or FineTuningOptions()
    check_names('networks', networks, FINE_TUNED)
    check_numbers(seeds, [size], options, jobs=1)
    settings = {
        **asdict(options),
        'size': size,
        'native_size': NATIVE_SIZE,
        'image_size': IMAGE_SIZE,
        'architectures': {network: NETWORKS[network] for network in networks},
    }
    file = RecordFile(out, settings, FIELDS)
    make_digit_scenes(data, 'imagenet', options.train, options.val, IMAGE_SIZE, progress=False)
    for seed in seeds:
        for network in networks:
            if file.has(network=network, seed=seed):
                continue
            work_dir = out.with_suffix('') / f'{network}_seed{seed}'
            records = _train_and_fine_tune(network, seed, data, work_dir, size, options)
            file.add(records)
            found = ', '.join(f'{r["policy"]} {100 * r["accuracy"]:.1f} %' for r in records)
            report(f'{network}, seed {seed}: {found}')


def _train_and_fine_tune(
    network: str, seed: int, data: Path, work_dir: Path, size: int, options: FineTuningOptions
) -> list[Record]:
    trained = train(classifier_config(network, 'native'), seed, data, work_dir / 'native', options)
    trained.eval()
    at_native_size = accuracies({'native': trained}, data, NATIVE_SIZE)['native']
    fine_tuning = TrainingOptions(
        options.train,
        options.val,
        options.fine_tuning_epochs,
        options.batch_size,
        options.fine_tuning_rate,
        options.weight_decay,
    )
    records = []
    for way in WAYS:
        resampled = way == 'resampled'
        config = (
            classifier_config(network, 'native', image_size=size)
            if resampled
            else classifier_config(network, 'resize')
        )
        init_default_scope('mmpretrain')
        start = MODELS.build(config).eval()
        load_checkpoint(start, trained.state_dict(), resample_tokens=resampled)
        before = accuracies({way: start}, data, size)[way]
        file = work_dir / f'{way}.pth'
        torch.save({'state_dict': start.state_dict()}, file)
        begin = time.monotonic()
        tuned = train(config, seed, data, work_dir / way, fine_tuning, size, load_from=file).eval()
        records.append(
            {
                'network': network,
                'seed': seed,
                'policy': way,
                'size': size,
                'accuracy': accuracies({way: tuned}, data, size)[way],
                'accuracy_before': before,
                'accuracy_native': at_native_size,
                'images': options.val,
                'seconds_train': round(time.monotonic() - begin, 1),
                'parameters': sum(p.numel() for p in tuned.parameters()),
            }
        )
    return records

"""Train the variants of the ablations on images of one digit, all for the same number of steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

from mmengine.registry import MODELS
from mmengine.runner import set_random_seed

from mmvmlp.backbones.base import registered_families
from projects import digit_images
from projects.ablations.published import ABLATIONS, Variant
from projects.processes import in_processes
from projects.records import Record, RecordFile, check_names

FIELDS = ('network', 'variant', 'seed')
"""Fields that identify a record."""


@dataclass(frozen=True)
class TrainingOptions(digit_images.TrainingOptions):
    """Options of the study.

    Attributes:
        val: Number of validation images, used for testing.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW, after the warm-up.
        steps: Number of steps of each training.
    """

    val: int = 2000
    batch_size: int = 32
    learning_rate: float = 3e-3
    steps: int = 500


def train_ablations(
    names: Sequence[str],
    out: Path,
    data: Path,
    *,
    seeds: int = 3,
    options: TrainingOptions | None = None,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> None:
    """Train the variants of some ablations, and what they are compared with, once per seed.

    Args:
        names: Names in :data:`~projects.ablations.published.ABLATIONS`.
        out: JSON file of the records; trainings recorded there are not repeated.
        data: Folder of the images; generated if missing.
        seeds: Number of seeds, from 0.
        options: Options of the trainings.
        jobs: Trainings side by side, in processes that share the cores.
        report: Called with a line after every training.

    Raises:
        FileExistsError: If `data` has other contents.
        ValueError: If an argument is not accepted, or `out` has records with other settings.
    """
    options = options or TrainingOptions()
    check_names('ablations', names, ABLATIONS)
    for name, value in (('seeds', seeds), ('jobs', jobs)):
        if value <= 0:
            raise ValueError(f'{name}={value!r}: a number above 0 is accepted')
    options.check()
    variants = {
        (ablation.network, variant.name): variant
        for ablation in (ABLATIONS[name] for name in names)
        for variant in (Variant('default'), ablation.reference, *ablation.variants)
    }
    backbones = {
        f'{network}: {name}': variant.backbone(network)
        for (network, name), variant in variants.items()
    }
    file = RecordFile(out, {**asdict(options), 'backbones': backbones}, FIELDS)
    digit_images.make_digit_images(data, options)
    trainings = [
        (network, variant, seed)
        for seed in range(seeds)
        for (network, _), variant in variants.items()
        if not file.has(network=network, variant=variant.name, seed=seed)
    ]
    measure = partial(train_and_test, data=data, options=options)
    for done, record in enumerate(in_processes(measure, trainings, jobs), start=1):
        file.add([record])
        report(
            f'{done} of {len(trainings)}: {record["network"]}, {record["variant"]}, '
            f'seed {record["seed"]}: {100 * record["accuracy"]:.1f} %, {record["seconds"]:.0f} s'
        )


# A process reads the images once for all of its trainings. These see most images once or twice:
# there is no need for augmentation.
_read = cache(partial(digit_images.read_digit_images, augment=False))


def train_and_test(
    network: str, variant: Variant, seed: int, *, data: Path, options: TrainingOptions
) -> Record:
    """Train a variant of a network, and test it.

    Args:
        network: Class of the network.
        variant: Variant of the network.
        seed: Seed of weights and order.
        data: Folder of the images.
        options: Options of the training.
    """
    config, images, tested = _read(data)
    family = next(each for each in registered_families() if each.__name__ == network)
    arguments = {**variant.backbone(network), 'out_norm': family.has_final_norm}
    channels = family(**arguments).feature_info[-1].channels
    backbone = {'type': f'mmvmlp.{network}', **arguments}
    set_random_seed(seed)
    model = MODELS.build(digit_images.classifier(config, backbone, channels))
    model.init_weights()
    start = time.process_time()
    digit_images.train(model, images, seed, options, lambda steps: steps / options.steps)
    seconds = time.process_time() - start
    return {
        'network': network,
        'variant': variant.name,
        'seed': seed,
        'accuracy': digit_images.accuracy(model, tested),
        'parameters': sum(parameter.numel() for parameter in model.parameters()),
        'seconds': round(seconds, 1),
    }

"""Random numbers and data order that do not depend on interruptions.

mmengine restores the seed after the data loader is built, restores no random states, and begins
an interrupted epoch anew.
"""

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import IterableDataset

from mmvmlp.registry import HOOKS

LOADING, STEP, EPOCH = 0, 1, 2


def seed_random_numbers(*numbers: int) -> None:
    """Seed Python, NumPy and torch, on all devices, with a mixture of non-negative numbers."""
    state = np.random.SeedSequence(numbers).generate_state(4)
    np.random.seed(state)
    mixed = int.from_bytes(state[:2].tobytes(), 'little')
    random.seed(mixed)
    torch.manual_seed(mixed)


class SeededBatch(list[Any]):
    """Indices of a batch, which seed the random numbers of whoever loads it.

    Batches are loaded in any worker process or in the main process, after any other.

    Args:
        indices: Indices of the samples.
        seed: Seed of the batch.
    """

    def __init__(self, indices: list[Any], seed: tuple[int, ...]) -> None:
        super().__init__(indices)
        self.seed = seed

    def __iter__(self) -> Iterator[Any]:
        """Seed, then iterate the indices, as the data loader does to load them."""
        seed_random_numbers(*self.seed)
        return super().__iter__()

    def __reduce__(self) -> Any:
        # The default iterates, and would seed the main process on the way to a worker.
        return type(self), (self[:], self.seed)


class SeededBatches:
    """A batch sampler whose batches have seeds of their own, and which can skip batches.

    Args:
        batch_sampler: The batch sampler of the data loader.
    """

    def __init__(self, batch_sampler: Any) -> None:
        self.batch_sampler = batch_sampler
        self.seed: tuple[int, int] = (0, 0)
        self.number = 0
        self.skipped = 0

    def __iter__(self) -> Iterator[SeededBatch]:
        for indices in islice(self.batch_sampler, self.skipped, None):
            yield SeededBatch(list(indices), (LOADING, *self.seed, self.number))
            self.number += 1

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        # Such as `sampler` and `batch_size`, for whoever asks the data loader's batch sampler.
        if name == 'batch_sampler':
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes a resumed training equal to one without interruption, bit for bit on the CPU.

    Each batch is loaded, and each step computed, with random numbers that depend only on the seed,
    the iteration and the rank: not on the number of workers, on validation, or on what was drawn
    before. Training that resumes inside an epoch continues with the next batch and does not read
    those before. What a pipeline keeps from image to image, such as the cache of ``CachedMosaic``,
    is not restored.
    """

    # Before other hooks draw random numbers in an iteration.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.position = 0
        self.batches: SeededBatches | None = None

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Take the sampler's seed and the position in the epoch from a checkpoint to resume."""
        meta = checkpoint.get('meta')
        if not runner._resume or not isinstance(meta, dict):
            return
        loader = runner.train_dataloader
        seed, sampler = meta.get('sampler_seed', meta.get('seed')), _sampler(loader)
        if isinstance(seed, int) and hasattr(sampler, 'seed'):
            sampler.seed = seed
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        position = meta.get('iter', 0) - meta.get('epoch', 0) * len(loader)
        if meta.get('batches_per_epoch') == len(loader):
            self.position = min(max(position, 0), len(loader))
        elif position:
            runner.logger.warning(
                f'Epoch {meta.get("epoch", 0) + 1} begins anew: the checkpoint does not record '
                f'that an epoch had {len(loader)} batches.'
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Record what the next batches depend on."""
        loader = runner.train_dataloader
        checkpoint['meta'].update(
            batches_per_epoch=len(loader),
            sampler_seed=getattr(_sampler(loader), 'seed', None),
        )

    def before_train(self, runner: Any) -> None:
        """Put the seeds between batch sampler and data loader.

        Raises:
            ValueError: If processes begin at different iterations.
        """
        if len(set(beginnings := all_gather_object(runner.iter))) > 1:
            raise ValueError(
                f'work_dir={runner.work_dir!r}: processes begin after iterations {beginnings}; on '
                'several machines, the work folder must be on a file system that all of them share'
            )
        loop, loader = runner.train_loop, runner.train_dataloader
        if loader.batch_sampler is None or isinstance(loader.dataset, IterableDataset):
            return
        self.batches = batches = SeededBatches(loader.batch_sampler)
        # The loader's own assignment is refused once it is built.
        object.__setattr__(loader, 'batch_sampler', batches)
        if self.position:
            run_iter = loop.run_iter
            # The loop counts batches from 0 in every epoch.
            loop.run_iter = lambda index, batch: run_iter(index + batches.skipped, batch)

    def before_train_epoch(self, runner: Any) -> None:
        """Seed the order of an epoch, and skip its batches from before the interruption."""
        # Samplers of torch have no seed of their own.
        seed_random_numbers(EPOCH, runner.seed, runner.rank, runner.epoch)
        if self.batches is None:
            return
        self.batches.seed = (runner.seed, runner.rank)
        self.batches.skipped, self.position = self.position, 0
        # Loops by iteration advance the sampler, or draw from the batch sampler all that were
        # trained.
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        advanced = by_epoch or hasattr(runner.train_dataloader.sampler, 'skip')
        self.batches.number = runner.iter if advanced else 0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the random numbers of the step, such as those of drop path."""
        seed_random_numbers(STEP, runner.seed, runner.rank, runner.iter)


def _sampler(loader: Any) -> Any:
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)

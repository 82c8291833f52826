"""Comparison of a checkpoint's tensors with those of a model."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mmvmlp.checkpoints.reading import SHOWN_KEYS, CheckpointError

NamedTensors = dict[str, tuple[str, torch.Tensor]]
"""By key of the model: the original key in the checkpoint, and the tensor in the model's layout."""


@dataclass(frozen=True)
class CheckpointReport:
    """Result of loading a checkpoint into a model, by key.

    Attributes:
        source: Recognised format, and the file if any.
        matched: Keys of the model that were loaded.
        missing: Keys of the model that the checkpoint lacks.
        unexpected: Original keys of the checkpoint that the model lacks.
        mismatched: Keys of the model with a different shape, with the checkpoint's and the model's
            shape.
    """

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    def __str__(self) -> str:
        """Return one line per kind of result, with its first keys."""
        shapes = [f'{key} {theirs} (model: {ours})' for key, theirs, ours in self.mismatched]
        lines = [f'{self.source}: {len(self.matched)} tensors loaded']
        for kind, keys in (
            ('missing in the checkpoint', self.missing),
            ('unexpected in the checkpoint', self.unexpected),
            ('of different shape', shapes),
        ):
            if keys:
                more = f', ... ({len(keys)} in all)' if len(keys) > SHOWN_KEYS else ''
                lines.append(f'  {kind}: {", ".join(keys[:SHOWN_KEYS])}{more}')
        return '\n'.join(lines)


def compare(
    source: str, named: NamedTensors, expected: Mapping[str, torch.Tensor]
) -> CheckpointReport:
    """Compare tensors with those that a model expects.

    Args:
        source: Format or file to name.
        named: Tensors of the checkpoint.
        expected: Tensors of the model.

    Raises:
        CheckpointError: If a tensor differs in kind.
    """
    for key, (own, tensor) in named.items():
        if key in expected and tensor.is_floating_point() != expected[key].is_floating_point():
            raise CheckpointError(
                f"{source}: tensor {own!r} is {tensor.dtype}, the model's is {expected[key].dtype}"
            )
    fits = {
        key: key in expected and tensor.shape == expected[key].shape
        for key, (_, tensor) in named.items()
    }
    return CheckpointReport(
        source=source,
        matched=tuple(key for key in expected if fits.get(key)),
        missing=tuple(key for key in expected if key not in named),
        unexpected=tuple(own for key, (own, _) in named.items() if key not in expected),
        mismatched=tuple(
            (key, tuple(tensor.shape), tuple(expected[key].shape))
            for key, (_, tensor) in named.items()
            if key in expected and not fits[key]
        ),
    )


def refuse_if_different(report: CheckpointReport, model: nn.Module, advice: str) -> None:
    """Refuse a checkpoint that does not match the whole model.

    Raises:
        CheckpointError: With the advice, and the first keys that do not fit.
    """
    if report.missing or report.mismatched or report.unexpected:
        raise CheckpointError(
            f'the checkpoint does not fit this {type(model).__name__}; {advice}\n{report}'.replace(
                'tensors loaded', 'tensors fit'
            )
        )

"""Verify a checkpoint file: its hash, what it holds, and whether it covers a model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mmvmlp.backbones.base import find_backbone
from mmvmlp.checkpoints.loading import load_checkpoint
from mmvmlp.checkpoints.networks import recognise_network
from mmvmlp.checkpoints.published import checkpoint_file, sha256_of
from mmvmlp.checkpoints.reading import CheckpointError, extract_state_dict, read_checkpoint
from mmvmlp.checkpoints.report import CheckpointReport

HASH_IN_NAME = re.compile(r'-([0-9a-f]{8})(?:\.\w+)+$')
"""End of a file name with the first digits of its SHA-256, as OpenMMLab and PyTorch name files."""


@dataclass(frozen=True)
class Verification:
    """Result of verifying a checkpoint file.

    Attributes:
        file: The file.
        sha256: Its SHA-256.
        hash_sources: Where else this hash is known from; empty if from nowhere.
        tensors: Number of tensors.
        parameters: Number of their elements.
        network: Name of the network and format; empty if it is no published architecture.
        report: What matched a model, if one was given.
        problems: What is wrong; empty if nothing is.
    """

    file: Path
    sha256: str
    hash_sources: tuple[str, ...] = ()
    tensors: int = 0
    parameters: int = 0
    network: str = ''
    report: CheckpointReport | None = None
    problems: tuple[str, ...] = ()


def verify_checkpoint(
    checkpoint: str | Path, model: nn.Module | None = None, sha256: str | None = None
) -> Verification:
    """Verify a checkpoint; the file is read safely, and its values must be finite.

    Args:
        checkpoint: A file, or the name of published weights.
        model: Model that the checkpoint should cover: wholly if it has weights of its other parts,
            or else the backbone. The weights are loaded into it.
        sha256: Expected SHA-256, or at least its first 8 digits; digits in the file's name, and a
            file ``.sha256`` beside it, are compared in any case.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If an argument is not accepted.
    """
    if sha256 is not None and not re.fullmatch(r'[0-9a-fA-F]{8,64}', sha256):
        raise ValueError(f'sha256={sha256!r}: 8 to 64 hexadecimal digits are accepted')
    if '://' in str(checkpoint):
        raise ValueError(f'checkpoint {str(checkpoint)!r}: a file is accepted; download it first')
    file = Path(checkpoint_file(checkpoint)).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f'checkpoint {str(file)!r} does not exist')
    digest, known = sha256_of(file), known_hashes(file, sha256)
    problems = hash_problems(digest, known)
    try:
        tensors = extract_state_dict(read_checkpoint(file), file)
    except CheckpointError as error:
        return Verification(file, digest, tuple(known), problems=(*problems, str(error)))
    report = None
    if model is not None:
        try:
            report = load_checkpoint(model, tensors)
        except CheckpointError as error:
            problems.append(str(error))
        else:
            problems += _gaps(report, model)
    return Verification(
        file=file,
        sha256=digest,
        hash_sources=tuple(known),
        tensors=len(tensors),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        network=_network(tensors),
        report=report,
        problems=tuple(problems),
    )


def known_hashes(file: Path, given: str | None = None) -> dict[str, str]:
    """Return the SHA-256 of a file, or its first digits, by where it is known from."""
    known = {} if given is None else {'sha256': given}
    if match := HASH_IN_NAME.search(file.name):
        known['its name'] = match[1]
    record = file.with_name(f'{file.name}.sha256')
    if record.is_file():
        words = record.read_text(encoding='utf-8').split()
        known[record.name] = words[0] if words else 'nothing'
    return known


def hash_problems(digest: str, known: Mapping[str, str]) -> list[str]:
    """Return how the SHA-256 of a file differs from what is known of it."""
    return [
        f'its SHA-256 is {digest}, but {source} has {expected}'
        for source, expected in known.items()
        if not digest.startswith(expected.lower())
    ]


def _network(tensors: dict[str, torch.Tensor]) -> str:
    try:
        found = recognise_network(tensors)
    except CheckpointError:
        return ''
    return f'{found.name}, {"mmvmlp" if found.official is None else found.official.name}'


def _gaps(report: CheckpointReport, model: nn.Module) -> list[str]:
    """Return what a checkpoint of a whole model lacks; one of a backbone may lack the rest."""
    _, prefix = find_backbone(model)
    of_others = [key for key in report.matched if not key.startswith(prefix)]
    complete = not (report.missing or report.unexpected or report.mismatched)
    if complete or (not of_others and not report.mismatched):
        return []
    return [f'it does not cover this {type(model).__name__}\n{report}']

"""Outputs of official networks, from ``tests/data/parity``, and the weights that gave them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mmvmlp
from development.parity_rules import images, official_tensor, thinned
from mmvmlp.checkpoints import convert_tensors

FOLDER = Path(__file__).parent / 'data' / 'parity'
TOLERANCE = 1e-9
"""Relative L2 error in float64 that a network may have."""


def _description(model: str, folder: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads((folder / f'{model}.json').read_text())
    return description


def official_state_dict(
    model: str, *, extra_norms: bool = False, folder: Path = FOLDER
) -> dict[str, torch.Tensor]:
    """Return the official state dict of a model, with the dense backbone's norms if asked for."""
    description = _description(model, folder)
    shapes = dict(description['shapes'])
    if extra_norms:
        shapes.update(description['extra_norm_shapes'])
    return {key: official_tensor(key, shape) for key, shape in shapes.items()}


def official_checkpoint(
    model: str, *, extra_norms: bool = False, folder: Path = FOLDER
) -> dict[str, Any]:
    """Return the official state dict as published files hold it: nested, or as it is."""
    tensors = official_state_dict(model, extra_norms=extra_norms, folder=folder)
    nested_under = _description(model, folder).get('nested_under')
    return {nested_under: tensors} if nested_under else tensors


@dataclass(frozen=True)
class ParityCase:
    """One array of a model's outputs, and what it is the output for."""

    model: str
    name: str
    kind: str
    level: int
    height: int
    width: int
    seed: int
    folder: Path = FOLDER

    @property
    def tolerance(self) -> float:
        """The relative L2 error that is accepted of this model."""
        return float(_description(self.model, self.folder).get('tolerance', TOLERANCE))

    def expected(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the official network's output."""
        with np.load(self.folder / f'{self.model}.npz') as arrays:
            return arrays[self.name]

    def images(self) -> torch.Tensor:
        """Return the images it was computed for."""
        return images(2 if self.kind == 'logits' else 1, self.height, self.width, self.seed)

    def output_of_block(self, backbone: mmvmlp.VisionMLP) -> torch.Tensor:
        """Return the map of the block whose number, over all stages, is the case's level."""
        block = [block for stage in backbone.stages for block in stage.blocks][self.level]
        outputs: list[torch.Tensor] = []
        with block.register_forward_hook(lambda *call: outputs.append(call[-1])):
            backbone(self.images())
        return outputs[0]

    def relative_error(self, output: torch.Tensor) -> float:
        """Return the relative L2 error of our output, whole, thinned here as the array is."""
        kept = thinned(output) if output.ndim == 4 else output
        ours, expected = kept.detach().numpy(), self.expected()
        assert ours.shape == expected.shape
        return float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))


def parity_cases(folder: Path = FOLDER) -> list[ParityCase]:
    """List the arrays there are in a folder, of all models."""
    pattern = re.compile(r'([a-z]+)(\d*)_(\d+)x(\d+)_seed(\d+)')
    cases = []
    for file in sorted(folder.glob('*.npz')):
        with np.load(file) as arrays:
            for name in arrays.files:
                match = pattern.fullmatch(name)
                assert match, name
                kind, *digits = match.groups()
                numbers = (int(number or 0) for number in digits)
                cases.append(ParityCase(file.stem, name, kind, *numbers, folder=folder))
    return cases


def assert_converts_there_and_back(
    published: Mapping[str, torch.Tensor], name: str | None = None
) -> None:
    """Convert published tensors to ours and back, and compare every bit."""
    ours = convert_tensors(published, network=name)
    word = 'official' if ours.source.startswith('official') else ours.source.partition("'")[0]
    back = convert_tensors(ours.tensors, network=ours.network, to=word)
    assert back.target == ours.source
    assert back.tensors.keys() == published.keys()
    for key, tensor in published.items():
        assert back.tensors[key].dtype == tensor.dtype
        assert torch.equal(back.tensors[key], tensor), key


@torch.no_grad()
def assert_checkpoint_gives_its_networks_outputs(theirs: nn.Module, name: str) -> None:
    """Load another library's classifier into ours, convert it back, and compare the logits.

    Args:
        theirs: The other classifier, on images of 224 pixels; its vectors are changed.
        name: Our backbone's name.
    """
    theirs = theirs.double().eval()
    for parameter in theirs.parameters():
        # What starts as ones, zeros or next to nothing would hide a mistake.
        if parameter.squeeze().ndim == 1:
            parameter.uniform_(0.5, 1.5)
    ours = mmvmlp.build_classifier(name, 1000).double().eval()
    report = mmvmlp.load_checkpoint(ours, {'state_dict': theirs.state_dict()})
    assert not (report.missing or report.unexpected or report.mismatched)
    assert_converts_there_and_back(theirs.state_dict(), name)
    images = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    expected = theirs(images)
    assert (ours(images) - expected).norm() / expected.norm() < TOLERANCE

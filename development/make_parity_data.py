"""Makes parity data of an official network: what it computes with weights that follow from keys.

python -m development.make_parity_data NAME --module MODULE --classifier CALL --source TEXT ...
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from development.parity_rules import images, official_tensor, thinned
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import write_atomically

FOLDER = Path(__file__).resolve().parents[1] / 'tests/data/parity'
LAYOUTS: Mapping[str, Callable[[torch.Tensor, Sample], torch.Tensor]] = {
    'nchw': lambda output, _: output,
    'nhwc': lambda output, _: output.permute(0, 3, 1, 2),
    'tokens': lambda output, sample: _map_of_tokens(output, sample),
}
"""From a module's output to a map (N, C, H, W): how official modules lay out what they return."""


class Sample(NamedTuple):
    """Images that a network is run on: their sides in pixels, and the seed of their values."""

    height: int
    width: int
    seed: int

    @classmethod
    def parse(cls, text: str) -> Sample:
        """Return the sample that ``HxW:SEED`` stands for.

        Raises:
            ValueError: If the text is something else.
        """
        found = re.fullmatch(r'(\d+)x(\d+):(\d+)', text)
        if found is None:
            raise ValueError(f'sample {text!r}: HEIGHTxWIDTH:SEED is accepted, such as 224x224:0')
        return cls(*map(int, found.groups()))

    def __str__(self) -> str:
        return f'{self.height}x{self.width}_seed{self.seed}'


class OfficialNetwork:
    """An official network in float64, its weights replaced by those that follow from its keys.

    Args:
        network: As its authors' code builds it.
        constant_keys: A regular expression; matching entries of the state dict keep their values,
            because the official code computes them.
    """

    def __init__(self, network: nn.Module, constant_keys: str | None = None) -> None:
        self.network = network.double().eval()
        tensors = network.state_dict()
        self.shapes = {key: list(tensor.shape) for key, tensor in tensors.items()}
        self.constant_keys = [
            key for key in tensors if constant_keys and re.search(constant_keys, key)
        ]
        values = {
            key: tensors[key] if key in self.constant_keys else official_tensor(key, shape)
            for key, shape in self.shapes.items()
        }
        network.load_state_dict(values)

    @torch.no_grad()
    def logits(self, sample: Sample) -> torch.Tensor:
        """Return the classifier's output (2, classes) for two images."""
        return cast(torch.Tensor, self.network(images(2, *sample)))

    @torch.no_grad()
    def maps(
        self, sample: Sample, modules: Mapping[str, str], layout: str
    ) -> dict[str, torch.Tensor]:
        """Return the output of modules for one image, as maps (1, C, H, W).

        Args:
            sample: The image.
            modules: The modules' names in the network, by the names of the maps.
            layout: A key of :data:`LAYOUTS`.

        Raises:
            ValueError: If the network has no module of a name, or one is not run.
        """
        outputs: dict[str, torch.Tensor] = {}
        known = dict(self.network.named_modules())
        for module in modules.values():
            if module not in known:
                raise ValueError(f'module {module!r}: the network has {", ".join(known)}')
        handles = [
            known[module].register_forward_hook(
                lambda *call, name=name: outputs.__setitem__(name, call[-1].clone())
            )
            for name, module in modules.items()
        ]
        self.network(images(1, *sample))
        for handle in handles:
            handle.remove()
        if missing := modules.keys() - outputs.keys():
            raise ValueError(f'modules of {", ".join(sorted(missing))}: the network runs others')
        return {name: LAYOUTS[layout](outputs[name], sample) for name in modules}

    @torch.no_grad()
    def levels(self, sample: Sample) -> list[torch.Tensor]:
        """Return the maps (1, C, H, W) that a dense backbone gives for one image."""
        return list(self.network(images(1, *sample)))


def _map_of_tokens(tokens: torch.Tensor, sample: Sample) -> torch.Tensor:
    stride = math.sqrt(sample.height * sample.width / tokens.shape[1])
    rows = round(sample.height / stride)
    return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], rows, -1)


def make_parity_data(
    folder: Path,
    name: str,
    classifier: OfficialNetwork,
    source: str,
    *,
    nested_under: str | None = None,
    logits: Sequence[Sample] = (),
    modules: Mapping[str, str] | None = None,
    layout: str = 'nchw',
    maps: Sequence[Sample] = (),
    dense: OfficialNetwork | None = None,
    levels: Sequence[Sample] = (),
) -> None:
    """Write ``<name>.json`` and ``<name>.npz``.

    Args:
        folder: Where to.
        name: Our name of the network, as :func:`mmvmlp.build_backbone` takes it.
        classifier: The official classifier.
        source: Whose code it is, at which commit, and what was recorded.
        nested_under: The key under which published checkpoints have the state dict; none where
            they are the state dict.
        logits: Pairs of images to classify.
        modules: The classifier's modules whose outputs are recorded, by ``feat<level>`` or
            ``block<number>``.
        layout: Of these outputs, a key of :data:`LAYOUTS`.
        maps: Images to record them for.
        dense: The official backbone of detectors and segmentors. Its maps are recorded as
            ``feat<level>``, or ``normfeat<level>`` where it has norms that the classifier lacks.
        levels: Images to record them for.

    Raises:
        ValueError: If a name is not accepted, or nothing is recorded.
    """
    for recorded in modules or ():
        if not re.fullmatch(r'(feat|block)\d+', recorded):
            raise ValueError(f'map {recorded!r}: feat<level> and block<number> are accepted')
    extra_norms = {
        key: shape
        for key, shape in (dense.shapes if dense else {}).items()
        if key not in classifier.shapes
    }
    arrays = {f'logits_{sample}': classifier.logits(sample) for sample in logits}
    for sample in maps:
        for kind, feature_map in classifier.maps(sample, modules or {}, layout).items():
            arrays[f'{kind}_{sample}'] = thinned(feature_map)
    for sample in levels if dense else ():
        for level, feature_map in enumerate(dense.levels(sample) if dense else ()):
            kind = f'normfeat{level}' if extra_norms else f'feat{level}'
            arrays[f'{kind}_{sample}'] = thinned(feature_map)
    if not arrays:
        raise ValueError('nothing is recorded: name samples of logits, of modules or of levels')
    description = {
        'source': source,
        **({'nested_under': nested_under} if nested_under else {}),
        **({'ignored_keys': classifier.constant_keys} if classifier.constant_keys else {}),
        'shapes': classifier.shapes,
        **({'extra_norm_shapes': extra_norms} if extra_norms else {}),
    }
    buffer = BytesIO()
    kept: dict[str, Any] = {key: array.numpy() for key, array in arrays.items()}
    np.savez_compressed(buffer, **kept)
    write_atomically(folder / f'{name}.json', json.dumps(description, indent=0).encode())
    write_atomically(folder / f'{name}.npz', buffer.getvalue())


def call_factory(module: ModuleType, call: str) -> nn.Module:
    """Call a function or class of a module.

    Args:
        module: The official code.
        call: Such as ``hire_mlp_tiny(pretrained=False)``; arguments are literals.

    Raises:
        ValueError: If it is no such call, or the module has no such name.
    """
    try:
        expression = ast.parse(call, mode='eval').body
        assert isinstance(expression, ast.Call)
        assert isinstance(expression.func, ast.Name)
        arguments = [ast.literal_eval(argument) for argument in expression.args]
        keywords = {
            cast(str, keyword.arg): ast.literal_eval(keyword.value)
            for keyword in expression.keywords
        }
        factory: Any = getattr(module, expression.func.id)
    except (AssertionError, AttributeError, SyntaxError, ValueError) as error:
        raise ValueError(
            f'call {call!r}: a name of {module.__name__} with literal arguments in brackets is '
            'accepted'
        ) from error
    return cast(nn.Module, factory(*arguments, **keywords))


def import_official(name: str) -> ModuleType:
    """Import a module by its dotted name, or by the path of its file.

    Raises:
        ImportError: If there is none.
    """
    path = Path(name)
    if path.suffix != '.py':
        return importlib.import_module(name)
    if not path.is_file():
        raise ImportError(f'module {name!r}: there is no such file')
    sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('name', help='our name of the network, such as hire_mlp_tiny')
    parser.add_argument(
        '--module', required=True, help='the official code: an importable name, or a .py file'
    )
    parser.add_argument(
        '--classifier', required=True, metavar='CALL', help='such as "hire_mlp_tiny(num_classes=9)"'
    )
    parser.add_argument(
        '--source', required=True, metavar='TEXT', help='whose code, which commit, what is recorded'
    )
    parser.add_argument(
        '--nested-under', metavar='KEY', help='what holds the state dict in published checkpoints'
    )
    parser.add_argument(
        '--constant-keys', metavar='REGEX', help='entries that the official code computes'
    )
    samples: dict[str, Any] = {'nargs': '+', 'default': [], 'metavar': 'HxW:SEED'}
    parser.add_argument('--logits', help='pairs of images to classify', **samples)
    parser.add_argument(
        '--modules',
        nargs='+',
        default=[],
        metavar='NAME=MODULE',
        help='of the classifier, to record: feat0=stages.0 or block6=blocks.6',
    )
    parser.add_argument(
        '--layout', choices=list(LAYOUTS), default='nchw', help='of what these modules return'
    )
    parser.add_argument('--maps', help='images to record them for', **samples)
    parser.add_argument('--dense', metavar='CALL', help='the backbone that returns four maps')
    parser.add_argument('--levels', help='images to record its maps for', **samples)
    parser.add_argument(
        '--out-dir', type=Path, default=FOLDER, metavar='DIR', help='tests/data/parity by default'
    )
    return parser.parse_args()


def main() -> None:
    """Build the official network, run it, and write both files."""
    arguments = parse_arguments()
    with one_clear_error('development'):
        module = import_official(arguments.module)
        keys = arguments.constant_keys
        make_parity_data(
            arguments.out_dir,
            arguments.name,
            OfficialNetwork(call_factory(module, arguments.classifier), keys),
            arguments.source,
            nested_under=arguments.nested_under,
            logits=[Sample.parse(text) for text in arguments.logits],
            modules=dict(pair.split('=', 1) for pair in arguments.modules),
            layout=arguments.layout,
            maps=[Sample.parse(text) for text in arguments.maps],
            dense=(
                OfficialNetwork(call_factory(module, arguments.dense), keys)
                if arguments.dense
                else None
            ),
            levels=[Sample.parse(text) for text in arguments.levels],
        )
    print(f'The data are in {arguments.out_dir / arguments.name}.json and .npz')


if __name__ == '__main__':
    main()

"""Damaged and foreign checkpoints."""

from __future__ import annotations

import functools
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors

import mmvmlp
from development.fuzz.damage import DAMAGES, damaged
from development.fuzz.trials import accepted
from development.fuzz.values import ODD_VALUES
from mmvmlp.backbones.base import VisionMLP, registered_families

FAMILIES = {family.__name__: family for family in registered_families()}
FORMATS = ['.pth', '.pth', '.safetensors', '.npz', 'older.pth']

Change = Callable[[dict[str, Any], str, Any], None]


def _set(value: Callable[[torch.Tensor], Any]) -> Change:
    def change(state: dict[str, Any], key: str, _: Any) -> None:
        state[key] = value(state[key])

    return change


def _rename(state: dict[str, Any], key: str, odd: Any) -> None:
    state[f'{odd}.{key}'] = state.pop(key)


def _add(state: dict[str, Any], key: str, odd: Any) -> None:
    state[f'{key}.{odd}'] = torch.zeros(3)


def _replace(state: dict[str, Any], key: str, odd: Any) -> None:
    state[key] = odd


def _remove(state: dict[str, Any], key: str, _: Any) -> None:
    del state[key]


def _first_value(value: float) -> Change:
    def change(state: dict[str, Any], key: str, _: Any) -> None:
        state[key] = state[key].clone().float()
        state[key].view(-1)[0] = value

    return change


CHANGES: dict[str, Change] = {
    'remove': _remove,
    'rename': _rename,
    'add': _add,
    'replace': _replace,
    'nan': _first_value(float('nan')),
    'infinite': _first_value(float('-inf')),
    'transposed': _set(lambda tensor: tensor.reshape(-1)),
    'longer': _set(lambda tensor: torch.cat([tensor, tensor])),
    'scalar': _set(lambda tensor: torch.tensor(1.0)),
    'empty': _set(lambda tensor: tensor[:0]),
    'half': _set(lambda tensor: tensor.half()),
    'double': _set(lambda tensor: tensor.double()),
    'integer': _set(lambda tensor: tensor.long()),
    'complex': _set(lambda tensor: tensor.to(torch.complex64)),
    'expanded': _set(lambda tensor: torch.zeros(()).expand(tensor.shape)),
    'huge': _set(lambda tensor: torch.zeros(()).expand(2**40)),
    'sparse': _set(lambda tensor: tensor.float().to_sparse()),
    'meta': _set(lambda tensor: tensor.to('meta')),
    'quantized': _set(
        lambda tensor: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)
    ),
    'parameter': _set(lambda tensor: torch.nn.Parameter(tensor.float())),
}
# Formats that hold tensors only cannot have these.
ONLY_PICKLED = {'replace', 'expanded', 'huge', 'sparse', 'meta', 'quantized'}

WRAPPINGS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    'bare': lambda state, _: state,
    'state_dict': lambda state, odd: {'state_dict': state, 'meta': odd},
    'model': lambda state, odd: {'model': state, 'epoch': odd},
    'module': lambda state, odd: {f'module.{key}': tensor for key, tensor in state.items()},
    'twice': lambda state, odd: {'state_dict': {'model': state}},
    'class names': lambda state, odd: {
        'state_dict': state,
        'meta': {'dataset_meta': {'classes': odd}},
    },
    'list': lambda state, odd: list(state.values()),
    'odd': lambda state, odd: odd,
}


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    case: dict[str, Any] = {
        'family': draw(st.sampled_from(sorted(FAMILIES))),
        'format': draw(st.sampled_from(FORMATS)),
        'changes': [],
        'wrapping': 'bare',
        'odd': draw(ODD_VALUES),
        'damage': [],
        'bomb': 0,
    }
    kind = draw(st.sampled_from(['changes', 'wrapping', 'damage', 'damage', 'bomb']))
    if kind == 'changes':
        change = st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 2**16), ODD_VALUES)
        case['changes'] = draw(st.lists(change, min_size=1, max_size=2))
    elif kind == 'wrapping':
        case['wrapping'] = draw(st.sampled_from(sorted(WRAPPINGS)))
    elif kind == 'damage':
        case['damage'] = draw(st.lists(DAMAGES, min_size=1, max_size=3))
    else:
        case['bomb'] = draw(st.integers(26, 40).map(lambda exponent: 2**exponent))
    return case


class Checkpoints:
    """Loads a checkpoint of a small network, which is damaged, foreign or hostile.

    A file that is accepted must give the tensors that were saved, unless its format has no
    checksum; one that is refused must leave the network as it was.
    """

    name = 'damaged, foreign and hostile checkpoints'
    inputs = _cases()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        torch.manual_seed(0)
        self.networks = {name: kind(arch=kind.small_arch) for name, kind in FAMILIES.items()}

    def attempt(self, value: dict[str, Any]) -> bool:
        network = self.networks[value['family']]
        saved = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        file = self.folder / f'checkpoint{value["format"]}'
        file.write_bytes(_contents(value, saved))
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.zero_()
        loaded = accepted(lambda: _load(network, file))
        now = network.state_dict()
        if loaded:
            assert all(tensor.isfinite().all() for tensor in now.values() if tensor.numel())
            # Safetensors and files of PyTorch before 1.6 have no checksums.
            if value['damage'] and value['format'] in ('.pth', '.npz'):
                assert all(torch.equal(now[key], tensor) for key, tensor in saved.items())
        else:
            assert not any(tensor.any() for tensor in now.values())
        network.load_state_dict(saved)
        return loaded


def _load(network: VisionMLP, file: Path) -> None:
    mmvmlp.load_checkpoint(network, file)


def _contents(value: dict[str, Any], saved: dict[str, torch.Tensor]) -> bytes:
    state: dict[str, Any] = dict(saved)
    pickled = value['format'].endswith('.pth')
    for name, number, odd in value['changes']:
        key = sorted(state)[number % len(state)]
        if isinstance(state[key], torch.Tensor) and (pickled or name not in ONLY_PICKLED):
            try:
                CHANGES[name](state, key, odd)
            except (RuntimeError, IndexError, NotImplementedError):
                # Not every change can follow every other.
                continue
    if value['bomb']:
        return _bomb(value['format'], value['bomb'])
    return damaged(_saved(value, state), value['damage'])


def _saved(value: dict[str, Any], state: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    if value['format'] == '.safetensors':
        return save_safetensors({key: tensor.contiguous() for key, tensor in state.items()})
    if value['format'] == '.npz':
        np.savez(stream, **{key: tensor.detach().numpy() for key, tensor in state.items()})
    else:
        zipped = value['format'] == '.pth'
        contents = WRAPPINGS[value['wrapping']](state, value['odd'])
        try:
            torch.save(contents, stream, _use_new_zipfile_serialization=zipped)
        except (RuntimeError, TypeError, NotImplementedError):
            # The older format cannot have every tensor.
            torch.save(contents, stream)
    return stream.getvalue()


@functools.cache
def _bomb(suffix: str, size: int) -> bytes:
    """Return a small file that asks for much memory."""
    stream = io.BytesIO()
    if suffix == '.safetensors':
        tensor = {'dtype': 'F32', 'shape': [size], 'data_offsets': [0, 4 * size]}
        header = json.dumps({'a': tensor}).encode()
        return len(header).to_bytes(8, 'little') + header
    if suffix == 'older.pth':
        return pickle.dumps({'state_dict': {'a': b''}}) + bytes(8)
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
        if suffix == '.npz':
            described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size},), }}".ljust(
                117
            )
            archive.writestr('a.npy', b'\x93NUMPY\x01\x00v\x00' + described.encode() + b'\n')
            return stream.getvalue()
        # A tensor of the right key and many zeros, which compress to little.
        archive.writestr('archive/data.pkl', pickle.dumps({'state_dict': {}}))
        with archive.open('archive/data/0', 'w', force_zip64=True) as entry:
            block = bytes(2**22)
            for _ in range(min(size, 2**30) // len(block)):
                entry.write(block)
    return stream.getvalue()

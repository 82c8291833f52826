"""Small files that ask for gigabytes, or hold anything but tensors and records, are refused."""

import codecs
import io
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmvmlp.checkpoints import CheckpointError, class_names, read_checkpoint, trusted_checkpoints
from mmvmlp.checkpoints.screening import ALWAYS_ACCEPTED, MEMORY_PER_BYTE, MOST_INSTRUCTIONS

GIGABYTE = 10**9


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.call = function, arguments, state

    def __reduce__(self):
        return self.call


class Tensor:
    """Pickled as a view of given shape and strides of one number."""

    def __init__(self, shape, strides, offset=0):
        self.layout = offset, shape, strides

    def __reduce__(self):
        storage = torch.zeros(1).storage()
        return torch._utils._rebuild_tensor_v2, (storage, *self.layout, False, {})


def doubled(text, times):
    return text if times == 0 else Call(codecs.encode, doubled(text, times - 1), 'hex')


def with_pickle(file, pickled, storage=4):
    """Write a file of ``torch.save`` with another pickle, and a storage of that many bytes."""
    torch.save({'weight': torch.zeros(1)}, file)
    with zipfile.ZipFile(file) as archive:
        contents = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    root = next(iter(contents)).partition('/')[0]
    pickled = contents[f'{root}/data.pkl'] if pickled is None else pickled
    contents |= {f'{root}/data.pkl': pickled, f'{root}/data/0': bytes(storage)}
    with zipfile.ZipFile(file, 'w') as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def deflated(file, size):
    """Write compressed zeros."""
    name = 'weight.npy' if file.suffix == '.npz' else 'file/data/0'
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('file/data.pkl', pickle.dumps({}, protocol=2))
        archive.writestr(name, bytes(size))


def with_a_large_storage(file):
    torch.save({'a': torch.zeros(1)}, file, _use_new_zipfile_serialization=False)
    file.write_bytes(file.read_bytes().replace(b'K\x01N', b'J\xff\xff\xff\x7fN'))


BOMBS = {
    'bytearray': (
        lambda file: torch.save({'a': Call(bytearray, GIGABYTE)}, file),
        'builtins.bytearray of a number is refused',
    ),
    'doubled text': (
        lambda file: torch.save({'a': doubled(b'12345678', 27)}, file),
        "_codecs.encode to 'hex' is refused",
    ),
    'array without values': (
        lambda file: torch.save(
            {'a': Call(np.zeros(1).__reduce__()[0], np.ndarray, (GIGABYTE,), b'b')}, file
        ),
        'numpy.ndarray without values is refused',
    ),
    'array that is called': (
        lambda file: torch.save({'a': Call(np.ndarray, (GIGABYTE,))}, file),
        'a call of numpy.ndarray is refused',
    ),
    'number without a value': (
        lambda file: torch.save(
            {'a': Call(np.float64(0).__reduce__()[0], np.dtype(f'S{GIGABYTE - 1}'))}, file
        ),
        'numpy scalar without a value is refused',
    ),
    'tensor that is called': (
        lambda file: torch.save({'a': Call(torch.Tensor, GIGABYTE)}, file),
        'torch.Tensor is refused',
    ),
    'expanded view': (
        lambda file: torch.save({'a': Tensor((GIGABYTE,), (0,))}, file),
        'it would take 4.0 GB of memory',
    ),
    'view beyond its data': (
        lambda file: torch.save({'a': Tensor((GIGABYTE,), (1,))}, file),
        'of shape (1000000000,) without the data',
    ),
    'view of foreign data': (
        lambda file: torch.save({'a': Tensor((1,), (1,), 8)}, file),
        'of shape (1,) without the data',
    ),
    'storage smaller than stated': (
        lambda file: with_pickle(file, None, storage=3),
        "its part '0' has 3 bytes, but should have 4",
    ),
    'list of lists': (
        lambda file: with_pickle(file, b'\x80\x02](' + b']' * (MOST_INSTRUCTIONS + 1) + b'e.'),
        'more than 2,000,000 instructions',
    ),
    'nested key': (
        lambda file: with_pickle(file, b'\x80\x02})' + b'N\x86' * 200_000 + b'Ns.'),
        'more than 100 nested tuples',
    ),
    'integers of one hash': (
        lambda file: torch.save({'a': {n * (2**61 - 1): None for n in range(9, 200)}}, file),
        'an integer of more than 64 bits',
    ),
    'number of an object': (
        lambda file: with_pickle(file, b'\x80\x02}r\xff\xff\xff\x7f.'),
        'numbers its objects up to 2147483647',
    ),
    'old file': (with_a_large_storage, 'it would take 8.6 GB of memory'),
    'compressed zeros': (
        lambda file: deflated(file, ALWAYS_ACCEPTED + GIGABYTE // 10),
        'it would take 0.2 GB of memory',
    ),
    'compressed zeros.npz': (
        lambda file: deflated(file, ALWAYS_ACCEPTED + GIGABYTE // 10),
        'it would take 0.2 GB of memory',
    ),
}


F8 = np.dtype('f8')
STATES = {
    # NumPy would take the bytes of an array for addresses of objects.
    'numpy.dtype float64 of another state': Call(
        np.dtype, 'f8', False, True, state=(3, '<', None, None, None, -1, -1, 63)
    ),
    "numpy.dtype of 'f8' is refused": Call(
        np.dtype, 'f8', False, False, state=(3, '>', None, None, None, -1, -1, 0)
    ),
    "numpy.dtype of 'O8' is refused": Call(np.dtype, 'O8', False, True),
    'numpy.ndarray without its values': Call(
        *(np.zeros(1).__reduce__()[0], np.ndarray, (0,), b'b'),
        state=(1, (4,), F8, False, bytes(8)),
    ),
    'state is replaced': Call(
        *(torch._utils._rebuild_tensor_v2, torch.zeros(1).untyped_storage(), 0, (1,), (1,)),
        *(False, OrderedDict()),
        state=(torch.zeros(1).untyped_storage(), 0, (GIGABYTE,), (0,)),
    ),
    'a dict with attributes': Call(OrderedDict, state={'items': torch.float32}),
    'getattr is refused': Call(getattr, HistoryBuffer, '__init__'),
}


@pytest.mark.parametrize('message', STATES)
def test_objects_in_a_state_of_their_own_are_refused(tmp_path, message):
    file = tmp_path / 'checkpoint.pth'
    torch.save({'a': STATES[message]}, file)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(file)


def peak_memory():
    status = Path('/proc/self/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+) kB', status)[1]) * 1024


@pytest.mark.parametrize('name', BOMBS)
def test_bombs_are_refused_before_they_take_memory(tmp_path, name):
    file = tmp_path / f'bomb{Path(name).suffix or ".pth"}'
    write, message = BOMBS[name]
    write(file)
    assert file.stat().st_size < 4 * 10**6
    Path('/proc/self/clear_refs').write_text('5')
    before = peak_memory()
    with pytest.raises(CheckpointError, match=rf'{file.name}.*{re.escape(message)}') as refused:
        read_checkpoint(file)
    assert 'weights_only' not in str(refused.value)
    assert '\n' not in str(refused.value)
    assert peak_memory() - before < 2 * ALWAYS_ACCEPTED


def test_the_bound_is_stated(tmp_path):
    file = tmp_path / 'checkpoint.pth'
    torch.save({'a': torch.zeros(1).expand(GIGABYTE)}, file)
    with pytest.raises(CheckpointError, match=r'take 4\.0 GB.* accepted are 0\.1 GB, 10 times'):
        read_checkpoint(file)
    size = 10**8
    torch.save({'a': torch.zeros(size // MEMORY_PER_BYTE), 'b': torch.zeros(1).expand(10)}, file)
    assert read_checkpoint(file)['b'].tolist() == [0] * 10


def test_readers_that_may_find_other_entries_are_not_asked(tmp_path):
    file = tmp_path / 'checkpoint.pth'
    torch.save({'a': torch.zeros(1)}, file)
    whole = file.read_bytes()
    read_checkpoint(file)
    with zipfile.ZipFile(file, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
        archive.writestr('checkpoint/data.pkl', b'')
    with pytest.raises(CheckpointError, match='ambiguous'):
        read_checkpoint(file)
    file.write_bytes(b'PK\3\4' + whole)
    with pytest.raises(CheckpointError, match=r'ambiguous|cannot be read'):
        read_checkpoint(file)


@pytest.mark.parametrize('length', [10**12, 200])
def test_safetensors_beyond_their_file_are_refused(tmp_path, length):
    header = b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}'
    file = tmp_path / 'bomb.safetensors'
    stated = len(header) if length == 200 else length
    file.write_bytes(stated.to_bytes(8, 'little') + header)
    with pytest.raises(CheckpointError, match='cannot be read'):
        read_checkpoint(file)


def test_numpy_arrays_beyond_their_file_are_refused(tmp_path):
    stream, file = io.BytesIO(), tmp_path / 'bomb.npz'
    header = {'descr': '<f8', 'fortran_order': False, 'shape': (GIGABYTE,)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('a.npy', stream.getvalue())
    before = peak_memory()
    with pytest.raises(CheckpointError, match='cannot be read'):
        read_checkpoint(file)
    assert peak_memory() - before < ALWAYS_ACCEPTED


NOT_DENSE = {
    'sparse': lambda: torch.eye(2).to_sparse(),
    'quantized': lambda: torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.qint8),
    'meta': lambda: torch.empty(2, device='meta'),
}


@pytest.mark.parametrize('place', ['state_dict', 'optimizer'])
@pytest.mark.parametrize('kind', NOT_DENSE)
def test_tensors_that_are_not_dense_get_one_message(tmp_path, kind, place):
    file = tmp_path / 'checkpoint.pth'
    torch.save({'state_dict': {'a': torch.eye(2)}, place: {'b': NOT_DENSE[kind]()}}, file)
    with pytest.raises(CheckpointError, match=f'has {kind} tensors; dense tensors are accepted'):
        read_checkpoint(file)


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        ('text', 'meta is of type str; a dict'),
        ([1], 'meta is of type list; a dict'),
        ({'dataset_meta': ['a']}, 'meta.dataset_meta is of type list; a dict'),
        ({'dataset_meta': {'classes': 3}}, 'type int in place of class names; a list of names'),
        ({'CLASSES': ['a', 3]}, 'type list in place of class names; a list of names'),
        ({'CLASSES': '/etc/passwd'}, "'/etc/passwd' in place of class names; a list of names"),
    ],
)
def test_odd_records_get_one_message(tmp_path, meta, message):
    file = tmp_path / 'checkpoint.pth'
    torch.save({'state_dict': {'a': torch.eye(2)}, 'meta': meta}, file)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(file)
    torch.save({'state_dict': {'a': torch.eye(2)}, 'meta': {'CLASSES': None}}, file)
    assert class_names(read_checkpoint(file)) == {'classes': None}


def test_programs_are_refused_as_such(tmp_path):
    layer = torch.nn.Linear(1, 1)
    script, program = tmp_path / 'script.pth', tmp_path / 'program.pt2'
    torch.jit.save(torch.jit.trace(layer, torch.zeros(1, 1)), script)
    torch.export.save(torch.export.export(layer, (torch.zeros(1, 1),)), program)
    for file in (script, program):
        with pytest.raises(CheckpointError, match='it is a program .* and is not run'):
            read_checkpoint(file)


@pytest.mark.parametrize('zipped', [True, False])
def test_what_training_scripts_save_is_read(tmp_path, zipped):
    file = tmp_path / 'checkpoint.pth'
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    contents = {
        'weights': {'a': weight, 'b': weight.detach().t(), 'c': weight.detach()[1:].half()},
        'empty': torch.zeros(0, 3),
        'types': [torch.zeros(2, dtype=dtype) for dtype in (torch.bool, torch.bfloat16)],
        # torch itself cannot read these from a file of before 1.6.
        **({'unsigned': torch.zeros(2, dtype=torch.uint16)} if zipped else {}),
        'numpy': [np.arange(3.0), np.float64(2), np.array(['a'])],
        'containers': [{1, 2}, (None, True), 2**63, b'bytes', bytearray(b'bytes'), 1.5],
        'dtype': torch.float16,
        'device': torch.device('cpu'),
        'size': torch.Size([2]),
    }
    torch.save(contents, file, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(file)
    for key, tensor in contents['weights'].items():
        assert torch.equal(read['weights'][key], tensor)
    assert read['numpy'][0].tolist() == [0, 1, 2]
    assert read['containers'] == contents['containers']
    assert read['empty'].shape == (0, 3)


def test_only_a_trusted_file_is_unpickled_fully(tmp_path):
    contents = {'state_dict': {'a': torch.eye(2)}, 'path': Path('x')}
    own, other = tmp_path / 'own.pth', tmp_path / 'other.pth'
    for file in (own, other):
        torch.save(contents, file)
    with trusted_checkpoints([own, 'https://example.org/x.pth', 'hire_mlp_small.in1k']):
        assert read_checkpoint(own)['path'] == Path('x')
        with pytest.raises(CheckpointError, match=r'Path is refused\); --trust-checkpoint reads'):
            read_checkpoint(other)
    with pytest.raises(CheckpointError, match='pathlib'):
        read_checkpoint(own)


def test_randomly_changed_pickles_are_read_or_refused(tmp_path):
    """Some of these crashed the process: NumPy believed the state of a type."""
    file, random = tmp_path / 'checkpoint.pth', np.random.default_rng(0)
    history = HistoryBuffer()
    history.update(1.0)
    torch.save({'a': torch.zeros(2), 'b': history, 'c': np.float64(3), 'd': [(1, {2})]}, file)
    with zipfile.ZipFile(file) as archive:
        original = archive.read('checkpoint/data.pkl')
    instructions = np.frombuffer(b'}])(tuR\x85\x86\x87sabQcN\x88\x89K\x01q\x00h\x00.', np.uint8)
    refused = 0
    for _ in range(500):
        pickled = bytearray(original)
        for place in random.integers(len(pickled), size=random.integers(1, 5)):
            pickled[place] = random.choice([random.integers(256), random.choice(instructions)])
        with_pickle(file, bytes(pickled), storage=8)
        try:
            read_checkpoint(file)
        except CheckpointError:
            refused += 1
    assert 300 < refused < 500

"""Screen checkpoint files before torch reads them: the types they name, the memory they take.

torch's ``weights_only`` keeps code from running, but lets a file of a kilobyte take gigabytes: by
``bytearray(10**10)``, by a text that each call doubles, by lists of lists, by compressed zeros.
Here the pickle is unpickled with stand-ins first, which allocate nothing and check their arguments.
"""

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch._utils import IMPORT_MAPPING, NAME_MAPPING
from torch.serialization import MAGIC_NUMBER

MEMORY_PER_BYTE, ALWAYS_ACCEPTED = 10, 64 << 20
"""A file may take this many bytes of memory for each of its own, and so many in any case."""

MOST_INSTRUCTIONS = 2_000_000
"""Instructions of a pickle; a checkpoint of 1000 tensors and their optimizer has some 50,000."""

START_OF_ZIP = b'PK\3\4'

PICKLES_BEFORE_1_6 = 5
"""Pickles in a file of PyTorch before 1.6, in front of its tensors; the fourth is the contents."""

MOST_DIMENSIONS = 64
MOST_NESTED_TUPLES = 100
MOST_BITS = 64
MARK = -1

DTYPE_CODE = re.compile(r'[<>|=]?(?:[?bBhHiIlLqQefd]|[biuf]\d{1,2}|[SU]\d{1,9})')

INSTRUCTIONS = frozenset(
    'APPEND APPENDS BINFLOAT BINGET BININT BININT1 BININT2 BINPERSID BINPUT BINUNICODE BUILD '
    'EMPTY_DICT EMPTY_LIST EMPTY_SET EMPTY_TUPLE GLOBAL LONG1 LONG_BINGET LONG_BINPUT MARK '
    'NEWFALSE NEWOBJ NEWTRUE NONE PROTO REDUCE SETITEM SETITEMS SHORT_BINSTRING STOP TUPLE TUPLE1 '
    'TUPLE2 TUPLE3'.split()
)
"""Instructions that torch's ``weights_only`` knows."""

NOT_DENSE = {
    '_rebuild_sparse_tensor': 'sparse',
    '_rebuild_qtensor': 'quantized',
    '_rebuild_nested_tensor': 'nested',
    '_rebuild_meta_tensor_no_storage': 'meta',
    '_rebuild_wrapper_subclass': 'wrapped',
}


DTYPES_OF_STORAGES = {
    name: dtype
    for name, dtype in torch.storage._storage_type_to_dtype_map().items()
    if not name.startswith('Q')
}
"""Types of the elements by class name, but for quantized ones, of which some share a byte."""


class ScreeningError(ValueError):
    """Error for a file that is refused before it is read."""


class RefusedTypeError(ScreeningError):
    """Error for a file that names another type than weights and records have."""


def memory_limit(file: Path) -> int:
    """Return the bytes of memory that the contents of a checkpoint file may take."""
    return max(ALWAYS_ACCEPTED, MEMORY_PER_BYTE * file.stat().st_size)


def check_zip(file: Path) -> list[zipfile.ZipInfo]:
    """Check the size of what a zip file holds, and return its entries.

    Raises:
        ScreeningError: If it is too large, or readers of zip files may find different entries.
        zipfile.BadZipFile: If it is no zip file.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    size, limit = sum(entry.file_size for entry in entries), memory_limit(file)
    if size > limit:
        raise ScreeningError(_too_large(size, limit))
    names = {entry.filename.lower() for entry in entries}
    # With bytes before the first entry, some readers would look for the entries elsewhere.
    if len(names) != len(entries) or min((e.header_offset for e in entries), default=0) != 0:
        raise ScreeningError('its entries are ambiguous')
    return entries


def check_torch_file(file: Path, records: Iterable[str]) -> None:
    """Check a file of ``torch.save`` before it is read.

    Args:
        file: The file.
        records: Full names of types that are accepted besides tensors and plain containers.

    Raises:
        RefusedTypeError: If it names another type.
        ScreeningError: If it takes too much memory, or has tensors that are not dense or larger
            than their data.
    """
    with file.open('rb') as stream:
        if stream.read(len(START_OF_ZIP)) == START_OF_ZIP:
            sizes = {entry.filename: entry.file_size for entry in check_zip(file)}
            root = next(iter(sizes)).partition('/')[0]
            reader = torch.PyTorchFileReader(str(file))
            records_of_file = reader.get_all_records()
            if 'data.pkl' not in records_of_file or 'constants.pkl' in records_of_file:
                raise ScreeningError(
                    'it is a program (TorchScript, or .pt2 of torch.export), and is not run; a '
                    'checkpoint of torch.save is accepted'
                )
            pickled = io.BytesIO(reader.get_record('data.pkl'))
            start = f'{root}/data/'
            of_data = {key.removeprefix(start): size for key, size in sizes.items()}
            _Screening(_instructions(pickled), records, memory_limit(file), of_data).load()
            return
        stream.seek(0)
        for _ in range(PICKLES_BEFORE_1_6):
            _Screening(_instructions(stream), records, memory_limit(file), None).load()


def _instructions(stream: BinaryIO) -> bytes:
    """Return the bytes of the next pickle, if its instructions are known, and not too many."""
    start, depths = stream.tell(), _Depths()
    for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        if instruction.name not in INSTRUCTIONS:
            raise ScreeningError(f'its pickle has the instruction {instruction.name}')
        # An array of this length would be allocated.
        if instruction.name.endswith('PUT') and (argument or 0) > count:
            raise ScreeningError(f'its pickle numbers its objects up to {argument}')
        # Python hashes many longer ones alike, so that a dict of them would take hours.
        long = instruction.name == 'LONG1' and argument != MAGIC_NUMBER
        if long and int(argument or 0).bit_length() > MOST_BITS:
            raise ScreeningError(f'its pickle has an integer of more than {MOST_BITS} bits')
        if count == MOST_INSTRUCTIONS:
            raise ScreeningError(
                f'its pickle has more than {MOST_INSTRUCTIONS:,} instructions, which is the limit'
            )
        if depths.after(instruction, argument) > MOST_NESTED_TUPLES:
            raise ScreeningError(f'it has more than {MOST_NESTED_TUPLES} nested tuples')
    size = stream.tell() - start
    stream.seek(start)
    return stream.read(size)


class _Depths:
    """Follows how deeply the tuples of a pickle are nested: Python crashes when it hashes many."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self.of_memo: dict[int, int] = {}

    def after(self, instruction: pickletools.OpcodeInfo, argument: Any) -> int:
        """Return the depth of what an instruction puts on the stack."""
        name, taken = instruction.name, instruction.stack_before
        if name == 'MARK':
            self.stack.append(MARK)
            return 0
        if name.endswith('PUT'):
            self.of_memo[argument] = self.stack[-1]
            return 0
        of_parts: list[int] = []
        if pickletools.markobject in taken:
            while (depth := self.stack.pop()) != MARK:
                of_parts.append(depth)
            taken = taken[: taken.index(pickletools.markobject)]
        for _ in taken:
            of_parts.append(self.stack.pop())
        depth = 0
        if name.endswith('GET'):
            depth = self.of_memo[argument]
        elif name.startswith('TUPLE') or name == 'REDUCE':
            depth = 1 + max(of_parts, default=0)
        if instruction.stack_after:
            self.stack.append(depth)
        return depth


def _too_large(size: int, limit: int) -> str:
    return (
        f'it would take {size / 1e9:,.1f} GB of memory; accepted are {limit / 1e9:,.1f} GB, '
        f'{MEMORY_PER_BYTE} times the size of the file'
    )


class _Storage(NamedTuple):
    elements: int
    bytes_per_element: int


class _StandIn:
    """Stands for an object that takes no more memory than its part of the pickle."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        # Of a tensor, it would replace shape and strides.
        raise ScreeningError('it has an object whose state is replaced')


class _Argument:
    """Stands for a type that pickles pass to functions, but do not call."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: Any) -> None:
        raise RefusedTypeError(f'a call of {self.name} is refused')


class _Record(_StandIn):
    """Stands for a plain object with attributes."""

    def __setstate__(self, state: Any) -> None:
        pass


class _History(_Record):
    """Stands for mmengine's log history."""


class _OrderedDict(OrderedDict[Any, Any]):
    """Stands for a dict of tensors, with the versions of its modules."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or state.keys() - {'_metadata'}:
            raise ScreeningError('it has a dict with attributes')


class _DType(_StandIn):
    """Stands for a NumPy type; another state than its own would corrupt NumPy's memory."""

    def __init__(self, code: Any, align: Any = False, copied: Any = False) -> None:
        # Uncopied, it would be the type that all arrays of this process have.
        if not isinstance(code, str) or not DTYPE_CODE.fullmatch(code) or copied is not True:
            raise RefusedTypeError(f'numpy.dtype of {code!r:.20} is refused')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        known = [dtype.__reduce__()[2] for dtype in (self.dtype, self.dtype.newbyteorder())]
        if state not in known:
            raise ScreeningError(f'it has a numpy.dtype {self.dtype} of another state')


class _Array(_StandIn):
    """Stands for a NumPy array, whose values come as its state."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, _, values = state
        size = math.prod(map(_count, shape)) * dtype.dtype.itemsize
        if len(shape) > MOST_DIMENSIONS or not isinstance(values, bytes) or len(values) != size:
            raise ScreeningError('it has a numpy.ndarray without its values')


class _Screening(pickle.Unpickler):
    """Unpickles stand-ins.

    Args:
        pickled: The pickle.
        records: See :func:`check_torch_file`.
        limit: Bytes of memory that its tensors may take.
        sizes: Bytes of the storages by key; None if they follow the pickle.
    """

    def __init__(
        self, pickled: bytes, records: Iterable[str], limit: int, sizes: Mapping[str, int] | None
    ) -> None:
        super().__init__(io.BytesIO(pickled), encoding='latin1')
        self.limit, self.sizes = limit, sizes
        self.size_of_tensors = self.size_of_storages = 0
        self.storages: set[str] = set()
        self.stand_ins: dict[str, Any] = {
            **{name: _Argument(name) for name in records},
            '_codecs.encode': _encoded,
            'argparse.Namespace': _Record,
            'builtins.bytearray': _copied,
            'builtins.complex': _StandIn,
            'builtins.getattr': _statistics_method,
            'builtins.set': _StandIn,
            'collections.Counter': _StandIn,
            'collections.OrderedDict': _OrderedDict,
            'mmengine.logging.history_buffer.HistoryBuffer': _History,
            'numpy.dtype': _DType,
            'torch.Size': tuple,
            'torch.device': _StandIn,
            'torch._utils._rebuild_parameter': _StandIn,
            'torch._utils._rebuild_tensor': self._tensor,
            'torch._utils._rebuild_tensor_v2': self._tensor,
            'torch._utils._rebuild_tensor_v3': self._tensor_of_type,
        }
        for module in ('core', '_core'):
            self.stand_ins[f'numpy.{module}.multiarray._reconstruct'] = _empty_array
            self.stand_ins[f'numpy.{module}.multiarray.scalar'] = _scalar

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a type."""
        # Names in Python 2, which torch's pickles have.
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        full_name = f'{module}.{name}'
        if full_name in self.stand_ins:
            return self.stand_ins[full_name]
        if module == 'torch._utils' and name in NOT_DENSE:
            raise ScreeningError(f'it has {NOT_DENSE[name]} tensors; dense tensors are accepted')
        if full_name == 'torch.storage.UntypedStorage':
            return torch.uint8
        if module in ('torch', 'torch.cuda') and name in DTYPES_OF_STORAGES:
            return DTYPES_OF_STORAGES[name]
        dtype = vars(torch).get(name) if module == 'torch' else None
        if isinstance(dtype, torch.dtype):
            return dtype
        raise RefusedTypeError(f'{full_name} is refused')

    def persistent_load(self, identifier: Any) -> _Storage:
        """Check the size of a storage."""
        _, dtype, key, _, elements, *_ = identifier
        # Of an untyped storage, it is the number of bytes.
        size = _count(elements) * dtype.itemsize
        if self.sizes is not None and self.sizes.get(key) != size:
            raise ScreeningError(
                f'its part {key!r} has {self.sizes.get(key, 0)} bytes, but should have {size}'
            )
        if key not in self.storages:
            self.storages.add(key)
            self.size_of_storages += size
            self._check(self.size_of_storages)
        return _Storage(elements, dtype.itemsize)

    def _tensor(
        self, storage: _Storage, offset: int, shape: Any, strides: Any, *others: Any
    ) -> _StandIn:
        return self._checked(storage, storage.bytes_per_element, offset, shape, strides)

    def _tensor_of_type(
        self,
        storage: _Storage,
        offset: int,
        shape: Any,
        strides: Any,
        requires_grad: Any,
        hooks: Any,
        dtype: torch.dtype,
        *others: Any,
    ) -> _StandIn:
        return self._checked(storage, dtype.itemsize, offset, shape, strides)

    def _checked(
        self, storage: _Storage, bytes_per_element: int, offset: int, shape: Any, strides: Any
    ) -> _StandIn:
        if max(len(shape), len(strides)) > MOST_DIMENSIONS:
            raise ScreeningError(f'it has a tensor of {len(shape)} dimensions')
        elements = math.prod(map(_count, shape))
        if elements:
            last = sum(
                (length - 1) * _count(stride) for length, stride in zip(shape, strides, strict=True)
            )
            size = (_count(offset) + last + 1) * bytes_per_element
            if size > storage.elements * storage.bytes_per_element:
                raise ScreeningError(f'it has a tensor of shape {tuple(shape)} without the data')
        # A view of one number, expanded to this shape, takes that much in the first calculation.
        self.size_of_tensors += elements * bytes_per_element
        self._check(self.size_of_tensors)
        return _StandIn()

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise ScreeningError(_too_large(size, self.limit))


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ScreeningError(f'it has a tensor with {value!r} in place of a size')
    return value


def _encoded(text: str, encoding: str = 'latin1') -> bytes:
    # How bytes are pickled. Others, like `hex`, double a text with each call.
    if not isinstance(text, str) or encoding != 'latin1':
        raise RefusedTypeError(f'_codecs.encode to {encoding!r} is refused')
    return text.encode(encoding)


def _copied(contents: bytes = b'') -> _StandIn:
    if not isinstance(contents, bytes):
        raise RefusedTypeError('builtins.bytearray of a number is refused')
    return _StandIn()


def _empty_array(kind: Any, shape: Any, code: Any) -> _Array:
    # Its values come later, with the shape.
    if shape != (0,):
        raise RefusedTypeError('numpy.ndarray without values is refused')
    return _Array()


def _scalar(dtype: Any, value: Any = None) -> _StandIn:
    if not isinstance(value, bytes) or len(value) != dtype.dtype.itemsize:
        raise RefusedTypeError('numpy scalar without a value is refused')
    return _StandIn()


def _statistics_method(owner: Any, name: str) -> _StandIn:
    if owner is not _History or name not in ('current', 'max', 'mean', 'min'):
        raise RefusedTypeError('getattr is refused')
    return _StandIn()

"""Read pickled Python objects of arrays, without running anything in them.

The field's npz files hold object arrays: dictionaries of dictionaries of arrays, or lists of them.
NumPy reads them with ``allow_pickle=True`` only, which lets a file call any function. The unpickler
here knows the few names by which NumPy arrays are pickled and makes inert stand-ins of them; shape,
type and content of a stand-in are checked when it is turned into an array. No name in a file is
ever looked up, and no code of NumPy's reads the pickle. See "Restricting Globals" in the
documentation of pickle.
"""

from __future__ import annotations

import dataclasses
import math
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.budget import Budget, input_budget, require
from hot_sdk._base.checked_unpickler import CheckedUnpickler, Named
from hot_sdk._base.safe_zip import open_member, open_zip

BROKEN = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    pickle.UnpicklingError,
    struct.error,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What pickle, zipfile and numpy raise for broken content."""

_NUMBERS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
# The opcodes of dictionaries, lists, texts, numbers and arrays in protocols 0 to 5.
_OPCODES = frozenset(
    """APPEND APPENDS BINBYTES BINBYTES8 BINFLOAT BINGET BININT BININT1 BININT2 BINPUT BINSTRING
    BINUNICODE BINUNICODE8 BUILD BYTEARRAY8 DICT EMPTY_DICT EMPTY_LIST EMPTY_TUPLE FLOAT FRAME
    GET GLOBAL INT LIST LONG LONG1 LONG_BINGET LONG_BINPUT MARK MEMOIZE NEWFALSE NEWTRUE NONE
    POP PROTO PUT REDUCE SETITEM SETITEMS SHORT_BINBYTES SHORT_BINSTRING SHORT_BINUNICODE
    STACK_GLOBAL STOP STRING TUPLE TUPLE1 TUPLE2 TUPLE3 UNICODE""".split()  # noqa: SIM905
)
_BYTES_PER_STEP = 4
"""A file of objects has no less on average."""

_LONGEST_S = 600.0
"""Data sets of millions of poses take minutes."""

_LARGEST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_BYTE_ORDERS = frozenset({"<", ">", "|", "="})


class UnsafePickleError(ValueError):
    """A pickle names something that is not a part of an array."""


class _Array:
    """Stands for an array: the state in its pickle, unchecked."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _DType:
    """Stands for the type of an array's items."""

    __slots__ = ("code", "order")

    def __init__(self, code: object) -> None:
        self.code = code
        self.order: object = "="

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = state[1]


def _latin1(text: object, codec: object) -> bytes:
    """Encode a text as pickles of protocol 2 do to store bytes."""
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise ValueError("it holds bytes in an unusual encoding")
    return text.encode("latin1")


def _made(dtype: object, content: object, shape: object = (), order: object = "C") -> _Array:
    """Stand for what is made of its bytes at once: a single number, or an array of protocol 5."""
    array = _Array()
    array.state = (1, shape, dtype, order == "F", content)
    return array


def _refused(*_: object) -> object:
    raise ValueError("it makes an array in an unusual way")


_RECONSTRUCT = Named(lambda *_: _Array())
_SCALAR = Named(lambda dtype, content, *_: _made(dtype, content))
_FROM_BUFFER = Named(lambda content, dtype, shape, order: _made(dtype, content, shape, order))
_KNOWN: Mapping[tuple[str, str], Named] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy", "ndarray"): Named(_refused),
    ("numpy", "dtype"): Named(lambda code, *_: _DType(code)),
    ("_codecs", "encode"): Named(_latin1),
}


class _Unpickler(CheckedUnpickler):
    def __init__(self, stream: IO[bytes], budget: Budget) -> None:
        # Python 2 wrote text and bytes alike; latin1 keeps both.
        super().__init__(
            stream, budget, opcodes=_OPCODES, stand_ins=(_Array, _DType), encoding="latin1"
        )

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        known = _KNOWN.get((module, name))
        if known is None:
            raise UnsafePickleError(
                f"it names {f'{module}.{name}'!a}, which is not a part of an array; nothing was run"
            )
        return known


def read_objects(file: BinaryIO, member: str, *, max_bytes: int) -> list[Any]:
    """Return the objects that an object array of an npz file holds, in one list.

    Args:
        file: The npz file.
        member: Name of the array.
        max_bytes: Most bytes that the array may unpack to.

    Returns:
        Dictionaries, lists, texts and numbers as they are; pass what stands for an array to
        ``numbers`` or ``items``.

    Raises:
        UnsafePickleError: It names something that is not a part of an array.
        Exception: One of ``BROKEN``: there is no such array, or it is broken or too large.
    """
    budget = input_budget()
    with open_zip(file, budget) as archive:
        entry = archive.getinfo(f"{member}.npy")
        require(entry.file_size, max_bytes, "bytes once it is unpacked")
        with open_member(archive, entry) as stream:
            _skip_header(stream)
            return items(_Unpickler(stream, budget).load())


def read_pickle(file: BinaryIO, *, max_bytes: int) -> object:
    """Return the object of a file that ``pickle.dump`` wrote, as ``read_objects`` returns it.

    Args:
        file: The file.
        max_bytes: Largest size of the file.

    Raises:
        UnsafePickleError: It names something that is not a part of an array.
        Exception: One of ``BROKEN``: it is broken or too large.
    """
    size = file.seek(0, 2)
    if size > max_bytes:
        raise ValueError(f"it has {size} bytes")
    file.seek(0)
    budget = input_budget()
    budget = dataclasses.replace(
        budget,
        steps=max(budget.steps, size // _BYTES_PER_STEP),
        seconds=max(budget.seconds, _LONGEST_S),
    )
    loaded: object = _Unpickler(file, budget).load()
    return loaded


def one_object(objects: list[Any]) -> object:
    """Return the only object, or raise ValueError."""
    if len(objects) != 1:
        raise ValueError(f"it holds {len(objects)} objects instead of one")
    return objects[0]


def _skip_header(stream: IO[bytes]) -> None:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is of npy version {version}")
    layout = "<H" if version == (1, 0) else "<I"
    (size,) = struct.unpack(layout, stream.read(struct.calcsize(layout)))
    header = stream.read(min(size, 1 << 16)).decode("latin1")
    if "'descr': '|O'" not in header:
        raise ValueError("its array holds no objects")


def mapping(value: object) -> dict[str, Any]:
    """Return a dictionary whose keys are texts, or raise ValueError for anything else."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"a dictionary is expected, not {_called(value)}")
    return value


def items(value: object) -> list[Any]:
    """Return the items of a list or an object array, or raise ValueError for anything else."""
    if isinstance(value, (list, tuple)):
        return list(value)
    _, code, held, _ = _state(value)
    if code != "O8" or not isinstance(held, list):
        raise ValueError("a list is expected, not numbers")
    return held


def numbers(value: object) -> NDArray[Any]:
    """Return an array of numbers or truth values.

    Raises:
        ValueError: It is something else, or its shape, type and content do not fit each other.
    """
    shape, code, raw, by_columns = _state(value)
    if code.lstrip("<>|=") not in _NUMBERS:
        raise ValueError(f"an array of numbers is expected, not of {code!a}")
    return _array(shape, code, raw, by_columns)


def stacked(value: object) -> NDArray[Any]:
    """Return an array of numbers that was pickled as one, or as a list of arrays or numbers.

    Raises:
        ValueError: It is something else, or its parts differ in shape.
    """
    if isinstance(value, _Array) and _state(value)[1] != "O8":
        return numbers(value)
    parts = [
        np.asarray(part) if isinstance(part, (int, float)) else stacked(part)
        for part in items(value)
    ]
    if len({part.shape for part in parts}) > 1:
        raise ValueError("the arrays of a list differ in shape")
    array = np.stack(parts) if parts else np.zeros(0)
    if array.dtype.kind not in "biuf":
        raise ValueError("a number is too large")
    return array


def texts(value: object) -> list[str]:
    """Return texts that were pickled as a list or as an array.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, _Array) and _state(value)[1] != "O8":
        return [str(one) for one in _characters(value).ravel()]
    return [one if isinstance(one, str) else _one_text(one) for one in items(value)]


def _one_text(value: object) -> str:
    characters = _characters(value)
    if characters.shape != ():
        raise ValueError("a text is expected, not an array")
    return str(characters[()])


def _characters(value: object) -> NDArray[np.str_]:
    shape, code, raw, by_columns = _state(value)
    kind = code.lstrip("<>|=")
    if kind[:1] not in ("U", "S") or not kind[1:].isdecimal() or not 0 < int(kind[1:]) <= 1000:
        raise ValueError(f"texts are expected, not {code!a}")
    array = _array(shape, code, raw, by_columns)
    if kind[0] == "S":
        return np.char.decode(array, "latin1")
    # NumPy makes texts of numbers that are no characters, over which Python itself fails.
    codes = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
    low, high = _SURROGATES
    if (codes > _LARGEST_CHARACTER).any() or ((codes >= low) & (codes <= high)).any():
        raise ValueError("a text has unusual characters")
    return array


def _array(shape: tuple[int, ...], code: str, raw: object, by_columns: bool) -> NDArray[Any]:
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    if not isinstance(raw, (bytes, bytearray)):
        raise ValueError(f"an array of {code!a} holds no bytes")
    dtype = np.dtype(code)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"an array of shape {shape} has {len(raw)} bytes")
    array: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape, order="F" if by_columns else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _state(value: object) -> tuple[tuple[int, ...], str, object, bool]:
    """Return shape, type, content and column order of what stands for an array."""
    if not isinstance(value, _Array):
        raise ValueError(f"an array is expected, not {_called(value)}")
    state = value.state
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("an array is described in an unusual way")
    _, shape, dtype, by_columns, content = state
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise ValueError("an array has no shape")
    if not isinstance(dtype, _DType) or not isinstance(dtype.code, str):
        raise ValueError("an array has no type")
    order = dtype.order if dtype.order in _BYTE_ORDERS else "="
    code = dtype.code if dtype.code == "O8" else f"{order}{dtype.code}"
    return shape, code, content, bool(by_columns)


def _called(value: object) -> str:
    return "an array" if isinstance(value, _Array) else f"a {type(value).__name__}"

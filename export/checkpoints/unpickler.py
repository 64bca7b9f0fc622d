"""Unpickle tensors, and call nothing else that an untrusted file names.

``torch.load(weights_only=True)`` refuses whole files for the random state or the optimizer next to
the weights, as in the published checkpoints of MixSTE. This unpickler rebuilds the tensors, puts an
inert placeholder where such a companion was, and refuses every other name. No name in a file is
ever looked up. See "Restricting Globals" in Python's pickle documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor

from hot_sdk._base.budget import Budget
from hot_sdk._base.checked_unpickler import CheckedUnpickler, Named
from hot_sdk.errors import CheckpointError

_BUILTIN_TYPES = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "long"}
    | {"object", "range", "set", "slice", "str", "tuple", "unicode"}
)
_PATHS = frozenset({"Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath"})
_NUMBER_TYPES = frozenset({"bool", "bool_", "float16", "float32", "float64", "int32", "int64"})
_COMPANIONS: Mapping[str, frozenset[str]] = {
    "__builtin__": _BUILTIN_TYPES,
    "_codecs": frozenset({"encode"}),
    "argparse": frozenset({"Namespace"}),
    "builtins": _BUILTIN_TYPES,
    "collections": frozenset({"Counter", "defaultdict", "deque"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "copyreg": frozenset({"_reconstructor"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "easydict": frozenset({"EasyDict"}),
    "numpy": _NUMBER_TYPES | {"dtype", "ndarray"},
    "pathlib": _PATHS,
    "torch": frozenset({"Generator", "device", "dtype"}),
    "types": frozenset({"SimpleNamespace"}),
    "yacs.config": frozenset({"CfgNode"}),
}
# Packages of which any name may be next to weights; a name here is never looked up either.
_COMPANION_PACKAGES = (
    "lightning",
    "lightning_fabric",
    "mmengine",
    "numpy._core",
    "numpy.core",
    "numpy.random",
    "omegaconf",
    "pytorch_lightning",
    "torch.amp",
    "torch.cuda.amp",
    "torch.nn",
    "torch.optim",
)


@dataclass(frozen=True, slots=True)
class StorageKind:
    """The type of a storage's numbers; stands for PyTorch's classes of storages.

    Attributes:
        dtype: The type.
    """

    dtype: torch.dtype


class Weights(dict[Any, Any]):
    """Stands for an OrderedDict; drops the attributes that a pickle gives it."""

    def __setstate__(self, _: object) -> None:
        """Drop a state."""


class Placeholder:
    """Stands for an object that was not rebuilt; ignores everything that a pickle does to it.

    Attributes:
        of: Dotted name of the class or function that would have built it.
    """

    of = "an object"

    def __new__(cls, *_: object, **__: object) -> Placeholder:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> Placeholder:  # noqa: D102
        return self

    def append(self, *_: object) -> None:
        """Drop a state, an item, items or a member."""

    __setstate__ = __setitem__ = extend = add = append


_DTYPES = {
    str(value).removeprefix("torch."): value
    for value in vars(torch).values()
    if isinstance(value, torch.dtype)
}
# The classes of storages are named after C's types.
_STORAGES: Mapping[str, torch.dtype] = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
    "UntypedStorage": torch.uint8,
}

MakeTensor = Callable[[object, object, object, object, torch.dtype | None], Tensor]
"""Makes a tensor of a storage, an offset, a shape, strides and perhaps another type."""


class TensorUnpickler(CheckedUnpickler):
    """An unpickler of tensors.

    Args:
        stream: The pickle.
        source: Name of the file, for messages.
        dropped: Receives the names of the objects that are not rebuilt.
        budget: Limits of its content.
        tensor: Makes a tensor.
        storage: Returns the storage of a persistent id.
    """

    def __init__(
        self,
        stream: IO[bytes],
        source: str,
        dropped: set[str],
        budget: Budget,
        tensor: MakeTensor,
        storage: Callable[[Any], object],
    ) -> None:
        super().__init__(
            stream,
            budget,
            stand_ins=(Placeholder, Weights),
            plain_keys=(Placeholder, Tensor),
            # As torch.load does, for the texts of Python 2.
            encoding="utf-8",
        )
        self._source = source
        self._dropped = dropped
        self._storage = storage

        def old(*held: Any) -> Tensor:  # noqa: ANN401
            return tensor(held[0], held[1], held[2], held[3], None)

        def new(*held: Any) -> Tensor:  # noqa: ANN401
            return tensor(held[0], held[1], held[2], held[3], held[6])

        # Parameters are tensors here: gradients, hooks and attributes are of no use.
        self._rebuilt: Mapping[tuple[str, str], object] = {
            ("collections", "OrderedDict"): Named(self._weights),
            ("torch", "Size"): Named(lambda lengths=(): tuple(lengths)),
            ("torch", "Tensor"): StorageKind(torch.uint8),
            ("torch._tensor", "_rebuild_from_type_v2"): Named(_remade),
            ("torch._utils", "_rebuild_parameter"): Named(lambda tensor, *_: tensor),
            ("torch._utils", "_rebuild_parameter_with_state"): Named(lambda tensor, *_: tensor),
            ("torch._utils", "_rebuild_tensor"): Named(old),
            ("torch._utils", "_rebuild_tensor_v2"): Named(old),
            ("torch._utils", "_rebuild_tensor_v3"): Named(new),
        }

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401
        """Return a storage; called by the unpickler."""
        return self._storage(pid)

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        """Return the stand-in for a name; called by the unpickler."""
        rebuilt = self._rebuilt.get((module, name))
        if rebuilt is not None:
            return rebuilt
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return StorageKind(_STORAGES[name])
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if not _is_companion(module, name):
            raise CheckpointError(
                f"'{self._source}' is not safe to read: it asks for {f'{module}.{name}'!a}, "
                "which does not belong in a checkpoint; nothing was run.",
                hint="Use a file from its authors, with model.state_dict() alone.",
            )
        self._dropped.add(f"{module}.{name}")
        # A class, since protocol 2 and newer make objects by calling a class's __new__.
        return type("Dropped", (Placeholder,), {"of": f"{module}.{name}"})

    def _weights(self, *pairs: Any) -> Weights:  # noqa: ANN401
        """Make a dictionary; Python 2 gave it pairs of keys and values."""
        found = Weights()
        for pair in pairs[0] if pairs else ():
            key, value = pair
            self.check(found, (key,), ())
            found[key] = value
        return found


def _remade(function: object, _kind: object, arguments: Any, *_: object) -> object:  # noqa: ANN401
    if not isinstance(function, Named):
        raise ValueError("a tensor is made in an unusual way")
    return function(*arguments)


def _is_companion(module: str, name: str) -> bool:
    return name in _COMPANIONS.get(module, ()) or any(
        module == package or module.startswith(f"{package}.") for package in _COMPANION_PACKAGES
    )

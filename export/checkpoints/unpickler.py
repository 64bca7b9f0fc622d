"""Unpickle tensors, and call nothing else that an untrusted file names.

``torch.load(weights_only=True)`` refuses whole files for the random state or the optimizer next to
the weights, as in the published checkpoints of MixSTE. Passed to ``torch.load`` as its
pickle module, this one rebuilds the tensors, puts an inert placeholder where such a companion was,
and refuses every other name. See "Restricting Globals" in Python's pickle documentation.
"""

from __future__ import annotations

import collections
import logging
import pickle
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import IO, Any

import torch
import torch._utils

from hot_sdk.errors import CheckpointError

_LOG = logging.getLogger(__name__)

_REBUILT: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
}

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
    "numpy._core",
    "numpy.core",
    "numpy.random",
    "omegaconf",
    "torch.amp",
    "torch.cuda.amp",
    "torch.nn",
    "torch.optim",
)


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


def tensors_only(source: str, dropped: set[str]) -> ModuleType:
    """Return a stand-in for the pickle module, for one ``torch.load(..., weights_only=False)``.

    Args:
        source: Name of the file, for messages.
        dropped: Receives the names of the objects that are not rebuilt.
    """

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
            rebuilt = _REBUILT.get((module, name))
            if rebuilt is not None:
                return rebuilt
            if not _is_companion(module, name):
                raise CheckpointError(
                    f"'{source}' is not safe to read: it asks for {f'{module}.{name}'!a}, "
                    "which does not belong in a checkpoint; nothing was run.",
                    hint="Use a file from its authors, with model.state_dict() alone.",
                )
            dropped.add(f"{module}.{name}")
            # A class, since protocol 2 and newer make objects by calling a class's __new__.
            return type("Dropped", (Placeholder,), {"of": f"{module}.{name}"})

    def load(stream: IO[bytes], **options: Any) -> object:  # noqa: ANN401
        return Unpickler(stream, **options).load()

    stand_in = ModuleType("tensors_only")
    members: dict[str, type | Callable[..., Any]] = {"Unpickler": Unpickler, "load": load}
    stand_in.__dict__.update(members, UnpicklingError=pickle.UnpicklingError)
    return stand_in


def _is_companion(module: str, name: str) -> bool:
    return name in _COMPANIONS.get(module, ()) or any(
        module == package or module.startswith(f"{package}.") for package in _COMPANION_PACKAGES
    )

"""What a checkpoint's pickle may name, and what becomes of the rest."""

import argparse
import collections
import copyreg
import datetime
import io
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch

from hot_sdk._base.budget import Budget
from hot_sdk.errors import CheckpointError
from hot_sdk.export.checkpoints.unpickler import Placeholder, TensorUnpickler

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def refused(*_):
    raise AssertionError


def read(pickled):
    dropped = set()
    stream = io.BytesIO(pickled)
    unpickler = TensorUnpickler(stream, "some.pth", dropped, Budget(), refused, refused)
    return unpickler.load(), dropped


COMPANIONS = [
    (np.random.RandomState(0), "numpy.random"),
    (np.float64(3.5), "scalar"),
    (np.arange(5), "numpy"),
    (np.random.default_rng(0), "numpy.random"),
    (argparse.Namespace(lr=1.0, layers=[1, 2]), "argparse.Namespace"),
    (types.SimpleNamespace(a=1), "types.SimpleNamespace"),
    (collections.defaultdict(list, {"a": [1]}), "collections.defaultdict"),
    (collections.Counter("aab"), "collections.Counter"),
    (collections.deque([1, 2, 3]), "collections.deque"),
    (3 + 4j, "complex"),
    (datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), "datetime.datetime"),
    (pathlib.PurePosixPath("a/b"), "pathlib"),
    (torch.nn.ReLU(), "torch.nn.modules.activation.ReLU"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("thing", "name"), COMPANIONS, ids=[name for _, name in COMPANIONS])
def test_replaces_known_companions_of_weights_by_placeholders(thing, name, protocol):
    value, dropped = read(pickle.dumps({"before": 1, "thing": thing, "after": [2]}, protocol))
    assert (value["before"], value["after"]) == (1, [2])
    assert isinstance(value["thing"], Placeholder)
    assert any(name in each for each in dropped)


def test_placeholder_ignores_every_operation():
    # A call; then BUILD, APPEND, SETITEM, APPENDS, SETITEMS, ADDITEMS, a call of the result, BUILD.
    pickled = (
        b"\x80\x04cargparse\nNamespace\n)R}bK\x01aK\x01K\x02s(K\x01e(K\x01K\x02u(K\x01\x90)R}b."
    )
    assert isinstance(read(pickled)[0], Placeholder)


def test_imports_nothing_for_companions():
    assert "yacs.config" not in sys.modules
    read(b"\x80\x02cyacs.config\nCfgNode\n)R.")
    read(b"\x80\x02ctorch.optim.no_such_module\nNothing\n)R.")
    assert "yacs.config" not in sys.modules


REFUSED = [
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "map"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("importlib", "import_module"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("torch", "hub.load"),
    ("torch.hub", "load"),
    ("torch.serialization", "load"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("numpy", "load"),
    ("numpy", "os.system"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.randomly", "anything"),
    ("collections", "namedtuple"),
    ("collections", "OrderedDict.__init__"),
    ("argparse", "FileType"),
    ("antigravity", "anything"),
    ("__main__", "Model"),
]


@pytest.mark.parametrize(("module", "name"), REFUSED)
@pytest.mark.parametrize("opcode", ["GLOBAL", "STACK_GLOBAL", "INST"])
def test_rejects_any_other_name(module, name, opcode):
    loaded = set(sys.modules)
    texts = (module.encode(), name.encode())
    pickled = {
        "GLOBAL": b"\x80\x04c%b\n%b\n" % texts,
        "STACK_GLOBAL": b"\x80\x04"
        + b"".join(b"\x8c" + bytes([len(text)]) + text for text in texts)
        + b"\x93",
        "INST": b"\x80\x04(i%b\n%b\n" % texts,
    }[opcode]
    with pytest.raises(CheckpointError, match="asks for") as caught:
        read(pickled + b".")
    assert f"{module}.{name}" in caught.value.message
    assert set(sys.modules) == loaded


def test_never_looks_up_names_of_companion_packages():
    value, dropped = read(b"\x80\x04\x8c\x0cnumpy.random\x8c\x09os.system\x93\x8c\x02id\x85R.")
    assert isinstance(value, Placeholder)
    assert dropped == {"numpy.random.os.system"}


def test_names_a_refused_object_within_a_companion():
    class Evil:
        def __reduce__(self):
            return eval, ("1/0",)

    with pytest.raises(CheckpointError, match="eval"):
        read(pickle.dumps(argparse.Namespace(inside=[Evil()]), 2))


def test_rejects_registered_extensions():
    copyreg.add_extension("os", "system", 7)
    try:
        with pytest.raises(CheckpointError, match=r"os\.system"):
            read(b"\x80\x02\x82\x07.")
    finally:
        copyreg.remove_extension("os", "system", 7)

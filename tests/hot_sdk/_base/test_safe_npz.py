"""Archives and arrays are compared with the budget before memory is allocated."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from hot_sdk._base.budget import Budget
from hot_sdk._base.safe_npz import NpzError, open_npz

SMALL = Budget(unpacked_bytes=1 << 20, values=10_000, directory_bytes=10_000)


def member(shape, dtype="<f8", values=b""):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


def archive(members, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as held:
        for name, content in members.items():
            held.writestr(f"{name}.npy", content)
    stream.seek(0)
    return stream


def read(stream, name="a", budget=SMALL):
    with open_npz(stream, budget=budget) as arrays:
        return arrays[name]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", ">f8", "i1", "u2", "?", "U3", "S2", "c8"])
def test_arrays_are_read_as_numpy_does(order, dtype):
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype=dtype, order=order)
    stream = io.BytesIO()
    np.savez(stream, a=array, empty=np.zeros((0, 5)), scalar=np.array("text"))
    stream.seek(0)
    with open_npz(stream, budget=SMALL) as arrays:
        np.testing.assert_array_equal(arrays["a"], array)
        assert arrays["a"].dtype == array.dtype
        assert arrays["a"].flags.writeable
        assert arrays["empty"].shape == (0, 5)
        assert arrays["scalar"][()] == "text"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (member((1 << 38,)), "values in an array"),
        (member((1 << 60, 0)), "has shape"),
        (member((0, 1 << 62, 1 << 62)), "has shape"),
        (member((9_999,)), "cut off: 79992 bytes are claimed"),
        (member((1,), "<U1000000000"), "cut off|descriptor"),
        (member((1,), "<U200000", bytes(800_000)), None),
        (member((1,), "<f8", bytes(7)), "cut off"),
        (member((-1,), "<f8", bytes(8)), "has shape|cut off|valid"),
        (member((1,), "<U1", b"\xff\xff\xff\xff"), "no characters"),
        (member((1,), "<U1", b"\0\xd8\0\0"), "no characters"),
        (member((1,), ">U1", b"\0\x11\0\0"), "no characters"),
        (member((1,), "|O", b"\x80\x04N."), "Python objects"),
        (b"\x93NUMPY\x09\x00", "version"),
        (bytes(2 << 20), "bytes once it is unpacked"),
    ],
)
def test_claims_are_checked_before_memory_is_allocated(content, said):
    tracemalloc.start()
    try:
        if said is None:
            read(archive({"a": content}))
        else:
            with pytest.raises(NpzError, match=said):
                read(archive({"a": content}))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 6 << 20


def test_long_texts_are_refused():
    size = 5 << 20
    with pytest.raises(NpzError, match="bytes of text in an array"):
        read(archive({"a": member((1,), f"<U{size // 4}", bytes(size))}), budget=Budget())


def test_table_of_contents_is_limited():
    many = archive({str(number): b"" for number in range(300)})
    with pytest.raises(NpzError, match="bytes in its table of contents"):
        read(many)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_compressions_are_refused(method):
    with pytest.raises(NpzError, match="unusual way"):
        read(archive({"a": member((1,), "<f8", bytes(8))}, method))

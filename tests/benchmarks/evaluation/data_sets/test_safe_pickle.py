"""Pickled object arrays are read, and nothing that a file names is ever called."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot_sdk._base import safe_pickle
from hot_sdk._base.budget import Budget
from hot_sdk.benchmarks.evaluation.data_sets import safe_pickle as saved_sets
from hot_sdk.benchmarks.evaluation.data_sets.safe_pickle import (
    holds,
    items,
    mapping,
    numbers,
    read_object,
)
from hot_sdk.errors import DatasetError


def saved(path, value):
    np.savez_compressed(path, held=value)
    return path


def saved_pickle(path, content, header=None):
    """An npz whose one member is an object array with this pickle."""
    stream = io.BytesIO()
    described = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(stream, header or described)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("held.npy", stream.getvalue() + content)
    return path


@pytest.mark.parametrize(
    "dtype", ["f2", "<f4", ">f4", "f8", "b1", "i1", "u2", ">i4", "i8", "u8"], ids=str
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_arrays_unchanged(tmp_path, dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype=dtype, order=order)
    held = mapping(read_object(saved(tmp_path / "a.npz", {"x": {"y": array}}), "held"))
    found = numbers(mapping(held["x"])["y"])
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_every_protocol_of_numpy(tmp_path, protocol):
    value = np.array({"S9": {"Walking 1": [np.ones((3, 2), np.float32)]}}, dtype=object)
    path = saved_pickle(tmp_path / "a.npz", pickle.dumps(value, protocol))
    (array,) = items(mapping(mapping(read_object(path, "held"))["S9"])["Walking 1"])
    np.testing.assert_array_equal(numbers(array), np.ones((3, 2)))


def test_reads_pickles_of_python_2(tmp_path):
    """Texts and bytes were one type then: a dictionary of an array, pickled by hand."""
    raw = np.arange(3, dtype="<f4").tobytes()
    content = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(tcnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntbI00\n"
        b"(lp1\n(dS'S9'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I3\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"U" + bytes([len(raw)]) + raw + b"tbsatb."
    )
    path = saved_pickle(tmp_path / "a.npz", content)
    np.testing.assert_array_equal(numbers(mapping(read_object(path, "held"))["S9"]), [0, 1, 2])


def test_reads_object_arrays_as_lists(tmp_path):
    views = np.empty(2, dtype=object)
    views[:] = [np.zeros(1), np.ones(4)]
    path = saved(tmp_path / "a.npz", {"views": views})
    found = items(mapping(read_object(path, "held"))["views"])
    assert [numbers(one).tolist() for one in found] == [[0.0], [1.0] * 4]


class _Calls:
    def __init__(self, function, *arguments):
        self.called = (function, arguments)

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize(
    "hostile",
    [
        _Calls(os.system, "touch harmed"),
        _Calls(eval, "open('harmed', 'w')"),
        _Calls(open, "harmed", "w"),
        _Calls(np.save, "harmed.npy", 1),
        _Calls(getattr, "text", "upper"),
        _Calls(pickle.loads, pickle.dumps(_Calls(os.system, "touch harmed"))),
        _Calls(np.zeros, 4),
    ],
    ids=lambda hostile: hostile.called[0].__name__,
)
@pytest.mark.parametrize("place", ["instead", "inside"])
def test_file_that_calls_something_is_refused(tmp_path, hostile, place):
    value = hostile if place == "instead" else np.array({"x": hostile}, dtype=object)
    path = saved_pickle(tmp_path / "a.npz", pickle.dumps(value))
    with pytest.raises(DatasetError, match=r"not safe to read.*nothing was run"):
        read_object(path, "held")
    assert [one.name for one in tmp_path.iterdir()] == ["a.npz"]


def test_stand_ins_of_names_cannot_be_changed(tmp_path):
    """A pickle may set attributes of what it names; ours keep none from one file to the next."""
    spoilt = b"\x80\x02cnumpy\nndarray\n}U\x05_makeNs\x86b."
    path = saved_pickle(tmp_path / "a.npz", spoilt)
    with pytest.raises(DatasetError, match="published layout"):
        read_object(path, "held")
    good = saved(tmp_path / "b.npz", {"x": np.ones(2)})
    np.testing.assert_array_equal(numbers(mapping(read_object(good, "held"))["x"]), [1, 1])


def pickled_array(state):
    """An object array of one item: an array with any state."""
    outer = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02%s\x89\x88\x87R(K\x03U\x01%sNNNJ\xff\xff\xff\xffK\x00K\x00tb"
    shape, code, raw = state
    inner = (
        outer
        + b"(K\x01"
        + pickle.dumps(shape, 2)[2:-1]
        + dtype % (code[1:], code[:1])
        + b"\x89"
        + pickle.dumps(raw, 2)[2:-1]
        + b"tb"
    )
    return outer + b"(K\x01)" + dtype % (b"O8", b"|") + b"\x89]" + inner[2:] + b"atb."


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (((5,), b"<f4", "12345678"), "shape .5,. has 8 bytes"),
        (((-1,), b"<f4", "12345678"), "no shape"),
        (((2**41,), b"<f4", "12345678"), "no shape"),
        (("ab", b"<f4", "12345678"), "no shape"),
        (((2,), b"<U4", "12345678"), "numbers is expected"),
        (((1,), b"<V8", "12345678"), "numbers is expected"),
        (((1,), b"<f4", 17), "holds no bytes"),
    ],
)
def test_inconsistent_array_is_refused(tmp_path, state, said):
    path = saved_pickle(tmp_path / "a.npz", pickled_array(state))
    with pytest.raises(ValueError, match=said):
        numbers(read_object(path, "held"))


def test_consistent_array_of_the_same_form_is_read(tmp_path):
    path = saved_pickle(tmp_path / "a.npz", pickled_array(((2,), b"<i4", "\1\0\0\0\2\0\0\0")))
    assert numbers(read_object(path, "held")).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "ask", "said"),
    [
        ({1: 2}, mapping, "dictionary"),
        ([1], mapping, "dictionary is expected, not a list"),
        (np.ones(3), mapping, "not an array"),
        ("text", items, "not a str"),
        (np.ones(3), items, "list is expected"),
        ([1.0], numbers, "not a list"),
        (np.array(["a"]), numbers, "numbers"),
    ],
)
def test_other_kinds_of_values_are_refused(tmp_path, value, ask, said):
    holder = np.empty((), dtype=object)
    holder[()] = {"x": value}
    path = saved(tmp_path / "a.npz", holder)
    with pytest.raises(ValueError, match=said):
        ask(mapping(read_object(path, "held"))["x"])


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_object(tmp_path / "absent.npz", "held")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DatasetError, match="published layout"):
        read_object(tmp_path / "text.npz", "held")
    with pytest.raises(DatasetError, match="no objects"):
        read_object(saved(tmp_path / "plain.npz", np.ones(3)), "held")
    with pytest.raises(DatasetError, match="other"):
        read_object(saved(tmp_path / "a.npz", {}), "other")
    with pytest.raises(DatasetError, match="3 objects"):
        read_object(saved(tmp_path / "b.npz", np.array([{}, {}, {}])), "held")


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (saved_sets.read_pickled_file, lambda path: read_object(path, "a")):
        with pytest.raises(DatasetError, match="no regular file"):
            read(tmp_path / "pipe")


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(saved_sets, "LARGEST_UNPACKED", 1 << 20)
    with pytest.raises(DatasetError, match="bytes once it is unpacked"):
        read_object(saved(tmp_path / "a.npz", {"x": np.zeros(1 << 20)}), "held")


def test_table_of_contents_is_within_the_budget(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.npz", {"x": np.zeros(4)})
    assert holds(path, "held")
    monkeypatch.setattr(saved_sets, "input_budget", lambda: Budget(directory_bytes=20))
    with pytest.raises(DatasetError, match="bytes in its table of contents"):
        holds(path, "held")


@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path_factory, data):
    """Bytes changed at random give arrays, or our errors."""
    folder = tmp_path_factory.getbasetemp()
    value = np.array({"S9": {"a": [np.ones((4, 2))], "b": np.zeros(3, "f4")}}, dtype=object)
    content = bytearray(pickle.dumps(value, 4))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = saved_pickle(folder / "damaged.npz", bytes(content))
    try:
        held = mapping(mapping(read_object(path, "held"))["S9"])
        for one in items(held["a"]):
            numbers(one)
    except (DatasetError, ValueError, KeyError):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # Room for two thousand million objects, requested by one.
        (b"\x80\x02}r\xff\xff\xff\x7f.", "an array is expected, not a dict"),
        (b"(dp99999999999\n.", "an array is expected, not a dict"),
        # A key of forty pairs of pairs, of which the hash takes 2**40 steps.
        (
            b"\x80\x02}K\x01" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(40)) + b"K\x01s.",
            "a key that is no name",
        ),
        (b"\x80\x05\x96\xff\xff\xff\xff\x00\x00\x00\x00.", "EOFError|MemoryError"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"Pid\n.", "PERSID"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"", "exhausted|no pickle|published layout"),
        (b"\x80\x02}", "published layout"),
    ],
)
def test_opcodes_that_no_array_needs_are_refused(tmp_path, content, said):
    path = saved_pickle(tmp_path / "a.npz", content)
    with pytest.raises(DatasetError, match=said):
        read_object(path, "held")


class TestListsAndTexts:
    """What data sets hold next to arrays: lists of arrays or numbers, and texts."""

    def held(self, value, protocol=4):
        stream = io.BytesIO(pickle.dumps(value, protocol))
        return safe_pickle.read_pickle(stream, max_bytes=1 << 20)

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize(
        "value",
        [
            np.arange(6.0).reshape(2, 3),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            [np.ones((2, 3)), np.zeros((2, 3))],
            [np.float64(2.5), 1.5, 3, True],
            [[1, 2], [3, 4]],
        ],
    )
    def test_numbers(self, value, protocol):
        found = safe_pickle.stacked(self.held(value, protocol))
        np.testing.assert_array_equal(found, np.array(value))

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize(
        "value",
        [
            ["ab", "c"],
            np.array(["ab", "c"]),
            np.array(["ab", "c"], dtype=object),
            np.array([b"ab", b"c"]),
            [np.str_("ab"), "c"],
        ],
    )
    def test_texts(self, value, protocol):
        assert safe_pickle.texts(self.held(value, protocol)) == ["ab", "c"]

    @pytest.mark.parametrize(
        ("read", "value", "said"),
        [
            ("stacked", [np.ones(2), np.ones(3)], "differ in shape"),
            ("stacked", [10**400, 10**400], "too large"),
            ("stacked", ["a"], "a str"),
            ("stacked", np.array(["a"]), "numbers is expected"),
            ("texts", [3], "an array is expected"),
            ("texts", np.ones(2), "texts are expected"),
            ("texts", [np.array(["a", "b"])], "not an array"),
            ("texts", np.array([0xD800, 0x41], dtype="<u4").view("<U1"), "unusual characters"),
            ("texts", np.array([1 << 31], dtype="<u4").view("<U1"), "unusual characters"),
        ],
    )
    def test_anything_else_is_refused(self, read, value, said):
        with pytest.raises(ValueError, match=said):
            getattr(safe_pickle, read)(self.held(value))

    def test_too_large_a_file_is_refused(self):
        with pytest.raises(ValueError, match="bytes"):
            safe_pickle.read_pickle(io.BytesIO(pickle.dumps(list(range(99)))), max_bytes=50)

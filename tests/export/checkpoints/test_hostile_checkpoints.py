"""Small checkpoints that stand for more memory or time than there is."""

import io
import json
import pickle
import struct
import tracemalloc
import zipfile

import pytest
import torch

from hot_sdk.errors import CheckpointError
from hot_sdk.export.checkpoints.reader import read_checkpoint

ZIP, LEGACY = True, False


def saved(path, value, layout=ZIP):
    torch.save(value, path, _use_new_zipfile_serialization=layout)
    return path


def rewritten(path, change, method=zipfile.ZIP_STORED):
    """The same archive with changed members."""
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", method) as target:
        for name, content in members.items():
            target.writestr(name, change(name, content))
    return path


def refused(path, said):
    """The checkpoint is refused within few bytes more than it has."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=said) as caught:
            read_checkpoint(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 500
    assert most < 3 * path.stat().st_size + (8 << 20)


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
class TestTensors:
    @pytest.mark.parametrize("count", [3, 2**31, 2**40])
    def test_stride_of_zero(self, tmp_path, layout, count):
        value = {"w": torch.zeros(1).expand(count)}
        refused(saved(tmp_path / "a.pth", value, layout), f"{count} numbers refers to 1 stored")

    def test_tensors_that_share_a_storage(self, tmp_path, layout):
        whole = torch.zeros(1 << 16, dtype=torch.float16)
        value = {f"w{number}": whole[number:] for number in range(300)}
        refused(saved(tmp_path / "a.pth", value, layout), "bytes of tensors, over the limit")

    def test_one_tensor_under_many_names(self, tmp_path, layout):
        whole = torch.ones(1 << 20, dtype=torch.float16)
        path = saved(tmp_path / "a.pth", {f"w{number}": whole for number in range(500)}, layout)
        tensors = read_checkpoint(path).tensors
        assert len({tensor.data_ptr() for tensor in tensors.values()}) == 1

    def test_tied_and_transposed_weights_are_read(self, tmp_path, layout):
        weight = torch.randn(5, 7)
        value = {"a": weight, "b": weight.t(), "c": weight[1:3, 2:], "d": torch.empty(0, 3)}
        tensors = read_checkpoint(saved(tmp_path / "a.pth", value, layout)).tensors
        assert all(torch.equal(tensors[key], value[key]) for key in value)

    def test_parameters_with_attributes(self, tmp_path, layout):
        weight = torch.nn.Parameter(torch.randn(3))
        weight.scale = 3.0
        tensors = read_checkpoint(saved(tmp_path / "a.pth", {"w": weight}, layout)).tensors
        assert torch.equal(tensors["w"], weight.detach())

    def test_one_dictionary_under_many_names(self, tmp_path, layout):
        inner = {f"w{number}": 1 for number in range(1000)}
        value = {f"n{number}": {f"m{n}": inner for n in range(300)} for number in range(2)}
        refused(saved(tmp_path / "a.pth", value, layout), "entries in dictionaries")


def test_deflated_storages(tmp_path):
    path = saved(tmp_path / "a.pth", {"w": torch.zeros(4 << 20)})
    rewritten(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    refused(path, "bytes of storages, over the limit")


@pytest.mark.parametrize("size", [0, 64, 20_004])
def test_storage_of_another_size_than_its_member(tmp_path, size):
    path = saved(tmp_path / "a.pth", {"w": torch.zeros(5000)})
    change = {True: bytes(size), False: None}
    rewritten(path, lambda name, content: change[name.endswith("data/0")] or content)
    if size:
        refused(path, f"5000 numbers has {size} bytes")


def test_legacy_storage_that_claims_gigabytes(tmp_path):
    path = saved(tmp_path / "a.pth", {"w": torch.zeros(7)}, LEGACY)
    content = path.read_bytes()
    # The pickle's number of elements, and the one before the storage.
    path.write_bytes(content.replace(b"K\x07N", b"\x8a\x05" + struct.pack("<q", 2**36)[:5] + b"N"))
    refused(path, "damaged")


def with_pickle(path, content):
    saved(path, {"w": torch.zeros(2)})
    change = {True: content, False: None}
    return rewritten(
        path, lambda name, held: change[name.endswith("data.pkl")] or held, zipfile.ZIP_DEFLATED
    )


def nested_key():
    """A key of forty pairs of pairs: its hash takes 2**40 steps."""
    return b"\x80\x02}K\x01" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(40)) + b"K\x01s."


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (nested_key(), "key that is no name"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "holds a whole object"),
        (b"\x80\x02" + b"]0" * 700_000 + b"N.", "over the limit"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".", "damaged"),
        (b"\x80\x02ctorch\nFloatStorage\n}X\x05\x00\x00\x00dtypeK\x01sb.", "not its own"),
        (b"\x80\x02ccollections\nOrderedDict\nN}X\x05\x00\x00\x00itemsNs\x86b.", "not its own"),
        (b"\x80\x02", "damaged"),
    ],
    ids=["key", "memo", "steps", "text", "long", "bytes", "kind", "class", "cut"],
)
def test_pickles_within_checkpoints(tmp_path, pickled, said):
    refused(with_pickle(tmp_path / "a.pth", pickled), said)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (2,), (1,)),
        (0, (2, 2), (1, 1)),
        (0, (2,), (2,)),
        (2**40, (0,), (1,)),
        (-1, (1,), (1,)),
        (0, (1,), (-1,)),
        (0, (2,), ()),
        (0, (2**62, 2**62, 0), (1, 1, 1)),
        (0, tuple([1] * 100), tuple([1] * 100)),
        (0, [2], (1,)),
        (0, (2.0,), (1,)),
    ],
)
def test_tensor_outside_of_its_storage(tmp_path, offset, shape, strides):
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x02tQ"
    body = b"".join(pickle.dumps(value, 2)[2:-1] for value in (offset, shape, strides))
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + body + b"\x89NtR"
    path = with_pickle(tmp_path / "a.pth", b"\x80\x02}X\x01\x00\x00\x00w" + call + b"s.")
    if (offset, shape) == (2**40, (0,)):
        assert read_checkpoint(path).tensors["w"].shape == (0,)
    else:
        refused(path, "damaged, or is no checkpoint .a tensor")


def test_member_that_is_there_twice(tmp_path):
    path = saved(tmp_path / "a.pth", {"w": torch.zeros(2)})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/data.pkl", b"\x80\x02}.")
    refused(path, "one name")


def safetensors(header, values=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


@pytest.mark.parametrize(
    "content",
    [
        safetensors({"a": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}),
        safetensors({"a": {"dtype": "F32", "shape": [0] + [2] * 70, "data_offsets": [0, 0]}}),
        safetensors({"a": {"dtype": "F32", "shape": [2**64], "data_offsets": [0, 4]}}, b"1234"),
        safetensors({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}}, b"1234"),
        safetensors({"a": 3}),
        safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        safetensors(b"{" + b'"a":1,' * 3_000_000 + b'"b":1}'),
    ],
    ids=["empty", "dimensions", "large", "text", "number", "nested", "long"],
)
def test_headers_of_safetensors(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    refused(path, "damaged safetensors file")


def test_objects_that_are_not_rebuilt_cost_no_memory(tmp_path):
    value = {"model": {"w": torch.ones(2)}, "log": ["text"] * 1000, "sizes": torch.Size([2])}
    assert list(read_checkpoint(saved(tmp_path / "a.pth", value)).tensors) == ["w"]


def test_reads_from_any_position_of_the_pickles(tmp_path):
    """The legacy layout puts five pickles one after the other, of any protocol."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        stream = io.BytesIO()
        torch.save(
            {"w": torch.arange(4.0)},
            stream,
            _use_new_zipfile_serialization=False,
            pickle_protocol=protocol,
        )
        path = tmp_path / "a.pth"
        path.write_bytes(stream.getvalue())
        if path.read_bytes().startswith(b"\x80"):
            assert read_checkpoint(path).tensors["w"].tolist() == [0, 1, 2, 3]

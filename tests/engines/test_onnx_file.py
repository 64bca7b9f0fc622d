from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto, helper
from small_models import external_tensor, finish_model, make_affine, make_external

from hot_sdk.engines import onnx_file, protobuf
from hot_sdk.engines.onnx_file import check_onnx
from hot_sdk.errors import EngineError

OUTSIDE = "../secret.bin"


def in_initialiser():
    return make_external(OUTSIDE)


def in_sparse_initialiser():
    model = make_affine()
    model.graph.sparse_initializer.append(SparseTensorProto(values=external_tensor(OUTSIDE)))
    return model


def in_sparse_indices():
    model = make_affine()
    model.graph.sparse_initializer.append(SparseTensorProto(indices=external_tensor(OUTSIDE)))
    return model


def with_attribute(**fields):
    model = make_affine()
    model.graph.node[0].attribute.append(AttributeProto(name="value", **fields))
    return model


def in_constant():
    return with_attribute(type=AttributeProto.TENSOR, t=external_tensor(OUTSIDE))


def in_constant_list():
    return with_attribute(type=AttributeProto.TENSORS, tensors=[external_tensor(OUTSIDE)])


def in_sparse_constant():
    sparse = SparseTensorProto(values=external_tensor(OUTSIDE))
    return with_attribute(type=AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse)


def in_sparse_constant_list():
    sparse = SparseTensorProto(values=external_tensor(OUTSIDE))
    return with_attribute(type=AttributeProto.SPARSE_TENSORS, sparse_tensors=[sparse])


def in_branch():
    return with_attribute(type=AttributeProto.GRAPH, g=in_constant().graph)


def in_branch_of_branch():
    return with_attribute(type=AttributeProto.GRAPHS, graphs=[in_branch().graph])


def in_function():
    model = make_affine()
    node = helper.make_node("Constant", [], ["c"], value=external_tensor(OUTSIDE))
    model.functions.append(
        helper.make_function("custom", "F", [], ["c"], [node], [helper.make_opsetid("", 17)])
    )
    return model


def in_training():
    model = make_affine()
    model.training_info.add().algorithm.CopyFrom(in_initialiser().graph)
    return model


def behind_a_second_location():
    model = make_external("weights.bin")
    model.graph.initializer[0].external_data.add(key="location", value=OUTSIDE)
    return model


def in_inline_tensor():
    model = make_external(OUTSIDE)
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    return model


@pytest.mark.parametrize(
    "make",
    [
        in_initialiser,
        in_sparse_initialiser,
        in_sparse_indices,
        in_constant,
        in_constant_list,
        in_sparse_constant,
        in_sparse_constant_list,
        in_branch,
        in_branch_of_branch,
        in_function,
        in_training,
        behind_a_second_location,
        in_inline_tensor,
    ],
)
def test_every_external_location_is_found(tmp_path, make):
    (tmp_path / "secret.bin").touch()
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").touch()
    path = folder / "model.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(EngineError, match="outside of its own folder"):
        check_onnx(path)


def raw_field(number, payload):
    return bytes([number << 3 | 2, len(payload)]) + payload


@pytest.mark.parametrize("values", [[b"weights.bin", OUTSIDE.encode()], [OUTSIDE.encode(), b""]])
def test_second_value_of_a_location_is_refused(tmp_path, values):
    # A parser takes the last.
    (tmp_path / "weights.bin").touch()
    entry = raw_field(1, b"location") + b"".join(raw_field(2, value) for value in values)
    path = tmp_path / "model.onnx"
    path.write_bytes(raw_field(7, raw_field(5, raw_field(13, entry))))
    with pytest.raises(EngineError, match="repeats a part of its ExternalData"):
        check_onnx(path)


def test_location_without_a_value_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(raw_field(7, raw_field(5, raw_field(13, raw_field(1, b"location")))))
    with pytest.raises(EngineError, match="which is not there"):
        check_onnx(path)


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("absent.bin", "which is not there"),
        ("", "which is not there"),
        (".", "which is not there"),
        ("*/_ORT_MEM_ADDR_/*", "which is not there"),
        ("a\0b", "outside of its own folder"),
        ("..", "outside of its own folder"),
    ],
)
def test_locations_that_are_not_files(tmp_path, location, says):
    path = tmp_path / "model.onnx"
    path.write_bytes(make_external(location).SerializeToString())
    with pytest.raises(EngineError, match=says):
        check_onnx(path)


def test_linked_model_has_its_weights_next_to_the_target(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "blobs" / "1").write_bytes(make_external("weights.bin").SerializeToString())
    (tmp_path / "blobs" / "2").write_bytes(b"weights")
    (tmp_path / "snapshot" / "model.onnx").symlink_to("../blobs/1")
    (tmp_path / "snapshot" / "weights.bin").symlink_to("../blobs/2")
    file = check_onnx(tmp_path / "snapshot" / "model.onnx")
    assert file.external == ((tmp_path / "blobs" / "2").resolve(),)


def test_digest_covers_the_weights(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(make_external("weights.bin").SerializeToString())
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"one")
    first = check_onnx(path).digest()
    assert check_onnx(path).digest() == first
    weights.write_bytes(b"two")
    assert check_onnx(path).digest() != first


def test_digest_covers_which_file_is_which(tmp_path):
    path = tmp_path / "model.onnx"
    model = make_external("one")
    second = external_tensor("two")
    second.name = "second"
    model.graph.initializer.append(second)
    path.write_bytes(model.SerializeToString())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(name.encode())
    (tmp_path / "one").symlink_to("a/weights.bin")
    (tmp_path / "two").symlink_to("b/weights.bin")
    first = check_onnx(path)
    for name, target in (("one", "b"), ("two", "a")):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(f"{target}/weights.bin")
    swapped = check_onnx(path)
    assert swapped.external == first.external
    assert swapped.digest() != first.digest()


def test_digest_of_a_linked_model_covers_the_weights_on_both_sides(tmp_path):
    for name in ("link", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(name.encode())
    (tmp_path / "target" / "model.onnx").write_bytes(
        make_external("weights.bin").SerializeToString()
    )
    path = tmp_path / "link" / "model.onnx"
    path.symlink_to("../target/model.onnx")
    first = check_onnx(path).digest()
    (tmp_path / "target" / "weights.bin").write_bytes(b"changed")
    assert check_onnx(path).digest() != first


def test_digest_of_path_and_bytes_agree(affine_file):
    assert check_onnx(affine_file).digest() == check_onnx(affine_file.read_bytes()).digest()


def test_every_cut_is_refused_or_leaves_whole_fields():
    content = make_affine(metadata={"key": "value"}).SerializeToString()
    accepted = []
    for length in range(len(content)):
        try:
            check_onnx(content[:length])
        except EngineError:
            continue
        accepted.append(length)
    for length in accepted:
        # What is accepted is whole: the reference parser reads it and writes it back unchanged.
        assert ModelProto.FromString(content[:length]).SerializeToString() == content[:length]
    assert len(accepted) <= 3


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        (b"\xea\x80\x80\x80\x10", "too large"),  # External data in the lower 32 bits.
        (b"\xea\x80\x80\x80\x80\x00", "does not end a number"),
        (b"\xea\x80\x80\x80\x80\x80\x80\x80\x80\x01", "does not end a number"),
        (b"\xea\x00", "outside of its own folder"),
        (b"\x6b", "does not begin a field"),
        (b"\x68", "does not begin a ExternalData"),
    ],
)
def test_tags_that_parsers_read_differently_hide_no_location(tmp_path, tag, says):
    entry = raw_field(1, b"location") + raw_field(2, OUTSIDE.encode())
    tensor = tag + bytes([len(entry)]) + entry
    (tmp_path / "secret.bin").touch()
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "model.onnx"
    path.write_bytes(raw_field(7, raw_field(5, tensor)))
    with pytest.raises(EngineError, match=says):
        check_onnx(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (raw_field(7, b"") + raw_field(7, b""), "repeats a part of its Model"),
        (raw_field(7, b"") + b"\x08" + b"\xff" * 9 + b"\x02", "too large"),
        (raw_field(7, b"") + b"\x12\x80\x80\x80\x80\x08", "too large"),
        (raw_field(7, raw_field(5, b"\x0a\x02\x01\x80")), "list of whole numbers"),
        (raw_field(7, raw_field(5, raw_field(7, b"\xff" * 9 + b"\x02"))), "list of whole numbers"),
        (raw_field(7, raw_field(5, raw_field(7, b"\xff" * 10 + b"\x00"))), "list of whole numbers"),
        (raw_field(7, raw_field(5, b"\x22\x05\0\0\0\0\0")), "list of whole numbers"),
        (raw_field(7, raw_field(2, b"\xff")), "can't decode"),
    ],
)
def test_what_parsers_read_differently_is_refused(content, says):
    with pytest.raises(EngineError, match=says):
        check_onnx(content)


def test_numbers_of_64_bits_are_accepted_across_parts(monkeypatch):
    monkeypatch.setattr(protobuf, "_CHUNK", 3)
    numbers = b"\x01" + b"\xff" * 9 + b"\x01" + b"\xff\x00" * 5
    check_onnx(raw_field(7, raw_field(5, raw_field(7, numbers))))
    with pytest.raises(EngineError, match="list of whole numbers"):
        check_onnx(raw_field(7, raw_field(5, raw_field(7, numbers[:1] + b"\xff" + numbers[1:]))))


def test_metadata_named_location_is_no_location():
    assert not check_onnx(make_affine(metadata={"location": "here"}).SerializeToString()).external


@given(st.data())
def test_damaged_files_raise_only_our_error(data):
    content = bytearray(in_branch().SerializeToString())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_onnx(bytes(content))
    except EngineError as error:
        assert error.hint  # noqa: PT017


def test_parts_are_limited(monkeypatch):
    content = make_affine().SerializeToString()
    check_onnx(content)
    monkeypatch.setattr(onnx_file, "_MOST_FIELDS", 10)
    with pytest.raises(EngineError, match="too many parts"):
        check_onnx(content)


def test_depth_is_limited():
    graph = make_affine().graph
    for _ in range(25):
        graph = with_attribute(type=AttributeProto.GRAPH, g=graph).graph
    with pytest.raises(EngineError, match="too many parts"):
        check_onnx(finish_model(graph).SerializeToString())


def test_size_is_limited(monkeypatch):
    content = make_affine().SerializeToString()
    monkeypatch.setattr(onnx_file, "_MOST_BYTES", len(content) - 1)
    with pytest.raises(EngineError, match="2 GiB"):
        check_onnx(content)

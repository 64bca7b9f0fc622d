"""What the onnx package reads in damaged files is what is read here, or the file is refused."""

from __future__ import annotations

import random

import onnx.shape_inference
import pytest
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, SparseTensorProto, helper
from small_models import external_tensor, make_affine, make_external, make_pair

from hot_sdk.engines.onnx_file import DTYPES, _read_locations, _signature

FIRST_FILES = 3000
"""Files of a test run; ``count_disagreements`` takes more."""

_INTERESTING = (0x00, 0x01, 0x07, 0x08, 0x0A, 0x10, 0x12, 0x3A, 0x6A, 0x7F, 0x80, 0xFF)


def _seeds() -> list[bytes]:
    branch = make_external("inside.bin")
    attributes = branch.graph.node[0].attribute
    attributes.append(AttributeProto(name="t", type=4, t=external_tensor("a.bin")))
    attributes.append(AttributeProto(name="ints", type=7, ints=[1, 300, -1], floats=[1.0]))
    attributes.append(AttributeProto(name="g", type=5, g=make_external("b.bin").graph))
    sparse = SparseTensorProto(values=external_tensor("c.bin"), dims=[2, 2])
    branch.graph.sparse_initializer.append(sparse)
    branch.graph.value_info.append(helper.make_tensor_value_info("v", 1, ["n", 3]))
    return [
        model.SerializeToString()
        for model in (
            make_affine(metadata={"key": "value", "location": "here"}),
            make_external("weights.bin"),
            make_pair(),
            branch,
        )
    ]


def _wide(value: int, size: int) -> bytes:
    """Write a number in so many bytes, which protocol buffers allow."""
    parts = [value >> 7 * at & 0x7F | 0x80 for at in range(size)]
    return bytes([*parts[:-1], parts[-1] & 0x7F])


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Damage a file in one to four places, with a liking for what parsers stumble over."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        kind = rng.randrange(8)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at] = rng.choice(_INTERESTING)
        elif kind == 3:
            del data[at : at + rng.randint(1, 6)]
        elif kind == 4:
            data[at:at] = bytes(rng.choice(_INTERESTING) for _ in range(rng.randint(1, 6)))
        elif kind == 5:  # The same byte as a wider number, its upper bits perhaps lost.
            upper = rng.choice((0, 0, 1 << 32, 1 << 31, 1 << 63))
            data[at : at + 1] = _wide(data[at] & 0x7F | upper, rng.choice((2, 4, 5, 6, 10)))
        elif kind == 6:
            part = data[at : at + rng.randint(1, 40)]
            data[at:at] = part
        else:  # A field of the top level again, or a damaged one before it.
            data += rng.choice(_seeds_cache())[: rng.randint(1, 60)]
    return bytes(data)


def _seeds_cache(found: list[bytes] = []) -> list[bytes]:  # noqa: B006
    if not found:
        found += _seeds()
    return found


def _locations(message) -> set[str]:
    found = set()
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        # protobuf 7 has no label, and older ones no is_repeated.
        repeated = getattr(field, "is_repeated", None)
        if repeated is None:
            repeated = field.label == field.LABEL_REPEATED
        for part in value if repeated else [value]:
            if field.name == "external_data" and part.key == "location":
                found.add(part.value)
            found |= _locations(part)
    return found


def _declared(model):
    def spec(value):
        tensor = value.type.tensor_type
        assert value.type.WhichOneof("value") == "tensor_type"
        assert tensor.HasField("shape")
        sizes = [
            (each.dim_value if each.dim_value >= 0 else "?")
            if each.WhichOneof("value") == "dim_value"
            else each.dim_param or "?"
            for each in tensor.shape.dim
        ]
        return value.name, tuple(sizes), DTYPES[tensor.elem_type]

    valued = {tensor.name for tensor in model.graph.initializer}
    inputs = [spec(value) for value in model.graph.input if value.name not in valued]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return inputs, [spec(value) for value in model.graph.output], metadata


def _ours(content):
    signature = _signature(content)
    return (
        [tuple(vars(spec).values()) for spec in signature.inputs],
        [tuple(vars(spec).values()) for spec in signature.outputs],
        dict(signature.metadata),
    )


def compare(content: bytes, *, in_cpp: bool = False) -> str:
    """Return how the two readers differ: '', 'stricter', or what is wrong."""
    try:
        model = ModelProto.FromString(content)
    except DecodeError:
        model = None
    if model is not None and in_cpp:
        try:
            inferred = onnx.shape_inference.infer_shapes(content)
            model = ModelProto.FromString(inferred) if isinstance(inferred, bytes) else inferred
        except Exception:  # Its checks of the graph, after it was parsed.
            in_cpp = False
    try:
        found = {location.decode() for location in _read_locations(content)}
    except ValueError:
        return "" if model is None else "stricter"
    if model is None:
        return "accepted what the onnx package refuses"
    if found != _locations(model):
        return f"read {found} where the onnx package reads {_locations(model)}"
    try:
        ours = _ours(content)
    except ValueError:
        return "stricter"
    # What inference adds to outputs is not in the file.
    theirs = _declared(model)
    same = ours[::2] == theirs[::2] if in_cpp else ours == theirs
    return "" if same else f"read {ours} where the onnx package reads {theirs}"


def count_disagreements(files: int, seed: int, *, in_cpp: bool = False) -> dict[str, int]:
    """Return how often each outcome of ``compare`` came."""
    rng = random.Random(seed)
    counts: dict[str, int] = {}
    for _ in range(files):
        content = mutate(rng.choice(_seeds_cache()), rng)
        outcome = compare(content, in_cpp=in_cpp)
        if outcome not in ("", "stricter"):
            counts.setdefault("examples", content.hex())
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


def test_no_damaged_file_is_read_in_another_way_than_by_the_onnx_package():
    counts = count_disagreements(FIRST_FILES, seed=19)
    assert set(counts) == {"", "stricter"}, counts


@pytest.mark.parametrize("seed", range(4))
def test_undamaged_files_are_accepted(seed):
    assert compare(_seeds_cache()[seed]) == ""

"""The messages of onnx.proto, as far as a reader needs them to know each field's type."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """The definition of a field.

    Attributes:
        kind: ``string``, ``bytes``, a type of numbers of protocol buffers, or the message's name.
        repeated: Whether it may be there more than once.
        place: Its number; fields of which only one may be there share the first one's.
    """

    kind: str
    repeated: bool
    place: int


# By number; '*' marks what repeats. An enum is an int32 on the wire.
_FIELDS: dict[str, dict[int, str]] = {
    "Model": {
        1: "int64",
        2: "string",
        3: "string",
        4: "string",
        5: "int64",
        6: "string",
        7: "Graph",
        8: "OperatorSet*",
        14: "Entry*",
        20: "TrainingInfo*",
        25: "Function*",
        26: "DeviceConfiguration*",
    },
    "OperatorSet": {1: "string", 2: "int64"},
    "Entry": {1: "string", 2: "string"},
    "ExternalData": {1: "string", 2: "string"},
    "TrainingInfo": {1: "Graph", 2: "Graph", 3: "Entry*", 4: "Entry*"},
    "Function": {
        1: "string",
        4: "string*",
        5: "string*",
        6: "string*",
        7: "Node*",
        8: "string",
        9: "OperatorSet*",
        10: "string",
        11: "Attribute*",
        12: "ValueInfo*",
        13: "string",
        14: "Entry*",
    },
    "Graph": {
        1: "Node*",
        2: "string",
        5: "Tensor*",
        10: "string",
        11: "ValueInfo*",
        12: "ValueInfo*",
        13: "ValueInfo*",
        14: "Annotation*",
        15: "SparseTensor*",
        16: "Entry*",
    },
    "Node": {
        1: "string*",
        2: "string*",
        3: "string",
        4: "string",
        5: "Attribute*",
        6: "string",
        7: "string",
        8: "string",
        9: "Entry*",
        10: "NodeDeviceConfiguration*",
    },
    "Attribute": {
        1: "string",
        2: "float",
        3: "int64",
        4: "bytes",
        5: "Tensor",
        6: "Graph",
        7: "float*",
        8: "int64*",
        9: "bytes*",
        10: "Tensor*",
        11: "Graph*",
        13: "string",
        14: "Type",
        15: "Type*",
        20: "int32",
        21: "string",
        22: "SparseTensor",
        23: "SparseTensor*",
    },
    "Tensor": {
        1: "int64*",
        2: "int32",
        3: "Segment",
        4: "float*",
        5: "int32*",
        6: "bytes*",
        7: "int64*",
        8: "string",
        9: "bytes",
        10: "double*",
        11: "uint64*",
        12: "string",
        13: "ExternalData*",
        14: "int32",
        16: "Entry*",
    },
    "Segment": {1: "int64", 2: "int64"},
    "SparseTensor": {1: "Tensor", 2: "Tensor", 3: "int64*"},
    "Annotation": {1: "string", 2: "Entry*"},
    "ValueInfo": {1: "string", 2: "Type", 3: "string", 4: "Entry*"},
    "Type": {
        1: "TensorType",
        4: "ElementType",
        5: "MapType",
        6: "string",
        7: "OpaqueType",
        8: "TensorType",
        9: "ElementType",
    },
    "TensorType": {1: "int32", 2: "Shape"},
    "ElementType": {1: "Type"},
    "MapType": {1: "int32", 2: "Type"},
    "OpaqueType": {1: "string", 2: "string"},
    "Shape": {1: "Dimension*"},
    "Dimension": {1: "int64", 2: "string", 3: "string"},
    "DeviceConfiguration": {1: "string", 2: "int32", 3: "string*"},
    "NodeDeviceConfiguration": {1: "string", 2: "Sharding*", 3: "int32"},
    "Sharding": {1: "string", 2: "int64*", 3: "IntegerList*", 4: "ShardedDimension*"},
    "IntegerList": {1: "int64", 2: "int64*"},
    "ShardedDimension": {1: "int64", 2: "SimpleSharding*"},
    "SimpleSharding": {1: "int64", 2: "string", 3: "int64"},
}
_ONE_OF: dict[str, tuple[int, ...]] = {
    "Type": (1, 4, 5, 7, 8, 9),
    "Dimension": (1, 2),
    "SimpleSharding": (1, 2),
}

MESSAGES: dict[str, dict[int, Part]] = {
    name: {
        number: Part(
            kind.removesuffix("*"),
            kind.endswith("*"),
            _ONE_OF[name][0] if number in _ONE_OF.get(name, ()) else number,
        )
        for number, kind in fields.items()
    }
    for name, fields in _FIELDS.items()
}
"""The fields of each message, by name and by number."""

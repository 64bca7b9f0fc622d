"""Hash the types of messages as ROS 2 does since Iron (RIHS01, of REP-2016).

Nodes say in the discovery of DDS which definition of a type they have. One that does not is called
a type hash that cannot be parsed by CycloneDDS's ROS middleware, and ``INVALID`` by ``ros2 topic``.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from typing import Any

_NESTED, _TEXT, _BOOLEAN = 1, 17, 15
_NUMBERS = {"uint8": 3, "int32": 6, "uint32": 7, "float32": 10, "float64": 11}
_ARRAY, _SEQUENCE = 48, 144
"""Added to the number of a type for an array of it, and for a sequence without a bound."""

_Description = dict[str, Any]


@functools.cache
def type_hash(kind: type) -> str:
    """Return the hash of a message's type, such as ``RIHS01_`` and 64 digits.

    Args:
        kind: One of ``hot_sdk.ros.messages``.
    """
    found: dict[str, _Description] = {}
    described = _described(kind, found)
    others = [found[name] for name in sorted(found) if name != described["type_name"]]
    whole = {"type_description": described, "referenced_type_descriptions": others}
    return "RIHS01_" + hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def _described(kind: Any, found: dict[str, _Description]) -> _Description:  # noqa: ANN401
    """Return the description of a type; those that it holds are added to ``found``, as it is."""
    name = _ros_name(kind)
    if name not in found:
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = [
            {"name": field.name, "type": _field_type(hints[field.name], found)}
            for field in dataclasses.fields(kind)
        ]
        found[name] = {"type_name": name, "fields": fields}
    return found[name]


def _field_type(hint: Any, found: dict[str, _Description]) -> _Description:  # noqa: ANN401
    kind, capacity, nested = 0, 0, ""
    annotation = None if hint in (str, bool) else getattr(hint, "__metadata__", (None,))[0]
    if hint is str:
        kind = _TEXT
    elif hint is bool:
        kind = _BOOLEAN
    elif dataclasses.is_dataclass(hint):
        kind, nested = _NESTED, _described(hint, found)["type_name"]
    elif isinstance(annotation, str):
        kind = _NUMBERS[annotation]
    else:
        assert annotation is not None
        part = _field_type(annotation.subtype, found)
        length = getattr(annotation, "length", None)
        kind = part["type_id"] + (_SEQUENCE if length is None else _ARRAY)
        capacity, nested = length or 0, part["nested_type_name"]
    return {
        "type_id": kind,
        "capacity": capacity,
        "string_capacity": 0,
        "nested_type_name": nested,
    }


def _ros_name(kind: Any) -> str:  # noqa: ANN401
    """Return such as ``geometry_msgs/msg/Pose`` for ``geometry_msgs::msg::dds_::Pose_``."""
    package, folder, _, name = kind.__idl__.idl_transformed_typename.split("::")
    return f"{package}/{folder}/{name.removesuffix('_')}"

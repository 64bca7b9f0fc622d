"""Messages against ROS's definitions, twice: the texts of its packages, and rosbags' own."""

import dataclasses

import numpy as np
import pytest
from cyclonedds.idl import IdlStruct
from ros2_definitions import DEFINITIONS, idl_type
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from hot_sdk.ros.network import messages

ENDIANNESS_AND_ENCODING = b"\x00\x01\x00\x00"  # Plain CDR, little-endian.


def all_types():
    return [one for one in vars(messages()).values() if dataclasses.is_dataclass(one)]


def ros_name(kind):
    package, _, _, name = kind.__idl__.idl_transformed_typename.split("::")
    return f"{package}/{name[:-1]}"


@pytest.fixture(scope="module", params=["ROS2_HUMBLE", "ROS2_JAZZY", "ROS2_KILTED"])
def store(request):
    store = get_typestore(Stores[request.param])
    for name in ("IdsList", "NormalizedPointOfInterest2D", "Skeleton2D"):
        text = DEFINITIONS[f"hri_msgs/{name}"]
        store.register(get_types_from_msg(text, f"hri_msgs/msg/{name}"))
    return store


def filled(kind, numbers):
    """A message with a different value in each field, and two in each list."""
    types = messages()
    values = {}
    for field in dataclasses.fields(kind):
        default = getattr(kind(), field.name)
        if dataclasses.is_dataclass(default):
            values[field.name] = filled(type(default), numbers)
        elif isinstance(default, bool):
            values[field.name] = True
        elif isinstance(default, bytes):
            values[field.name] = b"\x01\x02\x03"
        elif isinstance(default, str):
            values[field.name] = "text" * int(numbers.integers(1, 4))
        elif isinstance(default, int):
            values[field.name] = int(numbers.integers(1, 100))
        elif isinstance(default, float):
            values[field.name] = float(numbers.integers(1, 100)) / 8
        elif default:
            first = default[0]
            values[field.name] = [
                filled(type(first), numbers)
                if dataclasses.is_dataclass(first)
                else float(numbers.integers(1, 9))
                for _ in default
            ]
        else:
            inside = str(kind.__annotations__[field.name])
            named = [one for one in vars(types) if f".{one}'" in inside or f".{one}]" in inside]
            if named:
                values[field.name] = [filled(getattr(types, named[0]), numbers) for _ in range(2)]
            else:
                values[field.name] = ["a", "bcd"] if "str" in inside else [1.5, 2.5]
    return kind(**values)


def test_every_message_is_encoded_as_ros_encodes_it(store):
    numbers = np.random.default_rng(3)
    kinds = all_types()
    assert {ros_name(kind) for kind in kinds} == set(DEFINITIONS)
    lists = 0
    for kind in kinds:
        package, _, name = ros_name(kind).partition("/")
        full = f"{package}/msg/{name}"
        message = filled(kind, numbers)
        encoded = message.serialize(use_version_2=False)
        assert encoded[:4] == ENDIANNESS_AND_ENCODING
        assert encoded == IdlStruct.serialize(message, use_version_2=False)
        read = store.deserialize_cdr(encoded, full)
        again = bytes(store.serialize_cdr(read, full))
        assert again.ljust(len(encoded), b"\0") == encoded, full
        for field in dataclasses.fields(kind):
            lists += isinstance(getattr(message, field.name), list)
            assert hasattr(read, field.name)
    assert lists > 15


def test_types_have_the_names_and_fields_of_ros():
    for kind in all_types():
        wanted = idl_type(ros_name(kind))
        own = kind.__idl__
        assert own.idl_transformed_typename == wanted.__idl__.idl_transformed_typename
        message = filled(kind, np.random.default_rng(0))
        encoded = message.serialize(use_version_2=False)
        read = wanted.deserialize(encoded)
        assert [field.name for field in dataclasses.fields(kind)] == [
            field.name for field in dataclasses.fields(wanted)
        ]
        assert read.serialize(use_version_2=False) == encoded
        # Neither appendable nor mutable: ROS's middlewares read plain CDR alone.
        assert kind.__idl_annotations__["extensibility"] == "final"


def test_default_message_is_that_of_ros(store):
    """A quaternion that nobody set turns nothing."""
    read = store.deserialize_cdr(
        messages().Pose().serialize(use_version_2=False), "geometry_msgs/msg/Pose"
    )
    assert (read.orientation.x, read.orientation.w) == (0.0, 1.0)

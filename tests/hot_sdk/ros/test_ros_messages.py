"""Messages against ROS's definitions, twice: the texts of its packages, and rosbags' own."""

import contextlib
import dataclasses
import itertools
import time

import numpy as np
import pytest
from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)
from cyclonedds.idl import IdlStruct
from cyclonedds.qos import Policy
from ros2_definitions import DEFINITIONS, idl_type
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from hot_sdk.ros.network import Network, Quality, messages
from hot_sdk.ros.type_hashes import type_hash

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


def test_types_have_the_hashes_of_ros(store):
    for kind in all_types():
        package, _, name = ros_name(kind).partition("/")
        assert type_hash(kind) == store.hash_rihs01(f"{package}/msg/{name}")


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("Time", "b106235e25a4c5ed35098aa0a61a3ee9c9b18d197f398b0e4206cea9acf9c197"),
        ("Point", "6963084842a9b04494d6b2941d11444708d892da2f4b09843b9c43f42a7f6881"),
        ("PoseArray", "af0cc36d190e104d546d168d6b39df04fa4b4ccecf59cb4c9ed328d3d5004aa0"),
        ("PointCloud2", "9198cabf7da3796ae6fe19c4cb3bdd3525492988c70522628af5daa124bae2b5"),
        ("JointState", "a13ee3a330e346c9d87b5aa18d24e11690752bd33a0350f11c5882bc9179260e"),
        ("CameraInfo", "b3dfd68ff46c9d56c80fd3bd4ed22c7a4ddce8c8348f2f59c299e73118e7e275"),
        ("TFMessage", "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"),
        ("MarkerArray", "86cb8800b6fb05b5eff1abd7a56f62a5641d3ae9a1c29e78e67e704f1d067dcf"),
    ],
)
def test_hashes_are_those_that_nodes_of_ros_print(name, digits):
    assert type_hash(getattr(messages(), name)) == f"RIHS01_{digits}"


def test_readers_and_writers_say_which_definition_they_have(domain):
    kind = messages().PoseArray
    told = {}
    with contextlib.closing(Network(domain)) as network, contextlib.closing(Network(domain)) as own:
        kept = [network.writer("/a", kind, Quality()), network.reader("/b", kind, Quality())]
        watching = [
            BuiltinDataReader(own.participant, builtin)
            for builtin in (BuiltinTopicDcpsPublication, BuiltinTopicDcpsSubscription)
        ]
        until = time.monotonic() + 15.0
        while time.monotonic() < until and len(told) < len(kept):
            time.sleep(0.01)
            for one in itertools.chain(*(reader.take(100) for reader in watching)):
                if one.topic_name in ("rt/a", "rt/b"):
                    told[one.topic_name] = one.qos[Policy.Userdata].data
    assert told == dict.fromkeys(("rt/a", "rt/b"), f"typehash={type_hash(kind)};".encode())

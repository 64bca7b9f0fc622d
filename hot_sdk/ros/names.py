"""Names on ROS: ids of bodies, topics, and what both become on DDS."""

from __future__ import annotations

import re

from hot_sdk.errors import UsageError
from hot_sdk.streams.observations import TrackId

BODIES = "/humans/bodies"
"""Where REP-155 has the topics of bodies."""

TRACKED, MARKERS = f"{BODIES}/tracked", "/poses/markers"
TF, TF_STATIC = "/tf", "/tf_static"

_TOPIC = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
_LONGEST_ID = 60


def body_id(track_id: TrackId) -> str:
    """Return a person's id as REP-155 has it, which is part of topics and of frames.

    Numbers get a ``p`` in front, as ROS 2 has no topic whose parts begin with a digit; whatever
    else a topic cannot hold is ``_``.
    """
    if track_id is None:
        return "p0"
    name = re.sub(r"[^A-Za-z0-9_]", "_", str(track_id))[:_LONGEST_ID]
    name = re.sub(r"__+", "_", name).strip("_")
    return name if re.match(r"[A-Za-z]", name) else f"p{name}"


def body_topic(body: str, name: str) -> str:
    """Return a topic of one body."""
    return f"{BODIES}/{body}/{name}"


def dds_topic(topic: str) -> str:
    """Return the name that ROS 2 gives a topic on DDS.

    Raises:
        UsageError: It is no absolute name of a topic.
    """
    if not _TOPIC.fullmatch(topic) or "__" in topic:
        raise UsageError(
            f"'{topic}' is no name of a ROS topic.",
            hint="Begin each part with / and a letter, followed by letters, digits and single _.",
        )
    return f"rt{topic}"


def ros_type(dds_type: str) -> str:
    """Return a type's name in ROS, such as ``geometry_msgs/msg/Pose``, from that on DDS."""
    package, kind, _, name = dds_type.split("::")
    return f"{package}/{kind}/{name.removesuffix('_')}"

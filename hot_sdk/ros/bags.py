"""Record ROS 2 messages as a bag (rosbag2, MCAP), without ROS."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from hot_sdk._base.closing import Closing
from hot_sdk._base.leftovers import keep_folder, temporary_folder
from hot_sdk._base.optional import require
from hot_sdk.errors import UsageError
from hot_sdk.ros.names import ros_type
from hot_sdk.ros.network import Quality

_PURPOSE = "A bag of ROS 2"
_FOLDER = ".hot-sdk-bag"
_KEEP_EVERY_S = 3600.0
"""A recording may last for days, and is no leftover."""

# rosbags has the definitions of ROS's own packages, but not of hri_msgs.
_HRI_MSGS = {"hri_msgs/msg/IdsList": "std_msgs/Header header\nstring[] ids\n"}


class BagWriter(Closing):
    """Writes a bag, a folder that rosbag2 and Foxglove read; as a context manager, completes it.

    The folder gets its name when the bag is complete.

    Args:
        path: The folder, which must not exist.

    Raises:
        UsageError: The folder exists or cannot be written.
        MissingDependencyError: rosbags is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise UsageError(f"'{path}' exists.", hint="Name a new folder, or remove it.")
        if not self.path.name or not self.path.absolute().parent.is_dir():
            raise UsageError(f"'{path}' is in no folder.", hint="Make the folder first.")
        rosbag2 = require("rosbags.rosbag2", extra="ros", purpose=_PURPOSE)
        typesys = require("rosbags.typesys", extra="ros", purpose=_PURPOSE)
        self._interfaces = require("rosbags.interfaces", extra="ros", purpose=_PURPOSE)
        self._types = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        for name, text in _HRI_MSGS.items():
            self._types.register(typesys.get_types_from_msg(text, name))
        self._connections: dict[str, Any] = {}
        self._held = contextlib.ExitStack()
        try:
            self._folder = self._held.enter_context(
                temporary_folder(_FOLDER, self.path.absolute().parent)
            )
        except OSError as error:
            raise UsageError(
                f"'{path}' cannot be written: {error.strerror}.", hint="Choose another folder."
            ) from error
        self._kept_s = time.monotonic()
        self._unfinished = self._folder / self.path.name
        storage = rosbag2.StoragePlugin.MCAP
        self._writer: Any = rosbag2.Writer(self._unfinished, version=8, storage_plugin=storage)
        self._writer.open()

    def write(self, topic: str, message: Any, time_ns: int, quality: Quality) -> None:  # noqa: ANN401
        """Write a message.

        Args:
            topic: Name in ROS.
            message: One of ``hot_sdk.ros.messages``.
            time_ns: When it was sent, nanoseconds since 1970.
            quality: Of the topic.
        """
        if time.monotonic() - self._kept_s > _KEEP_EVERY_S:
            self._kept_s = time.monotonic()
            keep_folder(self._folder)
        connection = self._connections.get(topic)
        if connection is None:
            name = ros_type(type(message).__idl__.idl_transformed_typename)
            connection = self._connections[topic] = self._writer.add_connection(
                topic, name, typestore=self._types, offered_qos_profiles=[self._qos(quality)]
            )
        self._writer.write(connection, time_ns, message.serialize(use_version_2=False))

    def close(self) -> None:
        """Complete the bag, and give it its name; closing twice is allowed.

        Raises:
            UsageError: The folder exists by now.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with self._held:
            writer.close()
            try:
                self._unfinished.rename(self.path)
            except OSError as error:
                raise UsageError(
                    f"'{self.path}' cannot be written: {error.strerror}.",
                    hint="Name a new folder, or remove it.",
                ) from error

    def _qos(self, quality: Quality) -> Any:  # noqa: ANN401
        kinds = self._interfaces
        forever = kinds.QosTime(9223372036, 854775807)
        return kinds.Qos(
            history=kinds.QosHistory.KEEP_LAST,
            depth=quality.depth,
            reliability=kinds.QosReliability[quality.reliability.upper()],
            durability=kinds.QosDurability.TRANSIENT_LOCAL
            if quality.latched
            else kinds.QosDurability.VOLATILE,
            deadline=forever,
            lifespan=forever,
            liveliness=kinds.QosLiveliness.AUTOMATIC,
            liveliness_lease_duration=forever,
            avoid_ros_namespace_conventions=False,
        )

"""Write messages to a ROS 2 bag, with their definitions; see ros2_bag.py."""

import re
from typing import IO, Any

from mcap_ros2.writer import Writer

# As Humble writes it, except for "durability": any history, reliable, no time limit.
_FOREVER = "sec: 9223372036\n    nsec: 854775807"
_QOS = f"""- history: 3
  depth: 0
  reliability: 1
  durability: {{durability}}
  deadline:
    {_FOREVER}
  lifespan:
    {_FOREVER}
  liveliness: 1
  liveliness_lease_duration:
    {_FOREVER}
  avoid_ros_namespace_conventions: false
"""
_TRANSIENT_LOCAL, _VOLATILE = 1, 2


class Bag:
    """A bag like rosbag2's; as a context manager, it completes the file.

    Args:
        stream: The file to write to.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._writer = Writer(stream)
        self._schemas: dict[str, Any] = {}
        # Later distributions spell QoS profiles differently, and recognize Humble's by this mark.
        self._writer.add_metadata("rosbag2", {"ROS_DISTRO": "humble"})

    def add_topic(self, topic: str, datatype: str, *, latched: bool = False) -> None:
        """Announce a topic; the last message of a latched one reaches later subscribers."""
        schema = self._writer.register_msgdef(datatype, definition_of(datatype))
        durability = _TRANSIENT_LOCAL if latched else _VOLATILE
        # Writer itself gives channels no metadata, and /tf_static needs its durability.
        self._writer._channel_ids[topic] = self._writer._writer.register_channel(
            topic, "cdr", schema.id, {"offered_qos_profiles": _QOS.format(durability=durability)}
        )
        self._schemas[topic] = schema

    def add(self, topic: str, message: dict[str, Any], log_time: int) -> None:
        """Write a message; missing fields have their default value."""
        self._writer.write_message(topic, self._schemas[topic], message, log_time)

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.finish()


def definition_of(datatype: str) -> str:
    """Return a message's definition with those of all its parts, joined as in rosbag2."""
    parts, wanted = [], [datatype.replace("/msg/", "/")]
    for name in wanted:  # The list grows in the loop.
        package = name.split("/")[0]
        parts.append(f"MSG: {name}\n{MESSAGES[name]}")
        for kind in re.findall(r"^([\w/]*[A-Z]\w*|\w+/\w+)(?:\[\d*\])? ", MESSAGES[name], re.M):
            full = kind if "/" in kind else f"{package}/{kind}"
            wanted += [] if full in wanted else [full]
    return f"\n{'=' * 80}\n".join(parts).partition("\n")[2]


# ROS 2 Humble to Rolling. Galactic's Marker has no textures.
MESSAGES = {
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec",
    "builtin_interfaces/Duration": "int32 sec\nuint32 nanosec",
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id",
    "std_msgs/String": "string data",
    "std_msgs/ColorRGBA": "float32 r\nfloat32 g\nfloat32 b\nfloat32 a",
    "geometry_msgs/Point": "float64 x\nfloat64 y\nfloat64 z",
    "geometry_msgs/Vector3": "float64 x\nfloat64 y\nfloat64 z",
    "geometry_msgs/Quaternion": "float64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1",
    "geometry_msgs/Pose": "Point position\nQuaternion orientation",
    "geometry_msgs/PoseArray": "std_msgs/Header header\nPose[] poses",
    "geometry_msgs/Transform": "Vector3 translation\nQuaternion rotation",
    "geometry_msgs/TransformStamped": (
        "std_msgs/Header header\nstring child_frame_id\nTransform transform"
    ),
    "tf2_msgs/TFMessage": "geometry_msgs/TransformStamped[] transforms",
    "sensor_msgs/PointField": (
        "uint8 INT8=1\nuint8 UINT8=2\nuint8 INT16=3\nuint8 UINT16=4\nuint8 INT32=5\n"
        "uint8 UINT32=6\nuint8 FLOAT32=7\nuint8 FLOAT64=8\n"
        "string name\nuint32 offset\nuint8 datatype\nuint32 count"
    ),
    "sensor_msgs/PointCloud2": (
        "std_msgs/Header header\nuint32 height\nuint32 width\nPointField[] fields\n"
        "bool is_bigendian\nuint32 point_step\nuint32 row_step\nuint8[] data\nbool is_dense"
    ),
    "sensor_msgs/RegionOfInterest": (
        "uint32 x_offset\nuint32 y_offset\nuint32 height\nuint32 width\nbool do_rectify"
    ),
    "sensor_msgs/CameraInfo": (
        "std_msgs/Header header\nuint32 height\nuint32 width\nstring distortion_model\n"
        "float64[] d\nfloat64[9] k\nfloat64[9] r\nfloat64[12] p\nuint32 binning_x\n"
        "uint32 binning_y\nRegionOfInterest roi"
    ),
    "sensor_msgs/CompressedImage": "std_msgs/Header header\nstring format\nuint8[] data",
    "visualization_msgs/UVCoordinate": "float32 u\nfloat32 v",
    "visualization_msgs/MeshFile": "string filename\nuint8[] data",
    "visualization_msgs/Marker": (
        "int32 ARROW=0\nint32 CUBE=1\nint32 SPHERE=2\nint32 CYLINDER=3\nint32 LINE_STRIP=4\n"
        "int32 LINE_LIST=5\nint32 CUBE_LIST=6\nint32 SPHERE_LIST=7\nint32 POINTS=8\n"
        "int32 TEXT_VIEW_FACING=9\nint32 MESH_RESOURCE=10\nint32 TRIANGLE_LIST=11\n"
        "int32 ADD=0\nint32 MODIFY=0\nint32 DELETE=2\nint32 DELETEALL=3\n"
        "std_msgs/Header header\nstring ns\nint32 id\nint32 type\nint32 action\n"
        "geometry_msgs/Pose pose\ngeometry_msgs/Vector3 scale\nstd_msgs/ColorRGBA color\n"
        "builtin_interfaces/Duration lifetime\nbool frame_locked\n"
        "geometry_msgs/Point[] points\nstd_msgs/ColorRGBA[] colors\nstring texture_resource\n"
        "sensor_msgs/CompressedImage texture\nUVCoordinate[] uv_coordinates\nstring text\n"
        "string mesh_resource\nMeshFile mesh_file\nbool mesh_use_embedded_materials"
    ),
    "visualization_msgs/MarkerArray": "Marker[] markers",
}

"""ROS 2 messages as CycloneDDS types, written from their definitions in ROS's packages.

The names are those that ROS gives its types on DDS (``geometry_msgs::msg::dds_::Pose_``), the
fields those of ROS 2 Humble to Rolling, and ``hri_msgs`` those of its ROS 2 branch. The encoding is
plain CDR, the only one that ROS's middlewares read.

Annotations are no strings here: CycloneDDS does not resolve those of its own generic types.
"""

from dataclasses import dataclass, field

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import final
from cyclonedds.idl.types import array, float32, float64, int32, sequence, uint8, uint32

from hot_sdk.ros.encoding import plain_cdr


@dataclass
@final
@plain_cdr
class Time(IdlStruct, typename="builtin_interfaces.msg.dds_.Time_"):
    """builtin_interfaces/Time."""

    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
@final
@plain_cdr
class Duration(IdlStruct, typename="builtin_interfaces.msg.dds_.Duration_"):
    """builtin_interfaces/Duration."""

    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
@final
@plain_cdr
class Header(IdlStruct, typename="std_msgs.msg.dds_.Header_"):
    """std_msgs/Header."""

    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@dataclass
@final
@plain_cdr
class ColorRGBA(IdlStruct, typename="std_msgs.msg.dds_.ColorRGBA_"):
    """std_msgs/ColorRGBA."""

    r: float32 = 0.0
    g: float32 = 0.0
    b: float32 = 0.0
    a: float32 = 0.0


@dataclass
@final
@plain_cdr
class Point(IdlStruct, typename="geometry_msgs.msg.dds_.Point_"):
    """geometry_msgs/Point."""

    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
@final
@plain_cdr
class Vector3(IdlStruct, typename="geometry_msgs.msg.dds_.Vector3_"):
    """geometry_msgs/Vector3."""

    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
@final
@plain_cdr
class Quaternion(IdlStruct, typename="geometry_msgs.msg.dds_.Quaternion_"):
    """geometry_msgs/Quaternion."""

    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0
    w: float64 = 1.0


@dataclass
@final
@plain_cdr
class Pose(IdlStruct, typename="geometry_msgs.msg.dds_.Pose_"):
    """geometry_msgs/Pose."""

    position: Point = field(default_factory=Point)
    orientation: Quaternion = field(default_factory=Quaternion)


@dataclass
@final
@plain_cdr
class PoseArray(IdlStruct, typename="geometry_msgs.msg.dds_.PoseArray_"):
    """geometry_msgs/PoseArray."""

    header: Header = field(default_factory=Header)
    poses: sequence[Pose] = field(default_factory=list)


@dataclass
@final
@plain_cdr
class Transform(IdlStruct, typename="geometry_msgs.msg.dds_.Transform_"):
    """geometry_msgs/Transform."""

    translation: Vector3 = field(default_factory=Vector3)
    rotation: Quaternion = field(default_factory=Quaternion)


@dataclass
@final
@plain_cdr
class TransformStamped(IdlStruct, typename="geometry_msgs.msg.dds_.TransformStamped_"):
    """geometry_msgs/TransformStamped."""

    header: Header = field(default_factory=Header)
    child_frame_id: str = ""
    transform: Transform = field(default_factory=Transform)


@dataclass
@final
@plain_cdr
class TFMessage(IdlStruct, typename="tf2_msgs.msg.dds_.TFMessage_"):
    """tf2_msgs/TFMessage."""

    transforms: sequence[TransformStamped] = field(default_factory=list)


@dataclass
@final
@plain_cdr
class JointState(IdlStruct, typename="sensor_msgs.msg.dds_.JointState_"):
    """sensor_msgs/JointState."""

    header: Header = field(default_factory=Header)
    name: sequence[str] = field(default_factory=list)
    position: sequence[float64] = field(default_factory=list)
    velocity: sequence[float64] = field(default_factory=list)
    effort: sequence[float64] = field(default_factory=list)


@dataclass
@final
@plain_cdr
class PointField(IdlStruct, typename="sensor_msgs.msg.dds_.PointField_"):
    """sensor_msgs/PointField; ``datatype`` 2 is uint8, 7 float32."""

    name: str = ""
    offset: uint32 = 0
    datatype: uint8 = 7
    count: uint32 = 1


@dataclass
@final
@plain_cdr
class PointCloud2(IdlStruct, typename="sensor_msgs.msg.dds_.PointCloud2_"):
    """sensor_msgs/PointCloud2."""

    header: Header = field(default_factory=Header)
    height: uint32 = 0
    width: uint32 = 0
    fields: sequence[PointField] = field(default_factory=list)
    is_bigendian: bool = False
    point_step: uint32 = 0
    row_step: uint32 = 0
    data: sequence[uint8] = field(default_factory=bytes)
    is_dense: bool = False


@dataclass
@final
@plain_cdr
class RegionOfInterest(IdlStruct, typename="sensor_msgs.msg.dds_.RegionOfInterest_"):
    """sensor_msgs/RegionOfInterest."""

    x_offset: uint32 = 0
    y_offset: uint32 = 0
    height: uint32 = 0
    width: uint32 = 0
    do_rectify: bool = False


@dataclass
@final
@plain_cdr
class CameraInfo(IdlStruct, typename="sensor_msgs.msg.dds_.CameraInfo_"):
    """sensor_msgs/CameraInfo."""

    header: Header = field(default_factory=Header)
    height: uint32 = 0
    width: uint32 = 0
    distortion_model: str = ""
    d: sequence[float64] = field(default_factory=list)
    k: array[float64, 9] = field(default_factory=lambda: [0.0] * 9)
    r: array[float64, 9] = field(default_factory=lambda: [0.0] * 9)
    p: array[float64, 12] = field(default_factory=lambda: [0.0] * 12)
    binning_x: uint32 = 0
    binning_y: uint32 = 0
    roi: RegionOfInterest = field(default_factory=RegionOfInterest)


@dataclass
@final
@plain_cdr
class CompressedImage(IdlStruct, typename="sensor_msgs.msg.dds_.CompressedImage_"):
    """sensor_msgs/CompressedImage."""

    header: Header = field(default_factory=Header)
    format: str = ""
    data: sequence[uint8] = field(default_factory=bytes)


@dataclass
@final
@plain_cdr
class UVCoordinate(IdlStruct, typename="visualization_msgs.msg.dds_.UVCoordinate_"):
    """visualization_msgs/UVCoordinate."""

    u: float32 = 0.0
    v: float32 = 0.0


@dataclass
@final
@plain_cdr
class MeshFile(IdlStruct, typename="visualization_msgs.msg.dds_.MeshFile_"):
    """visualization_msgs/MeshFile."""

    filename: str = ""
    data: sequence[uint8] = field(default_factory=bytes)


@dataclass
@final
@plain_cdr
class Marker(IdlStruct, typename="visualization_msgs.msg.dds_.Marker_"):
    """visualization_msgs/Marker."""

    header: Header = field(default_factory=Header)
    ns: str = ""
    id: int32 = 0
    type: int32 = 0
    action: int32 = 0
    pose: Pose = field(default_factory=Pose)
    scale: Vector3 = field(default_factory=Vector3)
    color: ColorRGBA = field(default_factory=ColorRGBA)
    lifetime: Duration = field(default_factory=Duration)
    frame_locked: bool = False
    points: sequence[Point] = field(default_factory=list)
    colors: sequence[ColorRGBA] = field(default_factory=list)
    texture_resource: str = ""
    texture: CompressedImage = field(default_factory=CompressedImage)
    uv_coordinates: sequence[UVCoordinate] = field(default_factory=list)
    text: str = ""
    mesh_resource: str = ""
    mesh_file: MeshFile = field(default_factory=MeshFile)
    mesh_use_embedded_materials: bool = False


@dataclass
@final
@plain_cdr
class MarkerArray(IdlStruct, typename="visualization_msgs.msg.dds_.MarkerArray_"):
    """visualization_msgs/MarkerArray."""

    markers: sequence[Marker] = field(default_factory=list)


@dataclass
@final
@plain_cdr
class IdsList(IdlStruct, typename="hri_msgs.msg.dds_.IdsList_"):
    """hri_msgs/IdsList, of REP-155."""

    header: Header = field(default_factory=Header)
    ids: sequence[str] = field(default_factory=list)


@dataclass
@final
@plain_cdr
class NormalizedPointOfInterest2D(
    IdlStruct, typename="hri_msgs.msg.dds_.NormalizedPointOfInterest2D_"
):
    """hri_msgs/NormalizedPointOfInterest2D: shares of the image's size, and a confidence."""

    x: float32 = 0.0
    y: float32 = 0.0
    c: float32 = 0.0


@dataclass
@final
@plain_cdr
class Skeleton2D(IdlStruct, typename="hri_msgs.msg.dds_.Skeleton2D_"):
    """hri_msgs/Skeleton2D: 18 joints in an order of its own."""

    header: Header = field(default_factory=Header)
    skeleton: array[NormalizedPointOfInterest2D, 18] = field(
        default_factory=lambda: [NormalizedPointOfInterest2D() for _ in range(18)]
    )

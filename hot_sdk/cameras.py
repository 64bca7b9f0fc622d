"""Describe the camera that took the keypoints: its intrinsics, and its pose on a robot."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.errors import UsageError
from hot_sdk.lenses import distorted, undistorted

_ROTATION_TOLERANCE = 1e-4
_SHORTEST_FOCAL = 8.0
"""Pixels; that of a thumbnail of 16 pixels with a field of view of 90 degrees."""

_OFF_CENTER = 0.3
"""Share of half an image by which a lens's axis is not off its middle."""

_CENTERED = 0.15
"""Share of half an image by which nearly all lenses' axes are nearer to its middle."""

_CALIBRATION = "Take them from the camera's calibration, or Intrinsics.from_field_of_view."

# An optical frame looks along z with y down; REP-103 looks along x with z up.
_OPTICAL_TO_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Intrinsics:
    """A camera: pinhole, with the distortion of its lens if there is any, as OpenCV defines it.

    Attributes:
        fx: Focal length along x, pixels.
        fy: Focal length along y, pixels.
        cx: Principal point, pixels from the image's left.
        cy: Principal point, pixels from the image's top.
        distortion: OpenCV's coefficients: none; 4, 5 or 8 (k1, k2, p1, p2, k3, k4, k5, k6); or the
            4 of its fisheye model.
        fisheye: The coefficients are those of ``cv2.fisheye``.

    Raises:
        UsageError: A value is not finite, a focal length or principal point cannot be in pixels, or
            there is another number of coefficients.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    fisheye: bool = False

    def __post_init__(self) -> None:
        try:
            values = tuple(float(value) for value in (self.fx, self.fy, self.cx, self.cy))
            given = () if self.distortion is None else self.distortion
            lens = tuple(np.asarray(given, dtype=np.float64).reshape(-1).tolist())
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError("The intrinsics are not numbers.", hint=_CALIBRATION) from error
        if not all(math.isfinite(value) for value in values) or min(values[:2]) <= 0.0:
            raise UsageError(
                f"The intrinsics are {values}; expected focal lengths above 0 and a principal"
                " point, in pixels.",
                hint=_CALIBRATION,
            )
        if max(values[:2]) > 4.0 * min(values[:2]):
            raise UsageError(
                f"The focal lengths are {values[0]:g} and {values[1]:g}; those of a camera are"
                " nearly the same.",
                hint=_CALIBRATION,
            )
        if min(values[:2]) < _SHORTEST_FOCAL:
            raise UsageError(
                f"The intrinsics are {values}: focal lengths of {values[0]:g} and {values[1]:g}"
                " cannot be pixels; they look like shares of the image, or millimeters.",
                hint="Multiply shares by the image's size: fx * width, fy * height, cx * width, cy"
                " * height; millimeters by pixels per millimeter of the sensor.",
            )
        if all(0.0 < value < 1.0 for value in values[2:]):
            raise UsageError(
                f"The principal point ({values[2]:g}, {values[3]:g}) cannot be pixels; it looks"
                " like shares of the image.",
                hint="Multiply it by the image's size: cx * width, cy * height.",
            )
        allowed = (0, 4) if self.fisheye else (0, 4, 5, 8)
        if len(lens) not in allowed or not all(math.isfinite(value) for value in lens):
            raise UsageError(
                f"There are {len(lens)} distortion coefficients; expected "
                + (
                    "4 finite ones of a fisheye lens." if self.fisheye else "4, 5 or 8 finite ones."
                ),
                hint="Give them as OpenCV's calibration returns them without the flags for thin"
                " prisms and tilted sensors, or none.",
            )
        for name, value in zip(("fx", "fy", "cx", "cy"), values, strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "distortion", lens)

    def check_image(self, image_size: tuple[int, int]) -> tuple[str, ...]:
        """Check that the intrinsics can be those of an image of this size.

        Returns:
            Warnings, if the principal point is in the middle of an image of another size, or of
            one that is turned.

        Raises:
            UsageError: The principal point is over an image's size outside the image, or a focal
                length is under a tenth or over a hundred times its longer side.
        """
        width, height = image_size
        longest = max(image_size)
        center = -width <= self.cx <= 2 * width and -height <= self.cy <= 2 * height
        focal = all(0.1 * longest <= value <= 100 * longest for value in (self.fx, self.fy))
        if not (center and focal):
            raise UsageError(
                f"The focal length ({self.fx:g}, {self.fy:g}) and principal point ({self.cx:g},"
                f" {self.cy:g}) do not fit an image of {width}x{height} pixels.",
                hint="Give the calibration of this resolution: all four values scale with the"
                " image's size.",
            )
        across, down = 2.0 * self.cx / width, 2.0 * self.cy / height
        turned = abs(2.0 * self.cx / height - 1.0), abs(2.0 * self.cy / width - 1.0)
        if max(turned) < _CENTERED < max(abs(across - 1.0), abs(down - 1.0)):
            return (
                f"The principal point ({self.cx:g}, {self.cy:g}) is in the middle of an image of"
                f" {height}x{width} pixels, and this one has {width}x{height}: the intrinsics, or"
                " the size, may be those of the image before it was turned, and positions wrong.",
            )
        if abs(across - 1.0) < _OFF_CENTER or not 0.8 * across < down < 1.25 * across:
            return ()
        return (
            f"The principal point ({self.cx:g}, {self.cy:g}) is in the middle of an image"
            f" {across:.2g} times as large as {width}x{height}: the intrinsics may be those of"
            " another resolution, with which they scale, and positions wrong. If the image was"
            " cut out of a larger one, ignore this.",
        )

    @classmethod
    def from_field_of_view(
        cls, horizontal_degrees: float, image_size: tuple[int, int]
    ) -> Intrinsics:
        """Return a camera with square pixels and its principal point in the middle.

        Args:
            horizontal_degrees: Angle that the image's width covers.
            image_size: Width and height, pixels.

        Raises:
            UsageError: The angle is not between 0 and 180 degrees.
        """
        number = isinstance(horizontal_degrees, (int, float, np.integer, np.floating))
        if not number or not 0.0 < horizontal_degrees < 180.0:
            raise UsageError(
                f"The field of view is {horizontal_degrees!r:.80} degrees.",
                hint="Give the horizontal angle, above 0 and below 180 degrees.",
            )
        width, height = image_size
        focal = width / 2 / math.tan(math.radians(horizontal_degrees) / 2)
        return cls(focal, focal, width / 2, height / 2)

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the pixels (..., 2) of points (..., 3) along the camera's axes, in any unit.

        The lens's distortion is applied.
        """
        flat = points[..., :2] / points[..., 2:]
        if self.distortion:
            flat = distorted(np.asarray(flat, dtype=np.float64), self.distortion, self.fisheye)
        pixels: NDArray[np.float64] = flat * [self.fx, self.fy] + [self.cx, self.cy]
        return pixels

    def undistort(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return where a camera of the same focal length without distortion sees the points.

        Args:
            points: (..., 2), pixels; NaN stays NaN.

        Returns:
            (..., 2), pixels; NaN if the lens maps no direction in front of the camera to a point.
        """
        pixels = np.array(points, dtype=np.float64)
        if not self.distortion:
            return pixels
        straight: NDArray[np.float64] = self.slopes(pixels) * [self.fx, self.fy]
        straight += [self.cx, self.cy]
        return straight

    def slopes(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return x over z and y over z of the rays to points, without the lens's distortion.

        Args:
            points: (..., 2), pixels; NaN stays NaN.

        Returns:
            (..., 2); NaN as in ``undistort``.
        """
        pixels = np.asarray(points, dtype=np.float64)
        flat: NDArray[np.float64] = (pixels - [self.cx, self.cy]) / [self.fx, self.fy]
        if not self.distortion:
            return flat
        found = undistorted(flat.reshape(-1, 2), self.distortion, self.fisheye)
        return found.reshape(flat.shape)

    def without_distortion(self) -> Intrinsics:
        """Return the camera that sees points as ``undistort`` returns them."""
        return Intrinsics(self.fx, self.fy, self.cx, self.cy)


@dataclass(frozen=True, eq=False)
class CameraPose:
    """The position and orientation of a camera on a robot.

    ``rotation @ p + translation`` maps a point of the camera's optical frame (x right, y down,
    z forward) to the robot's frame (x forward, y left, z up; ROS REP-103), as ROS's tf returns it
    for ``lookup_transform(robot_frame, camera_optical_frame)``. OpenCV's ``solvePnP`` and COLMAP
    return the inverse, from the world to the camera: give ``rotation.T`` and ``-rotation.T @
    translation`` of theirs. Results and streams warn if people look upright in the image and would
    hang or lie in the frame; an inverted pose of a camera that looks to the robot's right, or down,
    is not noticed.

    Arrays are copied and read-only.

    Attributes:
        rotation: (3, 3).
        translation: (3,), meters.

    Raises:
        UsageError: ``rotation`` is not a proper rotation, or a shape is wrong.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def __post_init__(self) -> None:
        rotation, translation = _copied(self.rotation), _copied(self.translation)
        proper = (
            rotation.shape == (3, 3)
            and np.allclose(rotation @ rotation.T, np.eye(3), rtol=0, atol=_ROTATION_TOLERANCE)
            and np.linalg.det(rotation) > 0.0
        )
        if not proper or translation.shape != (3,) or not np.isfinite(translation).all():
            raise UsageError(
                "The camera's pose is not a rotation matrix (3, 3) and a translation (3,).",
                hint="Use CameraPose.mounted(...) or CameraPose.from_quaternion(...).",
            )
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @classmethod
    def mounted(
        cls,
        position_m: ArrayLike = (0.0, 0.0, 0.0),
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> CameraPose:
        """Return the pose of a camera that looks along the robot's x axis, then is turned.

        Args:
            position_m: Position of the camera in the robot's frame: forward, left, up, meters.
            yaw: Radians about the robot's z axis; positive looks to the left.
            pitch: Radians about the robot's y axis; positive looks down.
            roll: Radians about the viewing direction; positive leans to the right.
        """
        cos, sin = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
        about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
        about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
        about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
        return cls(about_z @ about_y @ about_x @ _OPTICAL_TO_BODY, _copied(position_m))

    @classmethod
    def from_quaternion(cls, xyzw: ArrayLike, translation_m: ArrayLike) -> CameraPose:
        """Return the pose of a quaternion and a translation as ROS messages hold them.

        Args:
            xyzw: Quaternion of the optical frame in the robot's frame; any length above 0.
            translation_m: Position of the camera in the robot's frame, meters.

        Raises:
            UsageError: The quaternion is 0 or not four numbers.
        """
        quaternion = _copied(xyzw)
        length = np.linalg.norm(quaternion) if quaternion.shape == (4,) else 0.0
        if not (np.isfinite(length) and length > 0.0):
            raise UsageError(
                f"The quaternion is {xyzw!r}.", hint="Give its four numbers: x, y, z, w."
            )
        x, y, z, w = quaternion / length
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, _copied(translation_m))


def _copied(values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{values!r:.80} is not an array of numbers.", hint="Give numbers."
        ) from error
    array.setflags(write=False)
    return array

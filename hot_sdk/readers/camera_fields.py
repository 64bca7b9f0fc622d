"""Read and write what files state of the camera and the person's height.

``intrinsics`` is fx, fy, cx, cy in pixels and perhaps the coefficients of the lens, in one row; or
an object of these names with ``distortion``. ``fisheye`` says that the coefficients are those of
OpenCV's fisheye model. ``up`` and ``height_m`` are as in ``Keypoints``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hot_sdk.camera_knowledge import CameraKnowledge, checked_knowledge
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import KeypointsError, UsageError

NAMES = ("intrinsics", "fisheye", "up", "height_m")


def stated_knowledge(kind: str, fields: Mapping[str, Any], frames: int) -> CameraKnowledge:
    """Return what a file states.

    Args:
        kind: What the file was recognized as.
        fields: Its fields by name; others than ``NAMES`` are ignored.
        frames: Its frames.

    Raises:
        KeypointsError: A field is not as expected.
    """
    stated = {name: fields[name] for name in NAMES if fields.get(name) is not None}
    if not stated:
        return CameraKnowledge()
    try:
        camera = None
        if "intrinsics" in stated:
            fisheye = bool(np.all(np.asarray(stated.get("fisheye", False))))
            camera = _intrinsics(stated["intrinsics"], fisheye)
        return checked_knowledge(camera, stated.get("up"), stated.get("height_m"), frames=frames)
    except UsageError as error:
        raise KeypointsError(
            f"The input was read as {kind}, and what it states of the camera or the person is"
            f" wrong. {error.message}",
            hint=error.hint,
        ) from error


def _intrinsics(stated: object, fisheye: bool) -> Intrinsics:
    if isinstance(stated, Mapping):
        fx, fy, cx, cy = (stated.get(name) for name in ("fx", "fy", "cx", "cy"))
        lens = stated.get("distortion") or ()
        fisheye = bool(stated.get("fisheye", fisheye))
        # Intrinsics checks that they are numbers.
        return Intrinsics(fx, fy, cx, cy, lens, fisheye)  # type: ignore[arg-type]
    try:
        values = np.asarray(stated, dtype=np.float64).tolist()
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"intrinsics is {stated!r:.80}.", hint=_EXPECTED) from error
    if np.shape(values) == (3, 3):
        (fx, skew, cx), (_, fy, cy), _ = values
        if skew == 0.0:
            return Intrinsics(fx, fy, cx, cy)
    if np.ndim(values) != 1 or len(values) < 4:
        raise UsageError(f"intrinsics has shape {np.shape(values)}.", hint=_EXPECTED)
    fx, fy, cx, cy, *lens = values
    return Intrinsics(fx, fy, cx, cy, tuple(lens), fisheye)


_EXPECTED = "Give fx, fy, cx, cy in pixels, and the lens's coefficients after them if it has any."


def fields_of(knowledge: CameraKnowledge) -> dict[str, Any]:
    """Return the fields from which ``stated_knowledge`` reads the same."""
    fields: dict[str, Any] = {"up": knowledge.up, "height_m": knowledge.height_m}
    camera = knowledge.camera
    if camera is not None:
        fields["intrinsics"] = [camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion]
        fields["fisheye"] = camera.fisheye or None
    return fields

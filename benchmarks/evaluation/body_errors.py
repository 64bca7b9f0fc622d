"""Errors of a body's angles and lengths, which tell more of a pose than distances of joints do.

Angles do not depend on a pose's scale. An angle between two bones is 0 if they continue each other:

- ``knee``: between thigh (hip to knee) and shin (knee to ankle); flexion, 0 if the leg is straight.
- ``elbow``: between upper arm (shoulder to elbow) and forearm (elbow to wrist); flexion.
- ``hip``: between the trunk's axis downwards (thorax to pelvis) and the thigh; 0 if one stands
  upright, about 90 if one sits, whether the thigh goes forward or aside.
- ``shoulder``: between the trunk's axis downwards and the upper arm; 0 if the arm hangs, 180 if it
  is raised.
- ``trunk_lean``: between the trunk's axis upwards (pelvis to thorax) and the direction away from
  the ground; 0 if the trunk is upright. Known only if that direction is.
- ``trunk_direction``: between the predicted and the true axis of the trunk along the camera's axes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.results.angles import BENDS, PELVIS, THORAX, bends, degrees_between, trunk_lean

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STRAIGHT_DEGREES = 15.0
"""A joint is straight, and a trunk upright, if its true angle is below this."""

_TRUNK_LEAN, _TRUNK_DIRECTION = "trunk_lean", "trunk_direction"

LENGTHS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "thigh": ((1, 2), (4, 5)),
    "shin": ((2, 3), (5, 6)),
    "upper_arm": ((14, 15), (11, 12)),
    "forearm": ((15, 16), (12, 13)),
    "shoulder_width": ((11, 14),),
    "hip_width": ((1, 4),),
    "lower_spine": ((0, 7),),
    "upper_spine": ((7, 8),),
    "neck": ((8, 9),),
    "head": ((9, 10),),
}
"""Pairs of joints whose distance is a length of the body; a pair for each side if there are two."""

_ANGLE_COLUMNS = (*(name for name, sides in BENDS.items() for _ in sides), _TRUNK_LEAN)
_LENGTH_COLUMNS = tuple(name for name, pairs in LENGTHS.items() for _ in pairs)


@dataclass(frozen=True, eq=False)
class BodyErrors:
    """Errors of the scored frames of a clip.

    Attributes:
        angles: (scored, 9), predicted minus true angle, degrees: those of both sides of knee,
            elbow, hip and shoulder, and the lean of the trunk; NaN if unknown.
        true_angles: (scored, 9), the true ones.
        trunk: (scored, 2), degrees between the predicted and the true axis of the trunk, and by how
            much farther from the camera the predicted one leans.
        lengths: (scored, 14), predicted minus true length, the pairs of ``LENGTHS`` in order.
        true_lengths: (scored, 14), the true ones.
    """

    angles: Singles
    true_angles: Singles
    trunk: Singles
    lengths: Singles
    true_lengths: Singles


@dataclass(frozen=True)
class AngleError:
    """Errors of an angle over all scored frames, both sides alike; NaN if there is none.

    Attributes:
        rmse_degrees: Root mean square error.
        bias_degrees: Mean of predicted minus true: positive if joints are bent too much. Of
            ``trunk_direction``, by how much farther from the camera the predicted trunk leans.
        straight_bias_degrees: The same where the true angle is below ``STRAIGHT_DEGREES``; as an
            angle between bones is never negative, it is above 0 if poses are merely noisy.
        straight_percent: Share of true angles below ``STRAIGHT_DEGREES``.
    """

    rmse_degrees: float
    bias_degrees: float
    straight_bias_degrees: float
    straight_percent: float


@dataclass(frozen=True)
class LengthError:
    """Errors of a length over all scored frames, both sides alike; NaN if there is none.

    Attributes:
        true_mm: Mean of the true length.
        bias_mm: Mean of predicted minus true.
        error_mm: Mean of the absolute difference.
    """

    true_mm: float
    bias_mm: float
    error_mm: float


def body_errors(predicted: Floats, truth: Floats, up: Floats | None = None) -> BodyErrors:
    """Measure a body's angles and lengths in every frame.

    Args:
        predicted: (frames, 17, 3), joints of ``H36M17``, millimeters.
        truth: (frames, 17, 3), of the same frames, along the same axes.
        up: (3,) or (frames, 3), away from the ground; None if unknown.
    """
    ours, theirs = _angles(predicted, up), _angles(truth, up)
    lengths, true_lengths = _lengths(predicted), _lengths(truth)
    trunk, true_trunk = (poses[:, THORAX] - poses[:, PELVIS] for poses in (predicted, truth))
    away = _degrees_from_image(trunk) - _degrees_from_image(true_trunk)
    apart = np.stack([degrees_between(trunk, true_trunk), away], axis=-1)
    return BodyErrors(
        angles=(ours - theirs).astype(np.float32),
        true_angles=theirs.astype(np.float32),
        trunk=apart.astype(np.float32),
        lengths=(lengths - true_lengths).astype(np.float32),
        true_lengths=true_lengths.astype(np.float32),
    )


def angle_errors(clips: Sequence[BodyErrors]) -> dict[str, AngleError]:
    """Return the errors of each angle over all frames of clips."""
    errors, true = (_joined(clips, name) for name in ("angles", "true_angles"))
    found = {}
    for name in dict.fromkeys(_ANGLE_COLUMNS):
        columns = [place for place, each in enumerate(_ANGLE_COLUMNS) if each == name]
        error, angle = errors[:, columns].ravel(), true[:, columns].ravel()
        known = np.isfinite(error)
        straight = angle[known] < STRAIGHT_DEGREES
        error = error[known]
        found[name] = AngleError(
            rmse_degrees=math.sqrt(_mean(error**2)),
            bias_degrees=_mean(error),
            straight_bias_degrees=_mean(error[straight]),
            straight_percent=100.0 * _mean(straight.astype(np.float64)),
        )
    trunk = _joined(clips, "trunk")
    apart, away = trunk[np.isfinite(trunk).all(axis=1)].T
    found[_TRUNK_DIRECTION] = AngleError(
        math.sqrt(_mean(apart**2)), _mean(away), math.nan, math.nan
    )
    return found


def length_errors(clips: Sequence[BodyErrors], *, known: bool = True) -> dict[str, LengthError]:
    """Return the errors of each length over all frames of clips, millimeters.

    Args:
        clips: The clips.
        known: The predicted lengths were in millimeters; if not, no error is known.
    """
    errors, true = (_joined(clips, name) for name in ("lengths", "true_lengths"))
    if not known:
        errors, true = errors[:0], true[:0]
    found = {}
    for name in LENGTHS:
        columns = [place for place, each in enumerate(_LENGTH_COLUMNS) if each == name]
        error = errors[:, columns]
        found[name] = LengthError(_mean(true[:, columns]), _mean(error), _mean(np.abs(error)))
    return found


def _angles(poses: Floats, up: Floats | None) -> Floats:
    """Return the angles of each pose, (frames, 9)."""
    lean = np.full(len(poses), np.nan) if up is None else trunk_lean(poses, up)
    return np.concatenate([bends(poses), lean[:, None]], axis=1)


def _lengths(poses: Floats) -> Floats:
    pairs = np.array([pair for sides in LENGTHS.values() for pair in sides])
    lengths: Floats = np.linalg.norm(poses[:, pairs[:, 1]] - poses[:, pairs[:, 0]], axis=-1)
    return lengths


def _degrees_from_image(vectors: Floats) -> Floats:
    """Return the angle between vectors and the image's plane, positive away from the camera."""
    aside = np.linalg.norm(vectors[..., :2], axis=-1)
    nothing = (aside == 0.0) & (vectors[..., 2] == 0.0)
    angle: Floats = np.degrees(np.arctan2(vectors[..., 2], aside))
    return np.where(nothing, np.nan, angle)


def _joined(clips: Sequence[BodyErrors], name: str) -> Floats:
    return np.concatenate([getattr(clip, name) for clip in clips]).astype(np.float64)


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else math.nan

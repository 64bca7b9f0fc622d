"""Select the keypoint windows that activations are calibrated with: shipped clips or files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk import windows as windowing
from hot_sdk.errors import KeypointsError
from hot_sdk.export.models import ModelSpec, family
from hot_sdk.export.models.families import Normalization
from hot_sdk.export.verification.clips import real_windows
from hot_sdk.keypoints import Keypoints
from hot_sdk.people import read_tracked_people
from hot_sdk.preprocessing import InputSpec, prepare_clip
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.skeletons import in_network_order

MOST_WINDOWS = 64
"""More windows hardly widen the extremes, but take time."""

SHIPPED = "clips that ship with hot-export"


@dataclass(frozen=True, eq=False)
class CalibrationData:
    """Windows that activations are calibrated with.

    Attributes:
        windows: Inputs of the network, (windows, frames, joints, channels).
        source: Their origin, for the manifest.
    """

    windows: NDArray[np.float32]
    source: str

    def batches(self, size: int | None) -> list[NDArray[np.float32]]:
        """Return batches of a size (1 if None), the last one filled up from the start."""
        size = size or 1
        count = -(-len(self.windows) // size) * size
        filled = np.resize(self.windows, (count, *self.windows.shape[1:]))
        return [filled[start : start + size] for start in range(0, count, size)]


def calibration_windows(
    spec: ModelSpec,
    files: Sequence[Path] = (),
    normalization: Normalization = Normalization.IMAGE_WIDTH,
) -> CalibrationData:
    """Select windows, evenly spread over all clips.

    Args:
        spec: The network that they are for.
        files: Keypoint files in any format that ``hot-infer`` reads; if empty, the real clips that
            exported files are verified with.
        normalization: How keypoints become the input.

    Raises:
        KeypointsError: A file is broken, or no file has a detection.
    """
    if not files:
        return CalibrationData(_at_most(np.stack(real_windows(spec, normalization))), SHIPPED)
    found = [
        window
        for path in files
        for person in read_tracked_people(path).people
        for window in _windows_of(person, spec, normalization)
    ]
    if not found:
        raise KeypointsError(
            "The calibration files hold no detections.", hint="Give files with keypoints of people."
        )
    names = ", ".join(path.name for path in files[:3])
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return CalibrationData(_at_most(np.stack(found)), f"{names}{more}")


def _windows_of(
    person: Keypoints, spec: ModelSpec, normalization: Normalization
) -> list[NDArray[np.float32]]:
    entry = family(spec.family)
    network = InputSpec(normalization.value, spec.size.channels)
    clip = prepare_clip(
        person, network, InputPolicies(), frames=spec.frames, training_fps=entry.training_fps
    )
    plan = windowing.plan(len(clip.inputs), spec.frames, windowing.OVERLAP)
    frames = [clip.inputs[window.source_frames(plan.frames)] for window in plan.windows]
    return [in_network_order(inputs, spec.joint_order) for inputs in frames]


def _at_most(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(windows) <= MOST_WINDOWS:
        return windows
    chosen = np.linspace(0, len(windows) - 1, MOST_WINDOWS).round().astype(np.intp)
    spread: NDArray[np.float32] = windows[chosen]
    return spread

"""Select the keypoint windows that activations are calibrated with: shipped clips or files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk import windows as windowing
from hot_sdk.engines.session import Arrays
from hot_sdk.errors import KeypointsError
from hot_sdk.export.models import ModelSpec, family
from hot_sdk.export.models.families import Normalization
from hot_sdk.export.verification.clips import real_windows
from hot_sdk.export.verification.conditions import told_window
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import CONDITIONS, KEYPOINTS
from hot_sdk.people import read_tracked_people
from hot_sdk.preprocessing import InputSpec, prepare_clip
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.skeletons import in_network_order

T = TypeVar("T")

MOST_WINDOWS = 64
"""More windows hardly widen the extremes, but take time."""

SHIPPED = "clips that ship with hot-export"


@dataclass(frozen=True, eq=False)
class CalibrationData:
    """Windows that activations are calibrated with.

    Attributes:
        windows: Inputs of the network, (windows, frames, joints, channels).
        source: Their origin, for the manifest.
        conditions: What is known in each, (windows, frames, conditions), nothing in every second
            one; None if the network takes none.
    """

    windows: NDArray[np.float32]
    source: str
    conditions: NDArray[np.float32] | None = None

    def batches(self, size: int | None) -> list[Arrays]:
        """Return batches of a size (1 if None), the last one filled up from the start."""
        size = size or 1
        count = -(-len(self.windows) // size) * size
        inputs = {KEYPOINTS: self.windows}
        if self.conditions is not None:
            inputs[CONDITIONS] = self.conditions
        filled = {
            name: np.resize(values, (count, *values.shape[1:])) for name, values in inputs.items()
        }
        return [
            {name: values[start : start + size] for name, values in filled.items()}
            for start in range(0, count, size)
        ]


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
        return _calibration(real_windows(spec, normalization), spec, SHIPPED)
    found = cut_people(files, lambda person: _windows_of(person, spec, normalization))
    return _calibration(found, spec, name_files(files))


def cut_people(files: Sequence[Path], cut: Callable[[Keypoints], Iterable[T]]) -> list[T]:
    """Return what everybody in some files is cut into.

    Raises:
        KeypointsError: A file is broken, or no file has a detection.
    """
    found = [
        part
        for path in files
        for person in read_tracked_people(path).people
        for part in cut(person)
    ]
    if not found:
        raise KeypointsError(
            "The calibration files hold no detections.", hint="Give files with keypoints of people."
        )
    return found


def name_files(files: Sequence[Path]) -> str:
    """Return the names of files, for the manifest."""
    names = ", ".join(path.name for path in files[:3])
    return f"{names}{f' and {len(files) - 3} more' if len(files) > 3 else ''}"


def _calibration(
    windows: Sequence[NDArray[np.float32]], spec: ModelSpec, source: str
) -> CalibrationData:
    count = spec.size.conditions
    if not count:
        return CalibrationData(_at_most(np.stack(windows), MOST_WINDOWS), source)
    # Both ways in which the file will be used.
    chosen = _at_most(np.stack(windows), MOST_WINDOWS // 2)
    told = [told_window(window, count, number) for number, window in enumerate(chosen)]
    unknown = np.zeros((chosen.shape[1], count), dtype=np.float32)
    both = [
        each for pair in zip(chosen, told, strict=True) for each in (pair[0], pair[1].keypoints)
    ]
    known = [each for one in told for each in (unknown, one.conditions)]
    return CalibrationData(np.stack(both), source, np.stack(known))


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


def _at_most(windows: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    if len(windows) <= most:
        return windows
    chosen = np.linspace(0, len(windows) - 1, most).round().astype(np.intp)
    spread: NDArray[np.float32] = windows[chosen]
    return spread

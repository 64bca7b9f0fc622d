"""Calibrate a live network frame by frame, with what it remembers of real clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import onnx

from hot_sdk.engines import open_session
from hot_sdk.engines.session import Arrays
from hot_sdk.export.models import ModelSpec, family
from hot_sdk.export.models.families import Normalization
from hot_sdk.export.precision.calibration import SHIPPED, cut_people, name_files
from hot_sdk.export.verification.clips import LIVE_FRAMES, Window, live_windows
from hot_sdk.export.verification.conditions import told_window
from hot_sdk.export.verification.step_runs import step_feeds
from hot_sdk.keypoints import Keypoints
from hot_sdk.preprocessing import InputSpec, prepare_clip
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.skeletons import in_network_order

_MOST_RECORDINGS = 6


class StepBatches(Sequence[Arrays]):
    """What a network is fed with, frame by frame, as it runs; nothing of it is kept.

    Args:
        model: The network, in float32.
        spec: Its architecture.
        groups: Recordings of as many people as a run takes.
    """

    def __init__(
        self, model: onnx.ModelProto, spec: ModelSpec, groups: Sequence[Sequence[Window]]
    ) -> None:
        self._model, self._spec, self._groups = model, spec, groups

    def __len__(self) -> int:
        """Return the number of runs."""
        assert self._spec.live is not None
        frames = len(self._groups[0][0].keypoints) + self._spec.live.lookahead
        return len(self._groups) * frames

    def __iter__(self) -> Iterator[Arrays]:
        """Iterate over the inputs of runs, which hold only until the next."""
        with open_session(self._model.SerializeToString()) as session:
            for group in self._groups:
                for feeds, _ in step_feeds(session.run, self._spec, group):
                    yield feeds

    @overload
    def __getitem__(self, number: int) -> Arrays: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Arrays]: ...
    def __getitem__(self, number: int | slice) -> Arrays | Sequence[Arrays]:
        """Run up to a number, and return a copy of its inputs."""
        assert isinstance(number, int)
        found = next(itertools.islice(self, number, None))
        return {name: values.copy() for name, values in found.items()}


@dataclass(frozen=True, eq=False)
class StepCalibration:
    """Recordings that activations are calibrated with.

    Attributes:
        model: The network, in float32.
        spec: Its architecture.
        windows: The recordings, of equal length.
        source: Their origin, for the manifest.
    """

    model: onnx.ModelProto
    spec: ModelSpec
    windows: tuple[Window, ...]
    source: str

    def batches(self, size: int | None) -> Sequence[Arrays]:
        """Return the inputs of runs of a number of people (1 if None)."""
        size = size or 1
        count = -(-len(self.windows) // size) * size
        filled = list(itertools.islice(itertools.cycle(self.windows), count))
        groups = [filled[start : start + size] for start in range(0, count, size)]
        return StepBatches(self.model, self.spec, groups)


def step_calibration(
    model: onnx.ModelProto,
    spec: ModelSpec,
    files: Sequence[Path] = (),
    normalization: Normalization = Normalization.IMAGE_WIDTH,
) -> StepCalibration:
    """Select recordings, evenly spread over all clips.

    Args:
        model: The network, in float32.
        spec: Its architecture.
        files: Keypoint files in any format that ``hot-infer`` reads; if empty, the recordings that
            exported files are verified with.
        normalization: How keypoints become the input.

    Raises:
        KeypointsError: A file is broken, or no file has a detection.
    """
    if not files:
        return StepCalibration(model, spec, tuple(live_windows(spec, normalization)), SHIPPED)
    found = cut_people(files, lambda person: _recordings(person, spec, normalization))
    places = np.linspace(0, len(found) - 1, min(len(found), _MOST_RECORDINGS)).round().astype(int)
    chosen = [found[place] for place in places]
    if count := spec.size.conditions:
        # Both ways in which the file will be used.
        told = [told_window(each.keypoints, count, n) for n, each in enumerate(chosen)]
        chosen += [
            Window(f"{each.name}, {known.known}", known.keypoints, known.conditions, each.times)
            for each, known in zip(chosen, told, strict=True)
        ]
    return StepCalibration(model, spec, tuple(chosen), name_files(files))


def _recordings(
    person: Keypoints, spec: ModelSpec, normalization: Normalization
) -> Iterator[Window]:
    """Yield a person's frames, some at a time; the last ones are repeated."""
    fps = family(spec.family).training_fps
    network = InputSpec(normalization.value, spec.size.channels)
    clip = prepare_clip(person, network, InputPolicies(), frames=2, training_fps=fps)
    times, length = np.arange(LIVE_FRAMES) / fps, len(clip.inputs)
    for start in range(0, length, LIVE_FRAMES):
        frames = np.arange(start, min(start + LIVE_FRAMES, length))
        part = in_network_order(clip.inputs[frames], spec.joint_order)
        yield Window("calibration", np.resize(part, (LIVE_FRAMES, *part.shape[1:])), times=times)

"""Run a live network over recordings frame by frame, in PyTorch or in an engine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hot_sdk.engines.session import Arrays
from hot_sdk.errors import VerificationError
from hot_sdk.export.graph.wrapper import StepLifter, lift_arrays, output_names
from hot_sdk.export.models import ModelSpec
from hot_sdk.export.models.live_mixste import LiveMixSTE
from hot_sdk.export.verification.clips import Window
from hot_sdk.live.state import StepStates
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, POSES, SPREAD

Outputs = Mapping[str, NDArray[Any]]

_LIMIT = 1e-9
"""Of the difference of a coordinate in float64, as a share of the largest."""
_FRAMES_AT_ONCE = 160


def step_feeds(
    run: Callable[[Arrays], Outputs],
    spec: ModelSpec,
    windows: Sequence[Window],
    *,
    dtype: type[np.floating[Any]] = np.float32,
) -> Iterator[tuple[Arrays, Outputs]]:
    """Take recordings frame by frame, a person each, and then what the lookahead has left.

    Args:
        run: Runs the network on one frame of each person.
        spec: Its architecture.
        windows: Recordings of equal length.
        dtype: Of what the network is fed with.

    Yields:
        What the network was fed with, its caches as views that the next step writes to; and what it
        returned.
    """
    assert spec.step is not None
    people, frames = len(windows), len(windows[0].keypoints)
    states = StepStates(spec.step, spec.joints, people, dtype=dtype)
    for _ in windows:
        states.add()
    rows, everyone = slice(0, people), np.ones(people, dtype=np.bool_)
    keypoints = np.stack([window.keypoints for window in windows], axis=1).astype(dtype)
    unknown = np.zeros((frames, spec.size.conditions))
    told = [unknown if window.conditions is None else window.conditions for window in windows]
    known = np.stack(told, axis=1).astype(dtype)
    when = np.stack([window.times for window in windows if window.times is not None], axis=1)
    for step in range(frames + spec.step.lookahead):
        frame = min(step, frames - 1)
        times = when[frame] if step < frames else np.full(people, np.nan)
        feeds = {**states.feeds(rows, times), **states.caches.inputs(rows)}
        feeds[KEYPOINTS] = keypoints[frame][:, np.newaxis]
        if spec.size.conditions:
            feeds[CONDITIONS] = known[frame][:, np.newaxis]
        outputs = run(feeds)
        yield feeds, outputs
        states.store(rows, times, outputs, everyone)


def lift_by_steps(
    run: Callable[[Arrays], Outputs],
    spec: ModelSpec,
    windows: Sequence[Window],
    *,
    dtype: type[np.floating[Any]] = np.float32,
) -> dict[str, NDArray[Any]]:
    """Return the poses of recordings, and their spread, of the frames in their order.

    Args:
        run: See :func:`step_feeds`.
        spec: See there.
        windows: See there.
        dtype: See there.

    Returns:
        ``poses_3d`` and, if the network predicts it, ``spread``: (windows, frames, joints, 3).
    """
    assert spec.step is not None
    found: dict[str, list[NDArray[Any]]] = {}
    for step, (_, outputs) in enumerate(step_feeds(run, spec, windows, dtype=dtype)):
        for name in (POSES, SPREAD):
            if name in outputs and step >= spec.step.lookahead:
                found.setdefault(name, []).append(outputs[name][:, 0].copy())
    return {name: np.stack(values, axis=1) for name, values in found.items()}


def in_pytorch(lifter: nn.Module, spec: ModelSpec) -> Callable[[Arrays], Outputs]:
    """Return a function that runs a live network in PyTorch on a file's inputs."""

    def run(arrays: Arrays) -> Outputs:
        with torch.inference_mode():
            outputs = lift_arrays(lifter, arrays)
        return dict(zip(output_names(spec), (each.numpy() for each in outputs), strict=True))

    return run


def require_same_both_ways(lifter: nn.Module, spec: ModelSpec, windows: Sequence[Window]) -> float:
    """Check that a network lifts a clip at once as frame by frame, in float64.

    Args:
        lifter: The function of :mod:`hot_sdk.export.graph.wrapper`.
        spec: Its architecture.
        windows: Recordings, of which the first frames are taken.

    Returns:
        The largest difference of a coordinate, in the network's unit.

    Raises:
        VerificationError: They differ by more than rounding.
    """
    assert isinstance(lifter, StepLifter)
    assert spec.live is not None
    exact = copy.deepcopy(lifter).double()
    exact.subtracted, exact.scale = None, 1.0
    network = exact.network
    assert isinstance(network, LiveMixSTE)
    largest = 0.0
    for window in windows:
        clip = Window(
            window.name,
            window.keypoints[:_FRAMES_AT_ONCE],
            None if window.conditions is None else window.conditions[:_FRAMES_AT_ONCE],
            None if window.times is None else window.times[:_FRAMES_AT_ONCE],
        )
        steps = lift_by_steps(in_pytorch(exact, spec), spec, [clip], dtype=np.float64)
        known = clip.conditions
        if known is None and spec.size.conditions:
            known = np.zeros((len(clip.keypoints), spec.size.conditions), dtype=np.float32)
        with torch.inference_mode():
            at_once, _ = network.lift_clip(
                torch.from_numpy(clip.keypoints).double().unsqueeze(0),
                torch.from_numpy(clip.times),
                None if known is None else torch.from_numpy(known).double().unsqueeze(0),
                lookahead=spec.live.lookahead,
                memory=spec.live.memory,
            )
        difference = float(np.abs(steps[POSES] - at_once.numpy()).max())
        limit = _LIMIT * max(1.0, float(at_once.abs().max()))
        if not difference <= limit:
            raise VerificationError(
                f"The network lifts '{window.name}' otherwise frame by frame than at once: "
                f"coordinates differ by up to {difference:.3g} in float64, above {limit:.3g}.",
                hint="Report it with the command that you ran.",
            )
        largest = max(largest, difference)
    return largest

"""One person in a stream: what was seen of them, and which of their frames are still to come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.policies import InputPolicies
from hot_sdk.preparation.cleaning import clean
from hot_sdk.preparation.rate import sample
from hot_sdk.streams.buffer import ObservationBuffer, Observations
from hot_sdk.window_runner import WindowRunner


class Person:
    """The state of one person.

    Attributes:
        track_id: Whose state it is.
        buffer: What was seen.
        settled: Observations whose pose was given out or dropped.
        last_time: Timestamp of the newest push.
        last_seen: Timestamp of the newest frame that showed any joint.
    """

    def __init__(self, track_id: int | str | None, capacity: int) -> None:
        self.track_id = track_id
        self.buffer = ObservationBuffer(capacity)
        self.settled = 0
        self.last_time = -np.inf
        self.last_seen = -np.inf

    def forget(self) -> None:
        """Start anew, as after a gap."""
        self.buffer.count = 0
        self.settled = 0


@dataclass(frozen=True)
class Job:
    """Frames of one person that are to be lifted now.

    Attributes:
        track_id: The person's.
        seen: What is known of them.
        frames: How many of the newest frames but ``lookahead`` become final.
        lookahead: Frames after them that are known.
    """

    track_id: int | str | None
    seen: Observations
    frames: int
    lookahead: int

    @property
    def final(self) -> slice:
        """The frames that become final, within ``seen``."""
        end = len(self.seen.times) - self.lookahead
        return slice(max(end - self.frames, 0), end)


@dataclass(frozen=True)
class JobWindows:
    """A job as a network's input.

    Attributes:
        inputs: (windows, frames, 17, channels), float32.
        grids: (windows, frames), seconds: when each frame of each window is.
        valid: (final frames, 17).
    """

    inputs: NDArray[np.float32]
    grids: NDArray[np.float64]
    valid: NDArray[np.bool_]


def windows_of(
    job: Job,
    runner: WindowRunner,
    policies: InputPolicies,
    image_size: tuple[int, int],
    *,
    step: float,
) -> JobWindows | None:
    """Prepare a job.

    A window ends with the newest frame; where the network gives its centre frame only, there is
    one window about each final frame. What lies before the first frame or after the newest is
    held.

    Args:
        job: The job.
        runner: The model.
        policies: For missing joints and outliers.
        image_size: Width and height, pixels.
        step: Seconds between the frames of a window.

    Returns:
        The windows; None where nothing is seen of the person.
    """
    seen = job.seen
    fps = 1.0 / step
    if len(seen.times) > 1:
        fps = float(1.0 / np.median(np.diff(seen.times)))
    cleaned = clean(seen.points, seen.scores, seen.times, policies, fps=fps)
    if cleaned is None:
        return None
    frames = runner.manifest.frames
    offsets = np.arange(frames) - (frames - 1)
    ends = seen.times[-1:]
    if runner.centre_only:
        ends = seen.times[job.final] + (frames - 1 - frames // 2) * step
    grids = ends[:, None] + offsets * step
    values = runner.network.of(
        cleaned.points, cleaned.scores, cleaned.valid, image_size, policies.aspect
    )
    inputs = sample(values, seen.times, grids.reshape(-1))
    return JobWindows(
        inputs.reshape(*grids.shape, *values.shape[1:]), grids, cleaned.valid[job.final]
    )


def poses_of(
    job: Job, windows: JobWindows, poses: NDArray[np.float32], *, centre_only: bool
) -> NDArray[np.float32]:
    """The poses of a job's final frames, (frames, 17, 3), from those of its windows."""
    if centre_only:
        return poses[:, 0]
    return sample(poses[0], windows.grids[0], job.seen.times[job.final])

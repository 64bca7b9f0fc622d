"""Track the root of one person: frame by frame with a stated delay, or over a whole clip."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import CameraPose
from hot_sdk.contacts import FEET
from hot_sdk.errors import UsageError
from hot_sdk.root.estimate import RootEstimate, estimate
from hot_sdk.root.filter import first_state, smooth, step
from hot_sdk.root.measurement import RootMeasurements
from hot_sdk.root.model import POSE_ERROR, SPEED, RootOptions, advance
from hot_sdk.root.scale import (
    DepthReading,
    Floor,
    FloorContact,
    LengthReading,
    ScalePrior,
    standing_foot,
)
from hot_sdk.root.states import RootFrame, RootState, RootStep

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

AT_CAMERA = CameraPose(np.eye(3), np.zeros(3))
"""For roots along the axes of a camera at rest."""


class RootTracker:
    """The root of one person, as frames arrive.

    Args:
        options: The filter's; None for the defaults.
        prior: What is known of the person's size; None for an adult's.
        floor: What the person stands on, in the frame of the cameras' poses; None if unknown.
        lag: Frames that ``push`` waits before it returns one: those after it make it surer. None to
            call ``settle`` for them.

    Raises:
        UsageError: The lag is not a whole number from 0.
    """

    def __init__(
        self,
        options: RootOptions | None = None,
        *,
        prior: ScalePrior | None = None,
        floor: Floor | None = None,
        lag: int | None = 0,
    ) -> None:
        if lag is not None and not (isinstance(lag, (int, np.integer)) and lag >= 0):
            raise UsageError(
                f"lag is {lag!r}; expected frames, 0 or more.", hint="Use 0 for no delay."
            )
        self._options = options or RootOptions()
        self._floor = floor
        self._state = first_state(prior or ScalePrior())
        self._steps: deque[RootStep] = deque(maxlen=None if lag is None else int(lag) + 1)
        self._lag = None if lag is None else int(lag)
        self._pose: tuple[float, Doubles] | None = None

    @property
    def state(self) -> RootState:
        """What is known after the last frame."""
        return self._state

    def push(
        self,
        measurement: RootMeasurements,
        timestamp: float,
        *,
        camera: CameraPose = AT_CAMERA,
        pose: Floats | None = None,
        depth: DepthReading | None = None,
        lengths: Sequence[LengthReading] = (),
        shift: Doubles | None = None,
    ) -> RootEstimate | None:
        """Take one frame in, and return the one that is ``lag`` frames older, if there is one.

        Args:
            measurement: Of one frame.
            timestamp: Seconds.
            camera: Where the camera is in this frame.
            pose: (17, 3), relative to the pelvis, along the camera's axes: whose feet stand on the
                floor. Not needed without one.
            depth: A depth camera's reading at the pelvis.
            lengths: Known lengths of the person's, with those of the pose.
            shift: See ``RootFrame``; the pose is then relative to the joint that is tracked now.

        Raises:
            UsageError: The frame is not later than the one before.
        """
        frame = RootFrame(
            timestamp=timestamp,
            root=measurement.root[0],
            pixel_covariance=measurement.pixel_covariance[0],
            pose_covariance=measurement.pose_covariance[0],
            misfit=float(measurement.misfit[0]),
            rotation=camera.rotation,
            position=camera.translation,
            depth=depth,
            contact=self._contact(pose, timestamp, camera),
            lengths=tuple(lengths),
            shift=shift,
        )
        taken = step(self._state, frame, self._options, self._floor)
        self._state = taken.state
        self._steps.append(taken)
        if self._lag is None or len(self._steps) <= self._lag:
            return None
        return _smoothed(self._steps)[0]

    def settle(self, until: float) -> list[RootEstimate]:
        """Return the frames up to a time that were not returned yet, of all that was pushed.

        Args:
            until: Seconds.
        """
        count = sum(one.state.timestamp <= until for one in self._steps)
        found = _smoothed(self._steps)[:count]
        for _ in range(count):
            self._steps.popleft()
        return found

    def newest(self) -> RootEstimate | None:
        """Return the last frame's estimate, of what was seen until then; None before the first."""
        return _causal(self._steps[-1]) if self._steps else None

    def predict(self, timestamp: float) -> RootEstimate:
        """Return what is known of a time after the last frame, such as now; takes nothing in.

        Args:
            timestamp: Seconds; the root is NaN if it is longer than a gap after it was seen.

        Raises:
            UsageError: The time is before the last frame.
        """
        state = self._state
        seconds = timestamp - state.timestamp
        if not seconds >= 0.0:
            raise UsageError(
                f"The time is {timestamp!r} s, before the last frame at {state.timestamp!r} s.",
                hint="Ask for a time after it; with a lag, earlier frames come out of push.",
            )
        mean, covariance = state.mean, state.covariance
        if state.restarts:
            slow = covariance[POSE_ERROR, POSE_ERROR]
            motion = advance(self._options, seconds, slow, state.agility)
            mean = motion.transition @ mean
            covariance = motion.transition @ covariance @ motion.transition.T + motion.noise
        return estimate(
            mean,
            covariance,
            state.origin,
            timestamp,
            known=timestamp - state.seen <= self._options.max_gap_s,
            measured=False,
            restarts=state.restarts,
        )

    def flush(self) -> list[RootEstimate]:
        """Return the frames that still wait, oldest first; the next frame is the first to wait."""
        waiting = list(self._steps)
        if self._lag is not None:
            waiting = waiting[-self._lag :] if self._lag else []
        self._steps.clear()
        return _smoothed(waiting)

    def _contact(
        self, pose: Floats | None, timestamp: float, camera: CameraPose
    ) -> FloorContact | None:
        if pose is None or self._floor is None:
            return None
        turned: Doubles = np.asarray(pose, dtype=np.float64) @ camera.rotation.T
        before, self._pose = self._pose, (timestamp, turned)
        if before is None or not np.isfinite(turned[FEET, :]).all():
            return None
        speed = self._state.mean[SPEED] if self._state.restarts else None
        poses, times = np.stack([before[1], turned]), np.array([before[0], timestamp])
        foot = standing_foot(poses, times, self._floor.up, speed)
        return None if foot is None else FloorContact(turned[foot])


@dataclass(frozen=True, eq=False)
class RootPath:
    """A person's root over a clip; see ``RootEstimate``.

    Attributes:
        timestamps: (frames,), seconds.
        position: (frames, 3), meters, NaN where it is not known.
        velocity: (frames, 3), m/s, likewise.
        covariance: (frames, 7, 7), of the position, the velocity and the logarithm of the scale.
        scale: (frames,), size of the person over that of the poses.
        measured: (frames,), False where the root is carried on from other frames.
        restarts: (frames,), how often the track started until then.
    """

    timestamps: Doubles
    position: Doubles
    velocity: Doubles
    covariance: Doubles
    scale: Doubles
    measured: NDArray[np.bool_]
    restarts: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.timestamps)

    def __getitem__(self, index: int) -> RootEstimate:
        """Return one frame's estimate."""
        return RootEstimate(
            timestamp=float(self.timestamps[index]),
            position=self.position[index],
            velocity=self.velocity[index],
            covariance=self.covariance[index],
            scale=float(self.scale[index]),
            measured=bool(self.measured[index]),
            restarts=int(self.restarts[index]),
        )


def track_clip(
    measurements: RootMeasurements,
    timestamps: Doubles,
    *,
    cameras: CameraPose | Sequence[CameraPose] = AT_CAMERA,
    options: RootOptions | None = None,
    prior: ScalePrior | None = None,
    floor: Floor | None = None,
    poses: Floats | None = None,
    depths: Sequence[DepthReading | None] | None = None,
    lengths: Sequence[Sequence[LengthReading]] | None = None,
    lag: int | None = None,
) -> RootPath:
    """Return the root over a clip.

    Args:
        measurements: Of the clip.
        timestamps: (frames,), seconds, increasing.
        cameras: The camera's pose, or those of all frames.
        options: See ``RootTracker``.
        prior: See ``RootTracker``.
        floor: See ``RootTracker``.
        poses: (frames, 17, 3); see ``RootTracker.push``.
        depths: One for each frame, None where there is none.
        lengths: Those of each frame.
        lag: Frames after each one that are made use of; None for all.

    Raises:
        UsageError: Something has another number of frames, or the times do not increase.
    """
    frames = len(measurements)
    given: dict[str, Sized | None] = {
        "timestamps": timestamps,
        "poses": poses,
        "depths": depths,
        "lengths": lengths,
    }
    if not isinstance(cameras, CameraPose):
        given["cameras"] = cameras
    for name, values in given.items():
        if values is not None and len(values) != frames:
            raise UsageError(
                f"{name} has {len(values)} frames, the measurements {frames}.",
                hint="Give those of the same clip.",
            )
    tracker = RootTracker(options, prior=prior, floor=floor, lag=frames if lag is None else lag)
    found: list[RootEstimate] = []
    for at in range(frames):
        one = tracker.push(
            measurements.frame(at),
            float(timestamps[at]),
            camera=cameras if isinstance(cameras, CameraPose) else cameras[at],
            pose=None if poses is None else poses[at],
            depth=None if depths is None else depths[at],
            lengths=() if lengths is None else lengths[at],
        )
        if one is not None:
            found.append(one)
    found += tracker.flush()
    return RootPath(
        timestamps=np.array([one.timestamp for one in found], dtype=np.float64),
        position=np.array([one.position for one in found]).reshape(-1, 3),
        velocity=np.array([one.velocity for one in found]).reshape(-1, 3),
        covariance=np.array([one.covariance for one in found]).reshape(-1, 7, 7),
        scale=np.array([one.scale for one in found], dtype=np.float64),
        measured=np.array([one.measured for one in found], dtype=np.bool_),
        restarts=np.array([one.restarts for one in found], dtype=np.int64),
    )


def _causal(one: RootStep) -> RootEstimate:
    return _estimate(one, one.state.mean, one.state.covariance)


def _smoothed(steps: Sequence[RootStep]) -> list[RootEstimate]:
    return [_estimate(one, *state) for one, state in zip(steps, smooth(steps), strict=True)]


def _estimate(one: RootStep, mean: Doubles, covariance: Doubles) -> RootEstimate:
    state = one.state
    return estimate(
        mean,
        covariance,
        state.origin,
        state.timestamp,
        known=one.known,
        measured=one.measured,
        restarts=state.restarts,
    )

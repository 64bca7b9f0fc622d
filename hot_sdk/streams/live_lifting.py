"""Lift the frames of a stream's people with a live network, each once, in the order they came."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import numpy as np

from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.lifting import LiftedFrame, NewFrame, StepLifter
from hot_sdk.live.runner import StepRunner
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.streams.pending import final_poses
from hot_sdk.streams.placing import Lifted
from hot_sdk.streams.pose import StreamPose
from hot_sdk.streams.rate import SHORT, FrameRate, spread_bursts
from hot_sdk.streams.tracks import PendingFrames


class LiveLifter:
    """What a live network remembers of a stream's people. It has no lock.

    Args:
        runner: The model.
        policies: How missing joints and outliers are handled.
        people: Most people at a time.
        recorder: Receives the time of each stage.
    """

    def __init__(
        self, runner: StepRunner, policies: InputPolicies, people: int, recorder: LatencyRecorder
    ) -> None:
        self._runner = runner
        self._policies = policies
        self._recorder = recorder
        self._most = people
        self._people = StepLifter(runner, policies, people)

    @property
    def bytes_per_person(self) -> int:
        """Bytes that are kept of a person."""
        return self._people.bytes_per_person

    def lift(
        self,
        pending: Sequence[PendingFrames],
        stays: Collection[object],
        image_size: tuple[int, int],
        rate: FrameRate,
    ) -> tuple[tuple[StreamPose, ...], int]:
        """Take frames, those of several people together, and return what becomes final.

        Args:
            pending: The frames.
            stays: Those of the people who are followed; what is remembered of others is forgotten.
            image_size: Width and height, pixels.
            rate: The stream's frame rate.

        Returns:
            The poses, and the number of frames that the network took.

        Raises:
            EngineError: The engine failed.
        """
        # Someone who left may have come back in the meantime, with another stay.
        ended = [one for one in pending if one.last]
        self._people.keep({*stays, *(one.stay for one in ended)})
        # If the clock jumped back several times while the engine ran, more stays ended than there
        # is memory for at a time; the first of them have theirs already.
        groups = [ended[first : first + self._most] for first in range(0, len(ended), self._most)]
        groups.append([one for one in pending if not one.last])
        poses: list[StreamPose] = []
        taken = 0
        for people in groups:
            group = {one.stay: one for one in people}
            rounds = max((one.frames for one in people), default=0)
            for number in range(rounds):
                frames = [
                    self._new_frame(one, number, image_size, rate)
                    for one in people
                    if number < one.frames
                ]
                poses += self._poses(group, self._people.push(frames, self._recorder))
                taken += len(frames)
            if people is not groups[-1]:
                poses += self._poses(group, self._people.finish(list(group), self._recorder))
        return tuple(poses), taken

    def _new_frame(
        self, pending: PendingFrames, number: int, image_size: tuple[int, int], rate: FrameRate
    ) -> NewFrame:
        seen, at = pending.seen, pending.final.start + number
        told = "gravity_known" in self._runner.manifest.conditions and pending.camera is not None
        stamp, usual_s = float(seen.times[at]), rate.usual_interval_s
        return NewFrame(
            person=pending.stay,
            stamp=stamp,
            time=self._taken_at(pending.stay, stamp, usual_s),
            points=seen.points[at],
            scores=seen.scores[at],
            image_size=image_size,
            fps=1.0 / usual_s,
            camera=pending.camera,
            up=seen.ups[at] if told else None,
            height_m=pending.height_m,
        )

    def _taken_at(self, stay: object, seconds: float, usual_s: float) -> float:
        """Return when a frame was taken; correct those before it if they waited in a queue."""
        before = self._people.stamps(stay)
        if not before or seconds - before[-1] >= SHORT * usual_s:
            return seconds
        times = spread_bursts(np.array([*before, seconds]), usual_s)
        self._people.retime(stay, times[:-1])
        return float(times[-1])

    def _poses(
        self, pending: dict[object, PendingFrames], lifted: Sequence[LiftedFrame]
    ) -> list[StreamPose]:
        poses: list[StreamPose] = []
        unit = self._runner.manifest.unit
        for one in lifted:
            frame = one.fed.frame
            person = pending[frame.person]
            seen = person.seen
            waited = float(seen.times[-1]) - frame.stamp
            delay = waited + time.perf_counter() - float(seen.arrivals[-1])
            self._recorder.add("delay", delay)
            spread = None if one.spread is None else one.spread[None]
            found = Lifted(one.pose[None], spread, one.fed.valid[None], unit, [delay])
            first = int(np.searchsorted(seen.times, frame.stamp))
            poses += final_poses(person, first, found, self._policies.min_score)
        return poses

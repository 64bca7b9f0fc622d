"""What a stream did, and how late its poses are."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from hot_sdk.latency import LatencyReport


@dataclass
class StreamCounters:
    """Counts of what happened in a stream.

    Attributes:
        pushes: Frames of people that were pushed.
        poses: Poses that were returned.
        windows: Windows that the engine lifted.
        dropped: Frames without a pose, because newer ones were waiting.
        unseen: Frames that showed no joint of a person who is not followed, or was away for too
            long to bridge.
        bridged: Frames without a person who is followed, whose pose was bridged.
        joined: People who came, or came back.
        left: People who were not seen for the time to live.
        resets: Times that a person was seen again after a gap too long to bridge.
        refused: Frames of people beyond ``max_people``.
        clock_jumps: Times that the timestamps went back, or ahead by more than the time to live;
            everyone then started from scratch.
    """

    pushes: int = 0
    poses: int = 0
    windows: int = 0
    dropped: int = 0
    unseen: int = 0
    bridged: int = 0
    joined: int = 0
    left: int = 0
    resets: int = 0
    refused: int = 0
    clock_jumps: int = 0


@dataclass(frozen=True)
class StreamReport:
    """What a stream did, and how late its poses are.

    Attributes:
        mode: ``live`` or ``video``.
        lookahead: Frames that a pose waits for.
        hop: Frames between runs of the engine.
        fps: Frames per second of the stream; None while unknown.
        fps_measured: The rate was measured, not given.
        resampled_to_fps: The rate at which the network sees the frames, if it differs.
        people: Number of people who are followed now.
        lookahead_ms: Time spent waiting for later frames: ``lookahead / fps``; None while the rate
            is unknown.
        counters: What happened.
        latency: Time spent computing.
        warnings: What looks wrong about the timestamps, and about the keypoints in their image.
        smoothed: Joints are as a Kalman filter has them; its lag, about a millisecond for arms that
            move as people's do, is in no delay.
        bytes_per_person: What a live network's memory of a person takes; None for another network,
            which is given a whole window each time.
    """

    mode: str
    lookahead: int
    hop: int
    fps: float | None
    fps_measured: bool
    resampled_to_fps: float | None
    people: int
    lookahead_ms: float | None
    counters: StreamCounters
    latency: LatencyReport
    warnings: tuple[str, ...] = ()
    smoothed: bool = False
    bytes_per_person: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def __str__(self) -> str:
        rate = "unknown" if self.fps is None else f"{self.fps:.4g} frames/s"
        if self.fps_measured and self.fps is not None:
            rate += " (measured)"
        if self.resampled_to_fps is not None:
            rate += f", resampled to {self.resampled_to_fps:g}"
        wait = "?" if self.lookahead_ms is None else f"{self.lookahead_ms:.1f}"
        counts = ", ".join(
            f"{name} {value}" for name, value in dataclasses.asdict(self.counters).items() if value
        )
        warnings = "".join(f"\nWarning: {warning}" for warning in self.warnings)
        rate += ", smoothed" if self.smoothed else ""
        size = ""
        if self.bytes_per_person is not None:
            size = f" ({self.bytes_per_person / 1e6:.2f} MB remembered of each)"
        return (
            f"{self.mode} stream, {rate}: {self.people} people followed{size}; {counts}\n"
            f"delay of a pose = lookahead of {self.lookahead} frames ({wait} ms) + compute, with an"
            f" engine run every {self.hop} frames\n{self.latency}{warnings}"
        )

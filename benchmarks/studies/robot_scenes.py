"""Measure what a robot gets of a stream: where joints are in its frame, how fast, and how sure.

    python benchmarks/studies/robot_scenes.py [--seeds 2] [--output FILE]

The starter model lifts starter-val's motion, which its training never saw, in the scenes of
``root_scenes``: a camera 1.1 m above the floor, people about 3 m away, 2 pixels of noise in x and y
of each keypoint, 30 frames per second. Truth is exact, in the robot's frame.

Before: a pose of the stream, the root of each frame alone, and differences of successive frames.
After: what the stream itself says, at once and five frames later, and a whole clip; with smoothing,
velocities are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from robot_tracks import AT_ONCE, CLIP, LATER, Case, Track, tracks_of
from root_scenes import FPS, WALKS, scene
from scene_errors import SHARES, THREE_AXES, best_delay, squared_distances
from scene_study import Measured, run_scene_study

from hot_sdk import Pose3DEngine
from hot_sdk._base.tables import Table
from hot_sdk.skeletons import H36M17

Doubles = NDArray[np.float64]

_FRAMES = 100
_WARM_UP, _END = 15, 6
_WRISTS = [H36M17.joints.index(f"{side}_wrist") for side in ("right", "left")]
_LOWER = [0, 1, 2, 3, 4, 5, 6, 7]
_TABLE = "behind a table"
_OTHERS = ("14_31", "14_19", "14_33")
"""Sequences that no setting of the filter was chosen on."""

_ONE_AXIS = (0.6745, 1.0, 1.96)
"""Standard deviations that hold ``SHARES`` of the errors along one axis."""


@dataclass(frozen=True)
class Row:
    """The errors in one kind of scene, by one method: root mean squares over frames and scenes.

    Attributes:
        scene: What is seen.
        method: How people are placed.
        root_mm: Of the root.
        wrist_mm: Of both wrists in the robot's frame.
        root_m_s: Of the root's velocity.
        wrist_m_s: Of the wrists' velocities.
        jitter_mm: Of the step from one frame to the next of the wrists, beyond the true step.
        lag_ms: Time before, at which the wrists truly were where they are said to be.
        known: Percent of frames that say where the wrists are, whether they are seen or not.
    """

    scene: str
    method: str
    root_mm: float
    wrist_mm: float
    root_m_s: float
    wrist_m_s: float
    jitter_mm: float
    lag_ms: float
    known: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_scene_study("robot_scenes", __doc__, arguments, _measured)


def _measured(seeds: int) -> Measured:
    rows: list[Row] = []
    sure: dict[str, list[Track]] = {}
    with Pose3DEngine("starter") as engine:
        for kind, cases in _cases(seeds).items():
            tracks: dict[str, list[Track]] = {}
            for case in cases:
                for method, found in tracks_of(engine, case).items():
                    tracks.setdefault(method, []).extend(found)
            rows += [_row(kind, method, found) for method, found in tracks.items()]
            for method, found in tracks.items():
                if method in (AT_ONCE, LATER, CLIP):
                    where = f"{method}, {kind}" if kind == _TABLE else method
                    sure.setdefault(where, []).extend(found)
    coverage = {method: _coverage(found) for method, found in sure.items()}
    figures = {"errors": [vars(row) for row in rows], "coverage": coverage}
    return [error_table(rows), coverage_table(coverage)], figures


def _cases(seeds: int) -> dict[str, list[Case]]:
    walks = [(WALKS[seed % len(WALKS)], 200 + seed) for seed in range(seeds)]
    others = [(_OTHERS[seed % len(_OTHERS)], 300 + seed) for seed in range(seeds)]
    lost = tuple(slice(at, at + 5) for at in range(30, _FRAMES, 25))

    def cases(kind: str, size: float = 1.0, *, people: int = 1, **told: Any) -> list[Case]:  # noqa: ANN401
        hidden = told.pop("hidden", None)
        unseen = told.pop("unseen", ())
        found = []
        for name, seed in told.pop("of", walks):
            group = [
                scene(name, seed + 50 * one, size=size, frames=_FRAMES, unseen=unseen)
                for one in range(people)
            ]
            for one in group:
                if hidden is not None:
                    one.points[:, _LOWER] = np.nan
            found.append(Case(kind, tuple(group), **told))
        return found

    return {
        "walks": cases("walks"),
        "walks, height stated": cases("walks", height=True),
        "0.85 of the size, height stated": cases("small", 0.85, height=True),
        "1.15 of the size, ground stated": cases("large", 1.15, ground=True),
        "5 of 25 frames lost": cases("lost", height=True, unseen=lost),
        "leaves for 1.3 s, returns": cases("away", height=True, unseen=(slice(35, 75),)),
        "two people": cases("two", people=2, height=True),
        "other motion": cases("other", height=True, of=others),
        _TABLE: cases("table", height=True, root="auto", hidden=True),
    }


def _inside(track: Track) -> slice:
    """Return the frames that count: nobody knows the velocity of someone who has just come."""
    return slice(_WARM_UP, len(track.truth) - _END)


def _row(kind: str, method: str, tracks: Sequence[Track]) -> Row:
    root, wrist, root_speed, wrist_speed, steps, lags, known = ([] for _ in range(7))
    for track in tracks:
        inside = _inside(track)
        root.append((track.root - track.true_root)[inside])
        apart = track.joints - track.truth
        wrist.append(apart[inside][:, _WRISTS])
        root_speed.append((track.root_velocity - track.true_root_velocity)[inside])
        true = np.gradient(track.truth, 1.0 / FPS, axis=0)
        wrist_speed.append((track.velocity - true)[inside][:, _WRISTS])
        steps.append(np.diff(apart[inside][:, _WRISTS], axis=0))
        lags.append(_lag_s(track, inside))
        known.append(np.isfinite(track.joints[inside][:, _WRISTS, 0]))
    return Row(
        scene=kind,
        method=method,
        root_mm=1000.0 * _rms(root),
        wrist_mm=1000.0 * _rms(wrist),
        root_m_s=_rms(root_speed),
        wrist_m_s=_rms(wrist_speed),
        jitter_mm=1000.0 * _rms(steps),
        lag_ms=1000.0 * float(np.nanmean(lags)) if np.isfinite(lags).any() else float("nan"),
        known=100.0 * float(np.concatenate(known).mean()),
    )


def _lag_s(track: Track, inside: slice) -> float:
    """Return the time before, at which the true wrists are nearest to those that are said."""
    delays = np.arange(-4, 9)
    found = track.joints[:, _WRISTS]
    centered = found - np.nanmean(found - track.truth[:, _WRISTS], axis=0)
    apart = [
        float(np.nanmean((centered - np.roll(track.truth, delay, axis=0)[:, _WRISTS])[inside] ** 2))
        for delay in delays
    ]
    if not np.isfinite(apart).all():
        return float("nan")
    return best_delay(delays, np.array(apart)) / FPS


def _rms(parts: Sequence[Doubles]) -> float:
    squares = (np.concatenate([part.reshape(-1, 3) for part in parts]) ** 2).sum(axis=-1)
    known = squares[np.isfinite(squares)]
    return float(np.sqrt(known.mean())) if len(known) else float("nan")


def _coverage(tracks: Sequence[Track]) -> dict[str, list[float]]:
    """Return the percent of errors inside the stated 50, 68 and 95 %, by what they are of."""
    held: dict[str, list[list[NDArray[np.bool_]]]] = {}
    for track in tracks:
        inside = _inside(track)
        true = np.gradient(track.truth, 1.0 / FPS, axis=0)
        own = np.sqrt(np.diagonal(track.covariance, axis1=-2, axis2=-1))[inside]
        ratio = np.abs(track.relative[inside]) / np.where(own > 0.0, own, np.nan)
        inner = [ratio[np.isfinite(ratio)] < limit for limit in _ONE_AXIS]
        held.setdefault("pose, each axis", []).append(inner)
        here = np.arange(len(track.truth))[:, None]
        roots = track.origins[:, None]
        for name, which, errors, covariance in (
            ("root in the frame", roots, track.joints - track.truth, track.joints_covariance),
            ("root's velocity", roots, track.velocity - true, track.velocity_covariance),
            ("wrists in the frame", _WRISTS, track.joints - track.truth, track.joints_covariance),
            ("wrists' velocity", _WRISTS, track.velocity - true, track.velocity_covariance),
        ):
            squares = squared_distances(
                errors[here, which][inside], covariance[here, which][inside]
            )
            held.setdefault(name, []).append([squares < limit for limit in THREE_AXES])
    return {
        name: [100.0 * float(np.concatenate(one).mean()) for one in zip(*parts, strict=True)]
        for name, parts in held.items()
    }


def error_table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    titles = ("scene", "method", "root mm", "wrist mm", "root m/s", "wrist m/s", "jitter mm")
    return Table(
        "What a robot gets, in its frame (rms over frames)",
        (*titles, "lag ms", "known %"),
        tuple(
            (
                row.scene,
                row.method,
                f"{row.root_mm:.0f}",
                f"{row.wrist_mm:.0f}",
                f"{row.root_m_s:.2f}",
                f"{row.wrist_m_s:.2f}",
                f"{row.jitter_mm:.1f}",
                f"{row.lag_ms:.0f}",
                f"{row.known:.0f}",
            )
            for row in rows
        ),
        note="Lag: of the wrists against the time that the pose is of; waiting for later frames"
        " comes on top. Known: of frames, whether the person is seen or not.",
        text_columns=2,
    )


def coverage_table(coverage: dict[str, dict[str, list[float]]]) -> Table:
    """Return how many errors are inside what is stated."""
    return Table(
        "Errors inside the stated shares, percent",
        ("method", "of", *(f"{share} %" for share in SHARES)),
        tuple(
            (method, name, *(f"{share:.0f}" for share in shares))
            for method, found in coverage.items()
            for name, shares in found.items()
        ),
        text_columns=2,
    )


if __name__ == "__main__":
    sys.exit(main())

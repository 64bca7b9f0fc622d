"""Measure where a person's root is found and how fast it is said to move, in scenes of known truth.

    python benchmarks/studies/root_accuracy.py [--seeds 4] [--output FILE]

A camera 1.1 m above the floor, someone about 3 m away, 2 pixels of noise in x and y of each
keypoint, 30 frames per second, and poses that are exact but for the person's size: what is left is
the error of the root alone. ``root_scenes`` makes the scenes from starter-val's motion.

Before: each frame on its own, and differences of successive frames. After: the filter of
``hot_sdk.root``, which returns a frame at once, five frames later, or after the whole clip.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from root_scenes import CAMERA_HEIGHT_M, FPS, WALKS, Scene, scene
from scene_errors import SHARES, THREE_AXES, best_delay, squared_distances
from scene_study import Measured, run_scene_study

from hot_sdk._base.tables import Table
from hot_sdk.root import (
    ADULT_SPREAD,
    DepthReading,
    Floor,
    LengthReading,
    RootPath,
    ScalePrior,
    track_clip,
)

Doubles = NDArray[np.float64]

_WARM_UP = 15
_LAG = 5

_KNOWN = ScalePrior(1.0, 1e-3)
_METHODS: dict[str, int | None] = {"at once": 0, f"{_LAG} frames later": _LAG, "whole clip": None}
_BEFORE = "each frame alone"
_SHIN = (1, 2, 3)
_AWAY = slice(100, 160)
_SWINGS = "camera swings 0.3 m"
_SIZES = (0.85, 1.0, 1.15, None)


@dataclass(frozen=True)
class Row:
    """The errors of one method in one kind of scene; root mean squares over frames and scenes.

    Attributes:
        scene: What is seen.
        method: How the root is found.
        along_mm: Of the root, along the viewing ray.
        across_mm: Across it, in both directions together.
        velocity_m_s: Of the velocity, in space.
        lag_ms: By how much the velocity best fits that of an earlier time.
        held: Percent of positions, then of velocities, inside the stated 50, 68 and 95 %.
    """

    scene: str
    method: str
    along_mm: float
    across_mm: float
    velocity_m_s: float
    lag_ms: float
    held: tuple[float, ...]


@dataclass(frozen=True)
class SizeRow:
    """How well a person of unknown size is placed, over seeds, in the last second.

    Attributes:
        known: What the filter is told.
        size: The person's true size over that of the poses; None for adults drawn at random.
        along_mm: Root mean square error along the ray.
        stated_mm: The stated standard deviation.
        scale: Mean of the estimated scale over the true one.
        held: Percent of the errors along the ray inside the stated 95 %.
    """

    known: str
    size: float | None
    along_mm: float
    stated_mm: float
    scale: float
    held: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_scene_study("root_accuracy", __doc__, arguments, _measured)


def _measured(seeds: int) -> Measured:
    rows, sizes = motion_rows(seeds), size_rows(seeds)
    figures = {"motion": [vars(row) for row in rows], "size": [vars(row) for row in sizes]}
    return [motion_table(rows), size_table(sizes)], figures


def motion_rows(seeds: int) -> list[Row]:
    """Return the errors of someone whose size is known."""
    walks = [(name, seed) for name in WALKS for seed in range(seeds)]
    kinds: dict[str, list[Scene]] = {
        "walks about": [scene(*one) for one in walks],
        "walks at 1.2 m/s": [scene(*one, frames=120, speed_m_s=1.2) for one in walks],
        "walks, camera too": [scene(*one, camera_speed_m_s=0.3) for one in walks],
        "walks, 10 of 40 frames lost": [
            scene(*one, unseen=tuple(slice(at, at + 10) for at in range(30, 240, 40)))
            for one in walks
        ],
        "someone else in 3 of 30 frames": [
            scene(*one, strange=tuple(slice(at, at + 3) for at in range(30, 240, 30)))
            for one in walks
        ],
        "leaves for 2 s, returns": [scene(*one, unseen=(_AWAY,)) for one in walks],
        "jumps": [scene(name, seed) for name in ("14_07", "14_08") for seed in range(seeds)],
        "sits down, gets up": [
            scene(name, seed) for name in ("14_28", "14_30") for seed in range(seeds)
        ],
    }
    return [row for kind, scenes in kinds.items() for row in _rows(kind, scenes)]


def _rows(kind: str, scenes: list[Scene]) -> list[Row]:
    paths = {_BEFORE: [_alone(one) for one in scenes]}
    for method, lag in _METHODS.items():
        paths[method] = [
            track_clip(one.measure(), one.times, cameras=one.cameras, prior=_KNOWN, lag=lag)
            for one in scenes
        ]
    return [_row(kind, method, scenes, found) for method, found in paths.items()]


def _alone(one: Scene) -> RootPath:
    """Return each frame's root on its own, with differences for the velocity."""
    root = np.stack(
        [
            camera.rotation @ point + camera.translation
            for camera, point in zip(one.cameras, one.measure().root, strict=True)
        ]
    )
    frames = len(root)
    velocity = np.full_like(root, np.nan)
    # Of a stream, only the past is there.
    velocity[1:] = np.diff(root, axis=0) * FPS
    unknown = np.full((frames, 7, 7), np.nan)
    measured = np.isfinite(root[:, 0])
    number = np.ones(frames, dtype=np.int64)
    return RootPath(one.times, root, velocity, unknown, np.ones(frames), measured, number)


def _row(kind: str, method: str, scenes: list[Scene], paths: list[RootPath]) -> Row:
    along, across, moving, held, lags = [], [], [], [], []
    for one, path in zip(scenes, paths, strict=True):
        kept = np.isfinite(path.velocity[:, 0])
        # Nobody knows the velocity of someone who has just come.
        kept[:_WARM_UP] = False
        # The last difference of the truth is one-sided.
        kept[-1] = False
        place, speed = path.position - one.root, path.velocity - one.velocity
        ahead = (place * one.rays).sum(axis=1)
        along.append(ahead[kept] ** 2)
        across.append((place[kept] ** 2).sum(axis=1) - ahead[kept] ** 2)
        moving.append((speed[kept] ** 2).sum(axis=1))
        lags.append(_lag_s(path.velocity, one.velocity, kept))
        squares = [
            squared_distances(values[kept], path.covariance[kept, part, part])
            for values, part in ((place, slice(0, 3)), (speed, slice(3, 6)))
        ]
        held.append([square < limit for square in squares for limit in THREE_AXES])
    shares = (
        100.0 * float(np.concatenate([each[number] for each in held]).mean())
        for number in range(2 * len(SHARES))
    )
    along_mm, across_mm = (1000.0 * _rms(values) for values in (along, across))
    lag_ms = 1000.0 * float(np.mean(lags))
    stated = tuple(shares) if method != _BEFORE else ()
    return Row(kind, method, along_mm, across_mm, _rms(moving), lag_ms, stated)


def _lag_s(found: Doubles, true: Doubles, kept: NDArray[np.bool_]) -> float:
    """Return the delay at which the true velocity fits the found one best, seconds."""
    delays = np.arange(-8, 9)
    inside = kept.copy()
    inside[:8] = inside[-8:] = False
    apart = np.array(
        [((found[inside] - np.roll(true, delay, axis=0)[inside]) ** 2).sum() for delay in delays]
    )
    return best_delay(delays, apart) / FPS


def _rms(squares: list[Doubles]) -> float:
    return float(np.sqrt(np.concatenate(squares).mean()))


def size_rows(seeds: int) -> list[SizeRow]:
    """Return how well people of unknown size are placed, with each kind of knowledge."""
    tellers: dict[str, Callable[[Scene, np.random.Generator], RootPath]] = {
        "nothing": lambda one, random: _track(one),
        "height": lambda one, random: _track(one, prior=ScalePrior(_stated(one, random), 0.02)),
        "shin": _with_shin,
        "floor": lambda one, random: _track(one, floor=Floor(np.array([0.0, 0.0, 1.0]))),
        "depth at the pelvis": _with_depth,
        _SWINGS: lambda one, random: _track(one),
    }
    rows = []
    for known, tell in tellers.items():
        swing = 0.3 if known == _SWINGS else 0.0
        for size in _SIZES:
            errors, stated, scales = [], [], []
            for seed in range(2 * seeds if size else 6 * seeds):
                random = np.random.default_rng(900 + seed)
                true = size or float(np.exp(random.normal() * ADULT_SPREAD))
                one = scene(WALKS[seed % 3], 50 + seed, size=true, camera_swing_m=swing)
                path = tell(one, random)
                last = slice(-int(FPS), None)
                rays = one.rays[last]
                errors.append(((path.position - one.root)[last] * rays).sum(axis=1))
                covariance = path.covariance[last, :3, :3]
                stated.append(np.sqrt(np.einsum("fi,fij,fj->f", rays, covariance, rays)))
                scales.append(path.scale[-1] / true)
            error, deviation = np.concatenate(errors), np.concatenate(stated)
            held = 100.0 * float((np.abs(error) < 1.96 * deviation).mean())
            rms_mm = 1000.0 * float(np.sqrt((error**2).mean()))
            stated_mm = 1000.0 * float(np.sqrt((deviation**2).mean()))
            rows.append(SizeRow(known, size, rms_mm, stated_mm, float(np.mean(scales)), held))
    return rows


def _track(
    one: Scene,
    *,
    prior: ScalePrior | None = None,
    floor: Floor | None = None,
    depths: list[DepthReading | None] | None = None,
    lengths: list[list[LengthReading]] | None = None,
) -> RootPath:
    return track_clip(
        one.measure(),
        one.times,
        cameras=one.cameras,
        prior=prior,
        floor=floor,
        poses=None if floor is None else one.poses,
        depths=depths,
        lengths=lengths,
        lag=0,
    )


def _stated(one: Scene, random: np.random.Generator) -> float:
    """Return the scale that a stated height gives: people do not know theirs exactly."""
    return float(one.size * np.exp(random.normal() * 0.015))


def _with_shin(one: Scene, random: np.random.Generator) -> RootPath:
    """Tell the length of the right shin, whose share of the body is not that of the poses."""
    _, knee, ankle = _SHIN
    proportion = np.exp(random.normal() * 0.03)
    lengths = []
    for pose in one.poses:
        shin = float(np.linalg.norm(pose[ankle] - pose[knee]))
        known = shin * one.size * proportion
        lengths.append([LengthReading(known, shin * np.exp(random.normal() * 0.05))])
    return _track(one, lengths=lengths)


def _with_depth(one: Scene, random: np.random.Generator) -> RootPath:
    """Tell the depth of the surface in front of the pelvis."""
    surface = 0.10 + random.normal() * 0.03
    depths: list[DepthReading | None] = []
    for camera, root in zip(one.cameras, one.root, strict=True):
        depth = float(((root - camera.translation) @ camera.rotation)[2])
        depths.append(DepthReading(depth - surface + random.normal() * 0.03))
    return _track(one, depths=depths)


def motion_table(rows: list[Row]) -> Table:
    """Return the table of someone whose size is known."""
    return Table(
        "Root and its velocity at 2 px of noise, size known (rms over frames)",
        (
            *("scene", "method", "along mm", "across mm", "velocity m/s", "lag ms"),
            *(f"{what} {share} %" for what in ("place", "speed") for share in SHARES),
        ),
        tuple(
            (
                row.scene,
                row.method,
                f"{row.along_mm:.1f}",
                f"{row.across_mm:.1f}",
                f"{row.velocity_m_s:.3f}",
                f"{row.lag_ms:.0f}",
                *(f"{share:.0f}" for share in row.held or ()),
                *("",) * (2 * len(SHARES) - len(row.held)),
            )
            for row in rows
        ),
        note="Shares: how many errors are inside the stated 50, 68 and 95 %. Lag: against the time"
        " that the estimate is of; the delay of later frames comes on top.",
        text_columns=2,
    )


def size_table(rows: list[SizeRow]) -> Table:
    """Return the table of people of unknown size."""
    return Table(
        f"Someone of unknown size, camera {CAMERA_HEIGHT_M} m up: root along the ray, 7 to 8 s in",
        ("known", "true size", "error mm", "stated sd mm", "scale over true", "inside 95 %"),
        tuple(
            (
                row.known,
                "adults" if row.size is None else f"{row.size:.2f}",
                f"{row.along_mm:.0f}",
                f"{row.stated_mm:.0f}",
                f"{row.scale:.3f}",
                f"{row.held:.0f}",
            )
            for row in rows
        ),
        note="15 % less than the average adult is 2.7 standard deviations of adults; only a reading"
        " tells. Adults: sizes drawn at random, as adults' statures spread.",
    )


if __name__ == "__main__":
    sys.exit(main())

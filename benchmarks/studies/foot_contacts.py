"""Measure how well standing feet are found, and what keeping them in place does, with exact truth.

    python benchmarks/studies/foot_contacts.py [--seeds 4] [--output FILE]

The scenes are those of ``root_scenes``: people of starter-val who walk about, a camera 1.1 m above
the floor, 2 pixels of noise. The root is found in each frame alone, or by the filter over the whole
clip. Poses are exact, or each joint is off by 20 mm along each axis, which changes within a third
of a second, as a lifter's errors do. A foot truly stands if its ankle is slower than 0.3 m/s.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from root_scenes import FPS, WALKS, Scene, scene
from scene_study import Measured, run_scene_study

from hot_sdk._base.tables import Table
from hot_sdk.contacts import FEET, foot_contacts, hold_standing_feet
from hot_sdk.root import Floor, ScalePrior, track_clip
from hot_sdk.root.standing import StandingFeet

Doubles = NDArray[np.float64]

_UP = (0.0, 0.0, 1.0)
_STANDS_M_S, _RULE_M_S = 0.3, 0.5
_CHANGES_S = 1.0 / 3.0
_POSE_ERRORS_M = (0.0, 0.02)
_ROOTS = ("each frame alone", "whole clip")


@dataclass(frozen=True)
class Row:
    """Figures of one kind of poses and roots, over all frames and scenes.

    Attributes:
        pose_error_mm: Standard deviation of each joint along each axis.
        root: How the root is found.
        rule_percent: Share of feet and frames that a limit on the speed alone judges right.
        found_percent: The same of ``foot_contacts``.
        slide_m_s: Mean speed of feet that stand: before, after, and as a stream keeps them, which
            does not know what comes.
        ankle_mm: Mean error of ankles that stand, likewise.
        height_mm: Mean error of their height, likewise.
    """

    pose_error_mm: float
    root: str
    rule_percent: float
    found_percent: float
    slide_m_s: tuple[float, float, float]
    ankle_mm: tuple[float, float, float]
    height_mm: tuple[float, float, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_scene_study("foot_contacts", __doc__, arguments, _measured)


def _measured(seeds: int) -> Measured:
    rows = measure(seeds)
    return [table(rows)], [vars(row) for row in rows]


def measure(seeds: int) -> list[Row]:
    """Return the figures of each kind of poses and roots."""
    scenes = [scene(WALKS[seed % len(WALKS)], 100 + seed) for seed in range(seeds)]
    rows = []
    for error_m in _POSE_ERRORS_M:
        shaken = [_shaken(one, error_m, seed) for seed, one in enumerate(scenes)]
        rows += [_row(scenes, shaken, error_m, root) for root in _ROOTS]
    return rows


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    return Table(
        "Standing feet, before and after they are kept in place",
        (
            "pose error",
            "root",
            f"by speed < {_RULE_M_S} m/s, %",
            "by foot_contacts, %",
            "slide m/s",
            "ankles mm",
            "height mm",
        ),
        tuple(
            (
                f"{row.pose_error_mm:.0f} mm",
                row.root,
                f"{row.rule_percent:.1f}",
                f"{row.found_percent:.1f}",
                " / ".join(f"{value:.2f}" for value in row.slide_m_s),
                " / ".join(f"{value:.0f}" for value in row.ankle_mm),
                " / ".join(f"{value:.0f}" for value in row.height_mm),
            )
            for row in rows
        ),
        note="%: of feet and frames, judged right. Then before / after / as a stream keeps them.",
        text_columns=2,
    )


def _row(scenes: Sequence[Scene], shaken: Sequence[Doubles], error_m: float, root: str) -> Row:
    ruled, right = [], []
    figures: list[list[list[Doubles]]] = [[], [], []]
    for one, errors in zip(scenes, shaken, strict=True):
        stands = _stands(one.joints)
        seen = one.joints - one.root[:, None] + errors + _root(one, root)[:, None]
        found = foot_contacts(seen, one.times, up=_UP)
        held = hold_standing_feet(seen, one.times, found, up=_UP)
        ruled.append((found.speed < _RULE_M_S) == stands)
        right.append((found.probability > 0.5) == stands)
        feet = StandingFeet(Floor(np.array(_UP)))
        pairs = zip(one.times.tolist(), seen, strict=True)
        streamed = np.stack([feet.push(time, joints)[0] for time, joints in pairs])
        for place, joints in enumerate((seen, held, streamed)):
            figures[place].append(_figures(one, joints, stands))
    slide, ankle, height = zip(
        *(
            [float(np.concatenate(each).mean()) for each in zip(*values, strict=True)]
            for values in figures
        ),
        strict=True,
    )
    return Row(
        pose_error_mm=1000.0 * error_m,
        root=root,
        rule_percent=100.0 * float(np.concatenate(ruled).mean()),
        found_percent=100.0 * float(np.concatenate(right).mean()),
        slide_m_s=slide,
        ankle_mm=tuple(1000.0 * value for value in ankle),
        height_mm=tuple(1000.0 * value for value in height),
    )


def _figures(one: Scene, joints: Doubles, stands: NDArray[np.bool_]) -> list[Doubles]:
    """Return speeds of standing feet, errors of their ankles, and of the ankles' heights."""
    ankles = joints[:, FEET]
    both = stands[1:] & stands[:-1]
    slide = np.linalg.norm(np.diff(ankles, axis=0), axis=-1)[both] * FPS
    errors = (ankles - one.joints[:, FEET])[stands]
    return [slide, np.linalg.norm(errors, axis=-1), np.abs(errors[:, 2])]


def _stands(joints: Doubles) -> NDArray[np.bool_]:
    velocity = np.gradient(joints[:, FEET], 1.0 / FPS, axis=0)
    return np.asarray(np.linalg.norm(velocity, axis=-1) < _STANDS_M_S)


def _root(one: Scene, how: str) -> Doubles:
    measured = one.measure()
    if how == "whole clip":
        known = ScalePrior(1.0, 1e-3)
        path = track_clip(measured, one.times, cameras=one.cameras, prior=known)
        return path.position
    place = np.stack([camera.translation for camera in one.cameras])
    turn = np.stack([camera.rotation for camera in one.cameras])
    roots: Doubles = place + np.einsum("fij,fj->fi", turn, measured.root)
    return roots


def _shaken(one: Scene, error_m: float, seed: int) -> Doubles:
    """Return errors of joints from the pelvis that change slowly, (frames, 17, 3)."""
    random = np.random.default_rng(seed)
    kept = float(np.exp(-1.0 / FPS / _CHANGES_S))
    errors = random.normal(size=one.joints.shape) * error_m
    for frame in range(1, len(errors)):
        errors[frame] = kept * errors[frame - 1] + np.sqrt(1.0 - kept**2) * errors[frame]
    errors[:, 0] = 0.0
    return errors


if __name__ == "__main__":
    sys.exit(main())

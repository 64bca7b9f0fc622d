"""Measure every figure of the live starter's card, beside a window model's stream.

    python benchmarks/studies/live_model.py
    python benchmarks/studies/live_model.py --only cost lookaheads --frames 150
    python benchmarks/studies/live_model.py --only conditions memories --alone
    python benchmarks/studies/live_model.py --only lookaheads cost --flip

Exports the live checkpoint at each lookahead, or takes the files of ``--files``. A stream of hop 1
of the window model lifts a window for each frame, which ends as many frames after it as the
lookahead: here one pass over all windows serves every lookahead. What is missing is filled by a
stream's own rules, in streams. Costs are timed in ``live_cost``.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from live_cost import FPS, time_delays, time_frames
from numpy.typing import NDArray

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.evaluation import (
    Corruption,
    EvaluationClip,
    PoseMetrics,
    load_starter_val,
    measure_clip,
    summarize,
)
from hot_sdk.benchmarks.evaluation.corruption import with_noise
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.inference import WindowRunner
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.runner import StepRunner
from hot_sdk.offline import lift_stream
from hot_sdk.preprocessing import prepare_clip
from hot_sdk.starter import FAMILY, STARTER, resolve_model, starter_live_checkpoint

PARTS = ("cost", "lookaheads", "still", "conditions", "delay", "memories")
LOOKAHEADS = (0, 2, 5, 10, 16)
STILL_FRAMES = 90

CONDITIONS = (
    Corruption(),
    Corruption(fps=15.0),
    Corruption(fps=60.0),
    Corruption(noise_px=2.0),
    Corruption(noise_px=5.0),
    Corruption(noise_px=10.0),
    Corruption(missing=0.1),
    Corruption(missing=0.2),
)
MEMORIES = ("28", "63", "120", "16+12x5", "12+16x8", "12+24x12")
_METRICS = (
    ("MPJPE", "mpjpe_mm"),
    ("P-MPJPE", "p_mpjpe_mm"),
    ("acceleration", "acceleration_error_mm_per_frame2"),
)
Poses = NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("live_model", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="live_model", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, help="weights of the live network (default: those that ship)")
    made = "folder of exported files live_0.onnx, live_2.onnx, ... instead of exporting them"
    add("--files", type=Path, metavar="DIR", help=made)
    add("--memory", metavar="M[+AxS]", help="frames that the network remembers")
    add("--flip", action="store_true", help="average live poses with those of the mirror image")
    add("--window", default=STARTER, metavar="MODEL", help=f"window model (default: {STARTER})")
    add("--alone", action="store_true", help="leave the window model out of the conditions")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    add("--lookaheads", nargs="+", type=int, default=LOOKAHEADS, metavar="N", help="frames")
    add("--frames", type=int, metavar="N", help="first frames of each clip (default: all)")
    add("--clips", type=int, metavar="N", help="first clips only")
    add("--rounds", type=int, default=300, metavar="N", help="timed runs of each (default: 300)")
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or Path(folder)
        paths = {
            lookahead: _live_file(files, lookahead, options.memory, options.checkpoint)
            for lookahead in options.lookaheads
        }
        clips = [_first(one, options.frames) for one in load_starter_val(views=1)[: options.clips]]
        with Pose3DEngine(resolve_model(options.window), threads=1) as window:
            lives = {
                key: Pose3DEngine(path, threads=1, flip=options.flip) for key, path in paths.items()
            }
            study: dict[str, Callable[[], list[Table]]] = {
                "cost": lambda: [time_frames(window, lives, options.rounds)],
                "lookaheads": lambda: [_lookaheads(window, lives, clips)],
                "still": lambda: [_still(window, lives, clips)],
                "conditions": lambda: [
                    _conditions(None if options.alone else window, lives, clips)
                ],
                "delay": lambda: [time_delays(lives, clips[0])],
                "memories": lambda: [_memories(Path(folder), options, clips)],
            }
            sys.stdout.write(f"{describe_machine()}\n")
            for part in options.only:
                print_report(study[part]())
            for engine in lives.values():
                engine.close()


def _live_file(
    folder: Path, lookahead: int, memory: str | None, checkpoint: Path | None, name: str = "live"
) -> Path:
    path = folder / f"{name}_{lookahead}.onnx"
    if not path.exists():
        export_model(
            ExportRequest(
                FAMILY,
                checkpoint=checkpoint or starter_live_checkpoint(),
                variant="live",
                lookahead=lookahead,
                memory=memory,
                batch=None,
                output=path,
            )
        )
    return path


def _first(clip: EvaluationClip, frames: int | None) -> EvaluationClip:
    """Return a clip's first frames."""
    if frames is None or len(clip) <= frames:
        return clip
    part = slice(0, frames)
    keypoints = dataclasses.replace(clip.keypoints, points=clip.keypoints.points[part])
    root = None if clip.root is None else clip.root[part]
    return dataclasses.replace(
        clip, keypoints=keypoints, truth=clip.truth[part], valid=clip.valid[part], root=root
    )


def window_stream(
    engine: Pose3DEngine, keypoints: Keypoints, lookaheads: Sequence[int]
) -> dict[int, Poses]:
    """Lift a clip as streams of hop 1 of a window model do, at the model's rate, nothing missing.

    Returns:
        Poses (frames, 17, 3) at each lookahead, in the model's unit.
    """
    runner, manifest = engine._runner, engine.manifest
    assert isinstance(runner, WindowRunner)
    clip = prepare_clip(
        keypoints,
        runner.input_spec,
        engine.policies,
        frames=manifest.frames,
        training_fps=manifest.training_fps,
        conditions=manifest.conditions,
    )
    frames, length = len(keypoints), manifest.frames
    found = {one: np.zeros((frames, 17, 3), np.float32) for one in lookaheads}
    recorder = LatencyRecorder("clip")
    for first in range(0, frames, 32):
        ends = np.arange(first, min(first + 32, frames))
        places = np.clip(ends[:, None] + np.arange(1 - length, 1), 0, None)
        told = [row for at in places if (row := clip.conditions_at(at)) is not None]
        inputs = np.stack([clip.inputs[at] for at in places])
        poses = runner.run(inputs, recorder, np.stack(told) if told else None).poses
        for lookahead, whole in found.items():
            for end, pose in zip(ends.tolist(), poses, strict=True):
                if end >= lookahead:
                    whole[end - lookahead] = pose[-1 - lookahead]
            if ends[-1] == frames - 1 and lookahead:
                whole[-lookahead:] = poses[-1][-lookahead:]
    for whole in found.values():
        clip.turn_back(whole, None)
    return found


def _metrics(poses: Sequence[Poses], clips: Sequence[EvaluationClip]) -> PoseMetrics:
    """Return the errors of poses in meters."""
    return summarize(
        [
            measure_clip(
                1e3 * pose, 1e3 * clip.truth, fps=clip.keypoints.effective_fps, valid=clip.valid
            )
            for pose, clip in zip(poses, clips, strict=True)
        ]
    )


def _live_poses(engine: Pose3DEngine, clips: Sequence[EvaluationClip]) -> list[Poses]:
    """Lift clips as streams: a live network gives the same poses both ways."""
    return [one.poses for one in engine.lift([clip.keypoints for clip in clips])]


def _lookaheads(
    window: Pose3DEngine, lives: dict[int, Pose3DEngine], clips: Sequence[EvaluationClip]
) -> Table:
    streams = [window_stream(window, clip.keypoints, list(lives)) for clip in clips]
    rows = []
    for lookahead, engine in lives.items():
        kinds = (
            ("window", [one[lookahead] for one in streams]),
            ("live", _live_poses(engine, clips)),
        )
        for name, poses in kinds:
            found = _metrics(poses, clips)
            figures = (f"{getattr(found, key):.2f}" for _, key in _METRICS)
            rows.append((f"{lookahead} frames, {1e3 * lookahead / FPS:.0f} ms", name, *figures))
    header = ("lookahead", "model", *(name for name, _ in _METRICS))
    frames = sum(map(len, clips))
    return Table(
        f"{frames} frames of starter-val as streams, mm", header, tuple(rows), text_columns=2
    )


def _still(
    window: Pose3DEngine, lives: dict[int, Pose3DEngine], clips: Sequence[EvaluationClip]
) -> Table:
    """Measure the steps of people who stand still, from one frame to the next."""
    rows = []
    for correlation, kind in ((0.0, "new in each frame"), (0.8, "lasting")):
        noisy = []
        for clip in clips:
            at = np.full(STILL_FRAMES, len(clip) // 2)
            keypoints = dataclasses.replace(clip.keypoints, points=clip.keypoints.points[at])
            held = dataclasses.replace(
                clip, keypoints=keypoints, truth=clip.truth[at], valid=clip.valid[at], root=None
            )
            noisy.append(with_noise(held, 2.0, correlation=correlation))
        streams = [window_stream(window, clip.keypoints, list(lives)) for clip in noisy]
        for lookahead, engine in lives.items():
            pairs = ([one[lookahead] for one in streams], _live_poses(engine, noisy))
            # The first second is without a past in either.
            steps = (
                np.mean([np.linalg.norm(np.diff(one[30:], axis=0), axis=-1).mean() for one in each])
                for each in pairs
            )
            rows.append((f"2 px, {kind}", f"{lookahead}", *(f"{1e3 * step:.2f}" for step in steps)))
    header = ("noise", "lookahead", "window", "live")
    return Table("Steps of still people, mm a frame", header, tuple(rows), text_columns=2)


def _conditions(
    window: Pose3DEngine | None, lives: dict[int, Pose3DEngine], clips: Sequence[EvaluationClip]
) -> Table:
    rows = []
    for corruption in CONDITIONS:
        changed = [corruption.apply(clip) for clip in clips]
        for lookahead in [one for one in (0, 5) if one in lives]:
            poses = {"live": _live_poses(lives[lookahead], changed)}
            if window is not None:
                poses["window"] = [
                    lift_stream(window, [clip.keypoints], lookahead=lookahead, hop=1)
                    .results[0]
                    .poses
                    for clip in changed
                ]
            for name in sorted(poses, reverse=True):
                found = _metrics(poses[name], changed)
                # In meters per second squared, as rates differ.
                turns = 1e-3 * (found.acceleration_error_mm_per_s2 or 0.0)
                figures = (f"{found.mpjpe_mm:.2f}", f"{found.p_mpjpe_mm:.2f}", f"{turns:.2f}")
                rows.append((_said(corruption), str(lookahead), name, *figures))
    header = ("keypoints", "lookahead", "model", "MPJPE", "P-MPJPE", "acceleration, m/s²")
    title = f"{sum(map(len, clips))} frames as streams: MPJPE, mm, and acceleration error"
    return Table(title, header, tuple(rows), text_columns=3)


def _memories(folder: Path, options: Any, clips: Sequence[EvaluationClip]) -> Table:  # noqa: ANN401
    """Measure what each memory brings; the newest frames, or fewer of them and anchors."""
    rows = []
    for lookahead in [one for one in (0, 5) if one in options.lookaheads]:
        for memory in MEMORIES:
            path = _live_file(folder, lookahead, memory, options.checkpoint, f"memory_{memory}")
            with Pose3DEngine(path, threads=1) as engine:
                found = _metrics(_live_poses(engine, clips), clips)
                runner = engine._runner
                assert isinstance(runner, StepRunner)
                size = runner.states(1).bytes_per_person / 1e6
            figures = (f"{getattr(found, key):.2f}" for _, key in _METRICS)
            rows.append((memory, str(lookahead), *figures, f"{size:.2f}"))
    header = ("memory", "lookahead", *(name for name, _ in _METRICS), "MB a person")
    title = f"What is remembered, {sum(map(len, clips))} frames of starter-val, mm"
    return Table(title, header, tuple(rows), text_columns=2)


def _said(corruption: Corruption) -> str:
    if corruption.fps is not None:
        return f"{corruption.fps:g} frames/s"
    if corruption.noise_px:
        return f"noise of {corruption.noise_px:g} px"
    return f"{corruption.missing:.0%} of joints missing" if corruption.missing else "as it is"


if __name__ == "__main__":
    sys.exit(main())

"""Options of a stream, checked on their own and against a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from hot_sdk._base.validation import check_settings
from hot_sdk.camera_knowledge import CameraKnowledge
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.inference import Runner
from hot_sdk.readers.detections import checked_image_size
from hot_sdk.root.placement import Placement
from hot_sdk.skeletons import skeleton_format
from hot_sdk.timestamps import checked_fps

MODES = ("live", "video")

_MAX_PEOPLE = 1000
_NUMBERS = (int, float, Fraction, np.integer, np.floating)


@dataclass(frozen=True)
class StreamOptions:
    """Options of a stream; see ``Pose3DEngine.stream``."""

    mode: str
    lookahead: int
    hop: int
    max_people: int
    time_to_live_s: float
    max_gap_frames: int
    fps: float | None
    skeleton: str | None
    image_size: tuple[int, int] | None
    knowledge: CameraKnowledge = field(default_factory=CameraKnowledge)
    placement: Placement = field(default_factory=Placement)

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", checked_image_size(self.image_size))
            if self.knowledge.camera is not None:
                self.knowledge.camera.check_image(self.image_size)
        if self.fps is not None:
            try:
                object.__setattr__(self, "fps", checked_fps(self.fps, None))
            except KeypointsError as error:
                raise UsageError(error.message, hint=error.hint) from error
        for name in ("lookahead", "hop", "max_people", "max_gap_frames"):
            if isinstance(getattr(self, name), np.integer):
                object.__setattr__(self, name, int(getattr(self, name)))
        expected = {
            "mode": (self.mode in MODES, f"one of {', '.join(MODES)}"),
            "lookahead": (_is_count(self.lookahead, 0), "frames, 0 or more"),
            "hop": (_is_count(self.hop, 1), "frames, 1 or more"),
            "max_people": (_is_count(self.max_people, 1, _MAX_PEOPLE), f"1 to {_MAX_PEOPLE}"),
            "time_to_live_s": (
                isinstance(self.time_to_live_s, _NUMBERS) and self.time_to_live_s > 0.0,
                "seconds above 0",
            ),
            "max_gap_frames": (_is_count(self.max_gap_frames, 1), "frames, 1 or more"),
        }
        check_settings(self, expected)
        if self.skeleton is not None:
            skeleton_format(self.skeleton)


def check_reach(options: StreamOptions, runner: Runner, *, fps: float, interval_s: float) -> None:
    """Check that the frames that become final lie inside the window.

    Args:
        options: The stream's options.
        runner: The model.
        fps: Frames per second of the stream.
        interval_s: Seconds between the frames of a window.

    Raises:
        UsageError: They do not.
    """
    lookahead, hop = options.lookahead, options.hop
    frames, step = runner.manifest.frames, runner.manifest.step
    if step is not None:
        if (lookahead, hop) != (step.lookahead, 1):
            raise UsageError(
                f"The model takes one frame after the other, with a lookahead of {step.lookahead}"
                " that its file was exported with, so that a stream needs"
                f" lookahead={step.lookahead} and hop=1; requested were {lookahead} and {hop}.",
                hint="Leave both out, or export the model with hot-export --lookahead.",
            )
        return
    if runner.center_only:
        if (lookahead, hop) != (frames // 2, 1):
            raise UsageError(
                f"The model returns only the center of {frames} frames, so that a stream needs"
                f" lookahead={frames // 2} and hop=1; requested were {lookahead} and {hop}.",
                hint="Use these, or a model that recovers all frames.",
            )
        return
    if frames == 1 and (lookahead, hop) != (0, 1):
        raise UsageError(
            "The model lifts each frame separately, so that a stream has nothing to wait for;"
            f" requested were lookahead={lookahead} and hop={hop}.",
            hint="Use lookahead=0 and hop=1.",
        )
    most = frames_within_reach(frames, interval_s, fps)
    if lookahead + hop - 1 > most:
        raise UsageError(
            f"A window of {frames} frames reaches {most} of the stream's frames back at {fps:g}"
            f" frames per second; lookahead={lookahead} and hop={hop} need {lookahead + hop - 1}.",
            hint="Reduce either; give fps= if the camera is faster than the model.",
        )


def frames_within_reach(frames: int, interval_s: float, fps: float) -> int:
    """Return how many frames of a stream a window reaches back."""
    return int((frames - 1) * interval_s * fps + 1e-6)


def _is_count(value: object, least: int, most: int = 1_000_000) -> bool:
    return type(value) is int and least <= value <= most

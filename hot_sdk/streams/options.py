"""How a stream is run."""

from __future__ import annotations

from dataclasses import dataclass

from hot_sdk._base.validation import check_settings
from hot_sdk.errors import UsageError
from hot_sdk.skeletons import skeleton_format

MODES = ("live", "video")

_MOST_PEOPLE = 1000


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is run; see ``Pose3DEngine.stream``."""

    mode: str
    lookahead: int
    hop: int
    max_people: int
    time_to_live_s: float
    max_gap_frames: int
    fps: float | None
    skeleton: str | None
    image_size: tuple[int, int] | None

    def __post_init__(self) -> None:
        rate = self.fps
        expected = {
            "mode": (self.mode in MODES, f"one of {', '.join(MODES)}"),
            "lookahead": (_count(self.lookahead, 0), "frames, 0 or more"),
            "hop": (_count(self.hop, 1), "frames, 1 or more"),
            "max_people": (_count(self.max_people, 1, _MOST_PEOPLE), f"1 to {_MOST_PEOPLE}"),
            "time_to_live_s": (self.time_to_live_s > 0.0, "seconds above 0"),
            "max_gap_frames": (_count(self.max_gap_frames, 1), "frames, 1 or more"),
            "fps": (rate is None or 0.01 <= rate <= 10_000.0, "0.01 to 10000, or None"),
        }
        check_settings(self, expected)
        if self.skeleton is not None:
            skeleton_format(self.skeleton)


def check_reach(
    options: StreamOptions, *, frames: int, center_only: bool, fps: float, step: float
) -> None:
    """Check that the frames that become final lie inside the window.

    Args:
        options: The stream's.
        frames: The network's window.
        center_only: The network gives its centre frame only.
        fps: Frames a second of the stream.
        step: Seconds between the frames of a window.

    Raises:
        UsageError: They do not.
    """
    if center_only:
        if (options.lookahead, options.hop) != (frames // 2, 1):
            raise UsageError(
                f"The model gives the centre of {frames} frames only, so that a stream needs"
                f" lookahead={frames // 2} and hop=1; asked for were {options.lookahead} and"
                f" {options.hop}.",
                hint="Use these, or a model that recovers all frames.",
            )
        return
    if frames == 1 and (options.lookahead, options.hop) != (0, 1):
        raise UsageError(
            "The model lifts each frame by itself, so that a stream has nothing to wait for; asked"
            f" for were lookahead={options.lookahead} and hop={options.hop}.",
            hint="Use lookahead=0 and hop=1.",
        )
    most = int((frames - 1) * step * fps + 1e-6)
    if options.lookahead + options.hop - 1 > most:
        raise UsageError(
            f"A window of {frames} frames reaches {most} of the stream's frames back at {fps:g}"
            f" frames a second; lookahead={options.lookahead} and hop={options.hop} need"
            f" {options.lookahead + options.hop - 1}.",
            hint="Take less of either; give fps= where the camera is faster than the model.",
        )


def _count(value: object, least: int, most: int = 1_000_000) -> bool:
    return type(value) is int and least <= value <= most

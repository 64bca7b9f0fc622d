"""One input of ``hot-infer``: read, lifted and saved as the options say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk.infer.footage import Footage
from hot_sdk.infer.keypoint_files import KeypointOptions, read_keypoint_file
from hot_sdk.infer.lifting import Lifting, lift_clips, lift_stream
from hot_sdk.infer.video_files import VideoOptions, is_video, read_video
from hot_sdk.keypoints import Keypoints
from hot_sdk.pose_engine import Pose3DEngine


@dataclass(frozen=True)
class InputOptions:
    """What the user said of every input.

    Attributes:
        keypoints: Of keypoint files.
        video: Of videos and cameras.
        lookahead: Lift as a stream that waits for so many frames; None for clips as a whole.
        hop: Frames between runs of a stream.
        constant_bones: Hold the length of each bone.
        formats: Of the results' files.
    """

    keypoints: KeypointOptions
    video: VideoOptions
    lookahead: int | None = None
    hop: int = 1
    constant_bones: bool = False
    formats: tuple[str, ...] = ("npz",)


def read_input(name: str, options: InputOptions) -> contextlib.AbstractContextManager[Footage]:
    """Read people's keypoints, from a file of them or out of a video.

    Raises:
        HotSDKError: The input cannot be read, or shows nobody.
    """
    if not is_video(name):
        return contextlib.nullcontext(read_keypoint_file(Path(name), options.keypoints))
    return read_video(name, options.video)


def lift_input(engine: Pose3DEngine, people: Sequence[Keypoints], options: InputOptions) -> Lifting:
    """Lift everybody.

    Raises:
        KeypointsError: Somebody is seen in no frame, or a stream has no frame rate.
        UsageError: The window does not reach so far.
        EngineError: The engine failed.
    """
    if options.lookahead is None:
        lifting = lift_clips(engine, people)
    else:
        lifting = lift_stream(engine, people, lookahead=options.lookahead, hop=options.hop)
    return lifting.with_constant_bones() if options.constant_bones else lifting


def save_results(
    lifting: Lifting, folder: Path, stem: str, formats: Sequence[str]
) -> tuple[Path, ...]:
    """Save ``<stem>_3d.npz``, or ``<stem>_<track id>_3d.npz`` for each of several people.

    Where their ids make no different names, they are numbered before them.

    Raises:
        UsageError: The folder cannot be written.
    """
    results = lifting.results
    people = [f"_{plain(result.track_id)}" for result in results]
    if len(results) == 1:
        people = [""]
    elif len(set(people)) < len(people):
        people = [f"_{number}{who}" for number, who in enumerate(people, 1)]
    return tuple(
        result.save(folder / f"{stem}{who}_3d.{kind}")
        for result, who in zip(results, people, strict=True)
        for kind in formats
    )


def plain(track_id: int | str | None) -> str:
    """A track id as a part of a file's name, whatever a file of keypoints calls a person."""
    return re.sub(r"[^\w-]", "_", str(track_id))[:60]

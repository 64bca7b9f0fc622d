"""What a network is told of the camera and the person, from nothing to all that is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.errors import UsageError
from hot_sdk.manifest import Manifest

ALL = "all"
"""Stands for every key of ``KNOWN``."""


@dataclass(frozen=True)
class Known:
    """What a network is told.

    Attributes:
        name: Its key in ``KNOWN``.
        about: A description, for help.
        camera: The camera's intrinsics.
        up: The direction away from the ground.
        height: The person's height.
    """

    name: str
    about: str
    camera: bool = False
    up: bool = False
    height: bool = False


KNOWN: Mapping[str, Known] = {
    known.name: known
    for known in (
        Known("nothing", "neither camera nor person"),
        Known("intrinsics", "the camera's intrinsics", True),
        Known("gravity", "intrinsics and the direction of gravity", True, True),
        Known(
            "height",
            "intrinsics, gravity and the person's height",
            camera=True,
            up=True,
            height=True,
        ),
        Known("height-only", "the person's height", height=True),
    )
}

_CONDITIONS = {"camera": "intrinsics_known", "up": "gravity_known", "height": "height_known"}
_WORDS = {
    "camera": "the camera's intrinsics",
    "up": "the direction of gravity",
    "height": "the person's height",
}
_FIELDS = {"camera": "intrinsics", "up": "up", "height": "height_m"}


def parse_known(text: str) -> tuple[Known, ...]:
    """Return what a comma-separated list names, in its order.

    Raises:
        UsageError: A name is unknown, or occurs twice.
    """
    names = tuple(KNOWN) if text == ALL else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in KNOWN:
            raise UsageError(
                f"Unknown choice {name!r} of what is known.",
                hint=f"{closest(name, (*KNOWN, ALL))} Several are separated by commas.",
            )
    if len({*names}) < len(names):
        raise UsageError("--known names a choice twice.", hint="Give each once.")
    return tuple(KNOWN[name] for name in names)


def check_known(
    chosen: Sequence[Known], manifest: Manifest, clips: Sequence[EvaluationClip]
) -> None:
    """Check that a network can be told what was chosen, and that the clips hold it.

    Raises:
        UsageError: It cannot, or they do not.
    """
    for part, condition in _CONDITIONS.items():
        wanted = [known.name for known in chosen if getattr(known, part)]
        if not wanted:
            continue
        left = [known.name for known in KNOWN.values() if not getattr(known, part)]
        if condition not in manifest.conditions:
            able = [known.name for known in KNOWN.values() if _can_be_told(known, manifest)]
            raise UsageError(
                f"--known {wanted[0]} needs a model that can be told {_WORDS[part]}, which this one"
                " cannot.",
                hint=f"Give --known {','.join(able)}, or leave it out.",
            )
        lacking = next((clip for clip in clips if getattr(clip, _FIELDS[part]) is None), None)
        if lacking is not None:
            raise UsageError(
                f"--known {wanted[0]} needs {_WORDS[part]}, which the clip '{lacking.name}' does"
                " not state.",
                hint=f"Give one or more of: {', '.join(left)}.",
            )


def told(clip: EvaluationClip, known: Known | None) -> EvaluationClip:
    """Return the clip with keypoints that state what is known, and nothing else.

    Args:
        clip: The clip, which holds what is to be stated.
        known: What is known; None leaves the keypoints as they are.
    """
    if known is None:
        return clip
    keypoints = dataclasses.replace(
        clip.keypoints,
        camera=clip.intrinsics if known.camera else None,
        up=clip.up if known.up else None,
        height_m=clip.height_m if known.height else None,
    )
    return dataclasses.replace(clip, keypoints=keypoints)


def _can_be_told(known: Known, manifest: Manifest) -> bool:
    return all(
        condition in manifest.conditions
        for part, condition in _CONDITIONS.items()
        if getattr(known, part)
    )

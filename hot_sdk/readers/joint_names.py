"""Recognize a skeleton by the names of its joints, in any order and spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from hot_sdk.skeletons import list_skeletons, skeleton_format

# Other names of a skeleton's joints, in the files of data sets and tools.
_OTHER_NAMES = {
    "pelvis": ("root", "hip", "hips", "mid_hip", "pelvis_root", "root_pelvis"),
    "hip": ("pelvis", "root", "mid_hip"),
    "mid_hip": ("hip", "pelvis", "root"),
    "left_ankle": ("left_foot",),
    "right_ankle": ("right_foot",),
    "head_top": ("top_head", "head"),
    "head_bottom": ("bottom_head",),
    "neck_nose": ("neck_base", "nose"),
    "upper_neck": ("neck",),
}

# Joints that are there twice, for names such as ``lshoulder``.
_PAIRED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot", "heel")


def match_names(names: Sequence[str]) -> tuple[str, tuple[int, ...]] | None:
    """Find the skeleton that joints of these names make, and the place of each of its joints.

    Of several skeletons, the one that uses most of the names is returned; None if none of them has
    all of its joints among the names.
    """
    if len({plain_name(name) for name in names}) < len(names):
        return None
    best: tuple[str, tuple[int, ...]] | None = None
    for skeleton in list_skeletons():
        found = places_of(skeleton, names)
        complete = -1 not in found and len(set(found)) == len(found)
        if complete and (best is None or len(found) > len(best[1])):
            best = skeleton, found
    return best


def places_of(skeleton: str, names: Sequence[str]) -> tuple[int, ...]:
    """Return the place of each joint of a skeleton among names, -1 if it is not there."""
    places = {plain_name(name): place for place, name in reversed(list(enumerate(names)))}
    return tuple(
        next((places[n] for n in (joint, *_OTHER_NAMES.get(joint, ())) if n in places), -1)
        for joint in skeleton_format(skeleton).joints
    )


def is_part(names: Sequence[str]) -> bool:
    """Return whether all names are different joints of one skeleton."""
    plain = {plain_name(name) for name in names}
    return 0 < len(plain) == len(names) and any(
        len(set(places_of(skeleton, names)) - {-1}) == len(names) for skeleton in list_skeletons()
    )


def plain_name(name: str) -> str:
    """Return a joint's name in the spelling used here: ``LShoulder`` as ``left_shoulder``."""
    return _plain(name[:80])


@lru_cache(maxsize=1024)  # Each is compared with the names of every skeleton.
def _plain(name: str) -> str:
    spaced = re.sub(r"([a-z])([A-Z])|([LR])(?=[A-Z][a-z])", r"\1\3_\2", name)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    sides = {"l": "left", "r": "right", "left": "left", "right": "right"}
    for place, word in enumerate(words):
        if word in sides:
            return "_".join([sides[word], *words[:place], *words[place + 1 :]])
    if len(words) == 1 and words[0][1:] in _PAIRED and words[0][0] in "lr":
        return f"{sides[words[0][0]]}_{words[0][1:]}"
    return "_".join(words)

"""Check that keypoints are pixels of their image, and that they can be a person.

What cannot be pixels is refused; what is only unlikely gives a warning. The limits of the warnings
lie outside what 88 projected clips of motion capture and the clips that ship show.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.arrays import percentiles
from hot_sdk.errors import KeypointsError
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float32]

_CERTAIN = 10.0
"""Pixels. No body of five joints or more lies this close to the image's corner."""
_FEWEST_POINTS = 5
_SMALL_IMAGE = 100

_FEWEST_FRAMES = 10
MOST_FRAMES = 300
"""Frames of a clip that are looked at, evenly spread."""
_FEWEST_BONES = 8
_SCORE = 0.3

_INSIDE = 0.7
_CORNER = 0.4
_NEARLY_SQUARE = 0.9
_STRAY = 0.005
_BEYOND_SIDE = 0.04
_HIGH_MIDDLE = 0.36
_LEFT_MIDDLE = 0.45
_CERTAIN_SCORE = 0.5
_MANY_LOW = 0.02
_AT_CORNER = 0.06
_HALF = 0.55
_BEYOND = 0.03
_FILLED = 0.75
_MOSTLY = 0.85
_BONES_LIMIT = 1.0

_PARENTS = np.maximum(H36M17.parents, 0)[1:]
_ANKLES = [H36M17.joints.index(f"{side}_ankle") for side in ("left", "right")]
_THORAX = H36M17.joints.index("thorax")

# Shares of the sum of all bones' lengths in the image, mean over a clip: the lowest and highest
# that real clips show from any side, with a margin.
_SHORTEST = {"knee": 0.02, "ankle": 0.03, "spine": 0.035, "thorax": 0.04, "elbow": 0.018}
_LONGEST = {
    "hip": 0.045,
    "knee": 0.16,
    "ankle": 0.19,
    "spine": 0.11,
    "thorax": 0.12,
    "nose": 0.065,
    "head": 0.085,
    "shoulder": 0.07,
    "elbow": 0.14,
    "wrist": 0.14,
}
_PARTS = [name.rsplit("_", 1)[-1] for name in H36M17.joints[1:]]
_LOW = np.array([_SHORTEST.get(part, 1e-4) for part in _PARTS])
_HIGH = np.array([_LONGEST[part] for part in _PARTS])


def check_pixels(points: Floats, image_size: tuple[int, int]) -> None:
    """Refuse coordinates that cannot be pixels.

    Args:
        points: (frames, joints, 2), NaN if missing.
        image_size: Width and height, pixels.

    Raises:
        KeypointsError: All lie within a few pixels of the image's corner, as shares of the image,
            normalized coordinates and meters do.
    """
    # For nearly every pushed frame this is all that is computed, most often the first of it.
    if points[0, 0, 0] > _CERTAIN or np.fmax.reduce(points, axis=None) > _CERTAIN:
        return
    largest = float(np.fmax.reduce(np.abs(points), axis=None))
    if not 0.0 < largest <= _CERTAIN:
        return
    known = points[~np.isnan(points[..., 0])]
    negative = float(known.min()) < 0.0
    shares = float(np.percentile(np.abs(known), 95.0)) <= 1.5
    distinct = len(np.unique(known, axis=0))
    if distinct < _FEWEST_POINTS or (not shares and max(image_size) < _SMALL_IMAGE):
        return
    if float(np.ptp(known, axis=0).max()) < 1e-3:
        return
    width, height = image_size
    low, high = known.min(axis=0), known.max(axis=0)
    if shares and not negative:
        what = "shares of the image (0 to 1)"
        hint = f"Multiply by the image's size: points * [{width}, {height}]."
    elif shares and low.min() < -0.2:
        what = "normalized coordinates (-1 to 1)"
        hint = (
            f"Convert them to pixels: points * {width / 2:g} + [{width / 2:g}, {height / 2:g}] if"
            " x and y were divided by half the width, as VideoPose3D does; for shares of the image"
            f" measured from its corner: points * [{width}, {height}]."
        )
    elif shares:
        what = "shares of the image (0 to 1), a little outside it"
        hint = f"Multiply by the image's size: points * [{width}, {height}]."
    else:
        what = "meters, or another unit that is not pixels"
        hint = (
            "Give pixels from the image's upper left corner; project points of the world with"
            " Intrinsics(...).project(points)."
        )
    raise KeypointsError(
        f"The coordinates cannot be pixels of an image of {width}x{height}: x is {low[0]:.3g} to"
        f" {high[0]:.3g}, y {low[1]:.3g} to {high[1]:.3g}. They look like {what}.",
        hint=hint,
    )


def implausible(
    points: Floats, scores: Floats | None, image_size: tuple[int, int], skeleton: str
) -> tuple[str, ...]:
    """Return warnings about keypoints that are unlikely to be a person in this image.

    Args:
        points: (frames, 17, 2), the joints of ``H36M17``, pixels, NaN if missing.
        scores: (frames, 17), or None; joints with a low score are ignored.
        image_size: Width and height, pixels.
        skeleton: Name of the joints' order that was given.
    """
    step = -(-len(points) // MOST_FRAMES)
    placed = points[::step].astype(np.float64)
    if scores is not None:
        placed[scores[::step] < _SCORE] = np.nan
    known = ~np.isnan(placed[..., 0])
    frames = int(known.any(axis=1).sum())
    if frames == 0:
        return ()
    enough = frames >= _FEWEST_FRAMES
    swapped = _swapped_size(placed, known, image_size) if enough else None
    warnings = _about_image(placed, known, image_size) if enough and swapped is None else []
    # The most certain of these is the only one.
    first = _outside(placed[known], image_size) or swapped
    if first is not None:
        warnings = [first]
    if enough:
        bones = _about_bones(placed, skeleton)
        warnings += bones or _about_direction(placed)
    if scores is not None and enough:
        warnings += _about_scores(scores[::step], points[::step])
    return tuple(warnings)


def _about_scores(scores: Floats, points: Floats) -> list[str]:
    given = scores[(scores > 0.0) & ~np.isnan(points[..., 0])]
    if not len(given):
        return []
    highest = float(percentiles(given, [99.0])[0])
    low = float((given < _SCORE).mean())
    # Detectors that return probabilities of pixels are never as certain as 0.5.
    if highest >= _CERTAIN_SCORE or low < _MANY_LOW:
        return []
    return [
        f"Scores are at most {highest:.2g}, and {low:.0%} of the joints found have less than"
        f" {_SCORE:g}: the detector's scores may be on another scale, and InputPolicies(min_score="
        "...) needs a lower limit."
    ]


def _swapped_size(
    placed: NDArray[np.float64], known: NDArray[np.bool_], image_size: tuple[int, int]
) -> str | None:
    """Return a warning if the points fit the image turned by 90 degrees better than the image."""
    short, long = min(image_size), max(image_size)
    if short > _NEARLY_SQUARE * long:
        return None
    seen = placed[known]
    along = int(np.argmax(image_size))
    # All of them lie in the square at the corner that both images share, or beyond its short side.
    if (seen[:, along] > short).mean() > _STRAY or (seen > long).any(axis=1).mean() > _STRAY:
        return None
    beyond = float((seen[:, 1 - along] > short).mean())
    middle = float(np.median(seen[:, along])) / long
    is_portrait = along == 1
    whole = float(known[:, _ANKLES].any(axis=1).mean()) >= 0.5
    if is_portrait:
        # A camera that is held upright shows feet below its horizon, not in the upper half.
        high = whole and middle < _HIGH_MIDDLE
        likely = beyond >= _BEYOND_SIDE or high
    else:
        # Legs below the image belong to one who sits at a desk, in the middle.
        likely = beyond >= _BEYOND_SIDE and middle < _LEFT_MIDDLE
    if not likely:
        return None
    width, height = image_size
    side, corner = ("bottom", "upper") if is_portrait else ("right", "left")
    past = f", and {beyond:.0%} of the points beyond its short side" if beyond >= 0.01 else ""
    return (
        f"The person is in the {corner} {short / long:.0%} of an image of {width}x{height}, never"
        f" near its {side}{past}: width and height may be swapped; image_size is (width, height)."
        " Poses are wrong if so; if the person is really there, ignore this."
    )


def _outside(known: NDArray[np.float64], image_size: tuple[int, int]) -> str | None:
    inside = float(((known >= 0.0) & (known <= image_size)).all(axis=1).mean())
    if inside >= _INSIDE:
        return None
    width, height = image_size
    swapped = float(((known >= 0.0) & (known <= (height, width))).all(axis=1).mean())
    advice = (
        "width and height may be swapped: image_size is (width, height)"
        if swapped > 0.95
        else "image_size must be that of the image in which the keypoints were found"
    )
    return (
        f"{1.0 - inside:.0%} of the points lie outside the image of {width}x{height}; {advice}."
        " Poses are wrong if the size is."
    )


def _about_image(
    placed: NDArray[np.float64], known: NDArray[np.bool_], image_size: tuple[int, int]
) -> list[str]:
    width, height = image_size
    seen = placed[known]
    # The whole body is needed to judge where it ends.
    ankles = float(known[:, _ANKLES].any(axis=1).mean())
    if ankles < 0.5:
        return []
    low, high = percentiles(seen, [1.0, 99.0])
    right, bottom = high / image_size
    if (high <= 100.5).all() and min(image_size) >= 300 and low.min() >= 0.0:
        return [
            "All points lie within 0 to 100: they look like percent of the image. If so, give"
            f" points / 100 * [{width}, {height}]; if the person is this small, ignore this."
        ]
    limit = _HALF if (low < _AT_CORNER * np.array(image_size)).all() else _CORNER
    # Points left of the image or above it belong to one who walks in or out.
    beyond = float((seen < 0.0).any(axis=1).mean())
    if right < limit and bottom < limit and beyond < _BEYOND:
        return [
            f"The person stays in the upper left {right:.0%} by {bottom:.0%} of the image of"
            f" {width}x{height}: image_size may be that of a larger image, or the keypoints those"
            " of a crop. Poses are wrong if so; if the person is really there, ignore this."
        ]
    return _about_crop(seen.min(axis=0), seen.max(axis=0), image_size)


def _about_crop(
    low: NDArray[np.float64], high: NDArray[np.float64], image_size: tuple[int, int]
) -> list[str]:
    extent = (high - low) / image_size
    margins = np.abs(np.array([*low, *(np.array(image_size) - high)]))
    # A crop about a person leaves the same margin on every side; a camera's image does not.
    even = margins.max() <= 1.3 * margins.min() + 0.03 * max(image_size)
    if (extent >= _FILLED).all() and even:
        return [
            "The person fills the image to an even margin, as in a crop: poses need the keypoints"
            " in the camera's whole image, and its size. If this is the whole image, ignore this."
        ]
    return []


def _about_bones(placed: NDArray[np.float64], skeleton: str) -> list[str]:
    lengths = np.linalg.norm(placed[:, 1:] - placed[:, _PARENTS], axis=-1)
    counted = (~np.isnan(lengths)).sum(axis=0)
    usable = counted >= _FEWEST_FRAMES
    if usable.sum() < _FEWEST_BONES + 4 or not np.nansum(lengths) > 0.0:
        return []
    mean = np.where(usable, np.nansum(lengths, axis=0) / np.maximum(counted, 1), 0.0)
    # As if the bones that are missing had their usual length.
    usual = (_LOW + _HIGH) / 2
    share = mean / mean.sum() * (usual[usable].sum() / usual.sum())
    above = np.log(np.maximum(share, 1e-9) / _HIGH)[usable]
    below = np.log(_LOW / np.maximum(share, 1e-9))[usable]
    apart = float(np.maximum(above, 0.0).sum() + np.maximum(below, 0.0).sum())
    if apart <= _BONES_LIMIT:
        return []
    return [
        f"The bones' proportions fit no person whose joints are in the order of {skeleton}:"
        " another skeleton's array may have been given under this name. Poses are wrong if so."
    ]


def _about_direction(placed: NDArray[np.float64]) -> list[str]:
    with np.errstate(invalid="ignore"):
        trunk = placed[:, _ANKLES].mean(axis=1) - placed[:, _THORAX]
        across, down = (trunk / np.linalg.norm(trunk, axis=-1, keepdims=True)).T
    judged = ~np.isnan(down)
    if judged.sum() < _FEWEST_FRAMES:
        return []
    if (down[judged] < -0.5).mean() > _MOSTLY:
        return [
            "The person is upside down in nearly all frames: y may point up. Pixels have y down:"
            " give height - y; or the joints may be in another order. If the person is really"
            " upside down, ignore this."
        ]
    # A swap of x and y turns down into right.
    if (across[judged] > 0.8).mean() > _MOSTLY:
        return [
            "The person lies on the side in nearly all frames: x and y may be swapped; give"
            " points[..., ::-1]. If the person is lying, or the video is turned, ignore this."
        ]
    if (across[judged] < -0.8).mean() > _MOSTLY:
        return [
            "The person lies on the side in nearly all frames: the video may be turned by 90"
            " degrees. Turn it, or its keypoints and image_size, until people stand upright; if"
            " the person is lying, ignore this."
        ]
    return []

"""Keypoint windows to verify exported files with: real clips, and a smooth synthetic one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.session import Arrays
from hot_sdk.export.models import ModelSpec, family
from hot_sdk.export.models.families import Normalization
from hot_sdk.export.verification.conditions import told_window
from hot_sdk.model_inputs import input_arrays
from hot_sdk.preprocessing import InputSpec
from hot_sdk.preprocessing.resampling import sample
from hot_sdk.skeletons import in_network_order

_FILE = "data/verification_clips.npz"
LIVE_FRAMES = 1000
"""Frames of each recording for live networks."""

_SEED = 20240617
_LEAST_FPS, _SMOOTH_FPS, _PAUSE_S = 15.0, 30.0, 2.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """Keypoints of one person.

    Attributes:
        name: Name for reports.
        points: (frames, joints, 2), pixels, x right, y down; finite.
        scores: (frames, joints), 0 to 1.
        size: Width and height of the image, pixels.
        fps: Frames per second.
    """

    name: str
    points: Floats
    scores: Floats
    size: tuple[int, int]
    fps: float


@dataclass(frozen=True)
class Window:
    """One input of a network.

    Attributes:
        name: Name for reports.
        keypoints: Normalized, (frames, joints, channels), float32.
        conditions: What is known of camera and person, (frames, conditions), float32; None if
            nothing is, or if the network takes none.
        times: When each frame was, (frames,), seconds; None unless the network is live.
    """

    name: str
    keypoints: NDArray[np.float32]
    conditions: NDArray[np.float32] | None = None
    times: Floats | None = None


def real_clips() -> list[Clip]:
    """Return the clips that ship, with gaps without a detection filled linearly in time."""
    source = resources.files("hot_sdk.export").joinpath(_FILE)
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        names = sorted(key.removesuffix("_points") for key in arrays if key.endswith("_points"))
        return [
            Clip(
                name,
                _filled(arrays[f"{name}_points"].astype(np.float64)),
                _filled(arrays[f"{name}_scores"].astype(np.float64)),
                (int(arrays[f"{name}_size"][0]), int(arrays[f"{name}_size"][1])),
                float(arrays[f"{name}_fps"]),
            )
            for name in names
        ]


def verification_windows(
    spec: ModelSpec, normalization: Normalization = Normalization.IMAGE_WIDTH
) -> list[Window]:
    """Return windows as the network gets them: at its training fps, normalized, of its length.

    Longer clips give their first and their last window; shorter ones are continued by their last
    frame, as the published evaluations do. A box is that of the whole clip. If the network takes
    conditions, each window comes twice: with nothing known, and with something. A live network
    gets :func:`live_windows`.
    """
    if spec.live is not None:
        return live_windows(spec, normalization)
    windows: list[Window] = []
    fps = family(spec.family).training_fps
    for clip in [*real_clips(), _smooth_clip(spec.frames, fps)]:
        resampled = _at_fps(clip, fps)
        inputs = _normalized(resampled, spec, normalization)
        for name, start in _starts(resampled, spec.frames):
            keypoints = inputs[_times(start, spec.frames, len(inputs))]
            windows.append(Window(name, keypoints))
            if spec.size.conditions:
                told = told_window(keypoints, spec.size.conditions, len(windows) // 2)
                windows.append(Window(f"{name}, {told.known}", told.keypoints, told.conditions))
    return windows


def live_windows(
    spec: ModelSpec, normalization: Normalization = Normalization.IMAGE_WIDTH
) -> list[Window]:
    """Return what a live network gets frame by frame: three long recordings.

    Errors that add up in what it remembers need that many frames to show. Clips follow one another,
    at their own frame rates; and a smooth one has frames at irregular times, as a busy computer
    takes them, and a pause. If the network takes conditions, something is known in all but the
    first.
    """
    clips = [_at_fps(clip, max(clip.fps, _LEAST_FPS)) for clip in real_clips()]
    random = np.random.default_rng(_SEED)
    smooth = _smooth_clip(LIVE_FRAMES, _SMOOTH_FPS)
    irregular = (np.arange(LIVE_FRAMES) + random.uniform(-0.4, 0.4, LIVE_FRAMES)) / _SMOOTH_FPS
    irregular[LIVE_FRAMES // 2 :] += _PAUSE_S
    recordings = [
        ("clips one after another", clips, None),
        ("clips in another order", clips[::-1], None),
        ("smooth, at irregular times", [smooth], irregular),
    ]
    windows = []
    for number, (name, parts, times) in enumerate(recordings):
        inputs = [_normalized(part, spec, normalization) for part in parts]
        steps = np.concatenate([np.full(len(part.points), 1.0 / part.fps) for part in parts])
        keypoints = np.resize(np.concatenate(inputs), (LIVE_FRAMES, *inputs[0].shape[1:]))
        if times is None:
            times = np.cumsum(np.resize(steps, LIVE_FRAMES))
        window = Window(name, keypoints, times=times)
        if spec.size.conditions and number:
            told = told_window(keypoints, spec.size.conditions, number - 1)
            named = f"{name}, {told.known}"
            window = Window(named, told.keypoints, told.conditions, times)
        windows.append(window)
    return windows


def real_windows(
    spec: ModelSpec, normalization: Normalization = Normalization.IMAGE_WIDTH
) -> list[NDArray[np.float32]]:
    """Return half-overlapping windows of the real clips, (frames, joints, channels)."""
    fps, step = family(spec.family).training_fps, max(1, spec.frames // 2)
    windows = []
    for clip in (_at_fps(each, fps) for each in real_clips()):
        inputs = _normalized(clip, spec, normalization)
        last = max(0, len(inputs) - spec.frames)
        starts = sorted({*range(0, last + 1, step), last})
        windows += [inputs[_times(start, spec.frames, len(inputs))] for start in starts]
    return windows


def stacked(windows: Sequence[Window], count: int) -> Arrays:
    """Return windows as one input of a file.

    Args:
        windows: The windows.
        count: Number of values that the network takes of what is known; 0 if none.
    """
    keypoints = np.stack([window.keypoints for window in windows])
    if all(window.conditions is None for window in windows):
        return input_arrays(count, keypoints)
    unknown = np.zeros((keypoints.shape[1], count), dtype=np.float32)
    rows = [unknown if window.conditions is None else window.conditions for window in windows]
    return input_arrays(count, keypoints, np.stack(rows))


def _starts(clip: Clip, frames: int) -> Iterator[tuple[str, int]]:
    length = len(clip.points)
    if length <= frames:
        yield clip.name if length == frames else f"{clip.name}, last frame held", 0
        return
    yield f"{clip.name}, start", 0
    yield f"{clip.name}, end", length - frames


def _times(start: int, frames: int, length: int) -> NDArray[np.int64]:
    """Return the clip's frames in a window, the last one held."""
    return np.minimum(np.arange(start, start + frames), length - 1)


def _normalized(clip: Clip, spec: ModelSpec, normalization: Normalization) -> NDArray[np.float32]:
    points, scores = clip.points.astype(np.float32), clip.scores.astype(np.float32)
    # As the runtime does, so that a file is verified on the inputs that it will get.
    network = InputSpec(normalization.value, spec.size.channels)
    inputs = network.normalize(points, scores, np.isfinite(scores), clip.size, "published")
    return in_network_order(inputs, spec.joint_order)


def _filled(values: Floats) -> Floats:
    """Fill NaN linearly along the first axis; hold at both ends."""
    time = np.arange(len(values))
    columns = values.reshape(len(values), -1).copy()
    for column in columns.T:
        known = np.isfinite(column)
        column[~known] = np.interp(time[~known], time[known], column[known])
    filled: Floats = columns.reshape(values.shape)
    return filled


def _at_fps(clip: Clip, fps: float) -> Clip:
    seconds = (len(clip.points) - 1) / clip.fps
    times = np.arange(int(seconds * fps) + 1) / fps * clip.fps
    frames = np.arange(len(clip.points), dtype=np.float64)
    points, scores = sample(clip.points, frames, times), sample(clip.scores, frames, times)
    return Clip(clip.name, points, scores, clip.size, fps)


def _smooth_clip(frames: int, fps: float) -> Clip:
    """Return a standing figure whose joints swing slowly, each in its own rhythm."""
    legs_and_trunk = [[0, 0], [-1, 0], [-1, 4], [-1, 8], [1, 0], [1, 4], [1, 8], [0, -3], [0, -5]]
    head_and_arms = [[0, -6], [0, -7], [2, -5], [3, -3], [4, -1], [-2, -5], [-3, -3], [-4, -1]]
    figure = np.array([*legs_and_trunk, *head_and_arms], dtype=np.float64)
    random = np.random.default_rng(_SEED)
    seconds = np.arange(frames)[:, None, None] / fps
    points = 500.0 + 30.0 * figure
    for frequency in (0.2, 0.5, 1.1):
        phase = random.uniform(0.0, 2.0 * np.pi, size=(1, *figure.shape))
        reach = random.uniform(2.0, 20.0, size=(1, *figure.shape)) / frequency**0.5
        points = points + reach * np.sin(2.0 * np.pi * frequency * seconds + phase)
    scores = 0.9 + 0.1 * np.sin(seconds[..., 0] + np.arange(len(figure)))
    return Clip("smooth", points, np.clip(scores, 0.0, 1.0), (1000, 1000), fps)

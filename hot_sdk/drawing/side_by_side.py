"""One picture of a frame: video with 2D skeletons, 3D poses from a turning viewpoint, latency.

The latency of the newest frames as bars under a budget.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.people import PersonFrame
from hot_sdk.drawing.scene_3d import MAX_SCENES, Scene, Stage, draw_axes, draw_scene, grid_step
from hot_sdk.drawing.skeleton_2d import draw_skeleton_2d, name_of, put_text
from hot_sdk.drawing.style import Colour, Style, opencv, score_colours
from hot_sdk.errors import UsageError

_LEFT, _RIGHT = 190, 112
_NARROWEST_CHART = 60


def draw_latency_strip(
    picture: NDArray[np.uint8],
    latency_ms: NDArray[np.floating],
    *,
    budget_ms: float | None,
    size: float,
    style: Style,
) -> None:
    """Draw figures, a bar for each of the newest frames, and the budget as a line.

    Args:
        picture: (height, width, 3), of the background's colour; changed.
        latency_ms: (frames,), milliseconds, the newest last; not finite where there was none.
        budget_ms: What a frame may cost, such as 1000 / fps; None for no line.
        size: Of letters, times the style's.
        style: Colours.
    """
    height, width = picture.shape[:2]
    left, right = round(_LEFT * size), round(_RIGHT * size)
    row = round(17 * size)
    known = latency_ms[np.isfinite(latency_ms)]
    known = np.maximum(known, 0.0)
    put_text(picture, "latency per frame", (8, row), 0.42 * size, style.quiet_text)
    if not len(known):
        put_text(picture, "no figures", (8, 2 * row + 4), 0.45 * size, style.quiet_text)
        return
    now = float(latency_ms[-1])
    text = f"{_figure(now)} ms" if math.isfinite(now) else "-"
    is_late = budget_ms is not None and now > budget_ms
    colour = style.late_bar if is_late else style.text
    put_text(picture, text, (8, round(2.45 * row)), 0.68 * size, colour)
    median, high = np.percentile(known, [50, 95])
    put_text(
        picture,
        f"median {_figure(median)}, p95 {_figure(high)}",
        (8, round(3.75 * row)),
        0.38 * size,
        style.quiet_text,
    )
    if width - left - right < _NARROWEST_CHART or height < 2 * row:
        return
    top = max(float(known.max()), 1.25 * (budget_ms or 0.0), 1e-3)
    margin = round(6 * size)
    chart = picture[margin : height - margin, left : width - right]
    _draw_bars(chart, latency_ms, top, budget_ms, style)
    _draw_scale(picture, chart.shape[0], margin, width - right, top, budget_ms, size, style)


def _draw_bars(
    chart: NDArray[np.uint8],
    latency_ms: NDArray[np.floating],
    top: float,
    budget_ms: float | None,
    style: Style,
) -> None:
    high, wide = chart.shape[:2]
    bar = max(1, min(6, wide // max(1, len(latency_ms))))
    newest = latency_ms[-(wide // bar) :]
    heights = np.nan_to_num(newest, nan=0.0, posinf=0.0, neginf=0.0) / top * high
    # A frame that cost next to nothing still has a bar; one without figures has none.
    heights = np.where(np.isfinite(newest), np.clip(heights, 1.0, high), 0.0)
    cv2 = opencv()
    cv2.rectangle(chart, (0, 0), (wide - 1, high - 1), style.panel, -1)
    late = newest > (math.inf if budget_ms is None else budget_ms)
    thick = bar - 1 if bar > 2 else bar
    left = wide - bar * len(newest)
    tops = (high - np.rint(heights).astype(int)).tolist()
    for top_row, is_late in zip(tops, late.tolist(), strict=True):
        if top_row < high:
            colour = style.late_bar if is_late else style.bar
            cv2.rectangle(chart, (left, top_row), (left + thick - 1, high - 1), colour, -1)
        left += bar


def _draw_scale(
    picture: NDArray[np.uint8],
    high: int,
    margin: int,
    left: int,
    top: float,
    budget_ms: float | None,
    size: float,
    style: Style,
) -> None:
    letter = round(11 * size)
    if budget_ms is None:
        text = f"{_figure(top)} ms"
        put_text(picture, text, (left + 6, margin + letter), 0.38 * size, style.quiet_text)
        return
    y = margin + high - 1 - round(budget_ms / top * (high - 1))
    start = round(_LEFT * size)
    opencv().line(picture, (start, y), (left + 3, y), style.budget, 1)
    base = min(max(y + letter // 2, margin + letter), margin + high)
    put_text(
        picture, f"{_figure(budget_ms)} ms budget", (left + 6, base), 0.38 * size, style.budget
    )
    # The chart's upper end has its figure where the budget's leaves room.
    if base - letter > margin + letter + 4:
        text = f"{_figure(top)} ms"
        put_text(picture, text, (left + 6, margin + letter), 0.38 * size, style.quiet_text)


def _figure(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


DEFAULT_SIZE = (1280, 480)
_SMALLEST, _LARGEST = (320, 160), (7680, 4320)
_HISTORY = 300


class SideBySide:
    """Draws the frames of one video or stream, and remembers what has to move slowly.

    Attributes:
        size: Width and height of the pictures.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] = DEFAULT_SIZE,
        fps: float | None = None,
        style: Style | None = None,
    ) -> None:
        """Prepare.

        Args:
            size: Width and height of the pictures.
            fps: Frames a second, of which the budget line is the inverse; None draws none.
            style: Colours and sizes.
        """
        _check_size(size)
        self.size = size
        self._budget_ms = 1e3 / fps if fps else None
        self._style = style or Style()
        self._stage = Stage()
        self._latency_ms: deque[float] = deque(maxlen=_HISTORY)

    def draw(
        self,
        image: NDArray[np.uint8] | None,
        people: Sequence[PersonFrame],
        *,
        time_s: float,
        latency_ms: float | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> NDArray[np.uint8]:
        """Draw the next frame; see ``draw_side_by_side``.

        Args:
            image: (height, width, 3), or None where there is no video.
            people: Everybody in the frame.
            time_s: Of the frame.
            latency_ms: What the frame cost; None where it is not known.
            image_size: Width and height of the image that keypoints are pixels of, where there is
                none.
        """
        self._latency_ms.append(math.nan if latency_ms is None else latency_ms)
        return draw_side_by_side(
            image,
            people,
            size=self.size,
            time_s=time_s,
            latency_ms_history=np.array(self._latency_ms),
            budget_ms=self._budget_ms,
            image_size=image_size,
            stage=self._stage,
            style=self._style,
        )


def draw_side_by_side(
    image: NDArray[np.uint8] | None,
    people: Sequence[PersonFrame],
    *,
    size: tuple[int, int] = DEFAULT_SIZE,
    time_s: float,
    latency_ms_history: NDArray[np.floating] | None = None,
    budget_ms: float | None = None,
    image_size: tuple[int, int] | None = None,
    stage: Stage | None = None,
    style: Style | None = None,
) -> NDArray[np.uint8]:
    """Draw one frame.

    The same arguments give the same picture; the viewpoint's angle follows from ``time_s`` alone.

    Args:
        image: (height, width, 3), blue, green, red; not changed. None leaves a dark panel.
        people: Everybody in the frame.
        size: Width and height of the picture.
        time_s: Of the frame.
        latency_ms_history: (frames,), what the newest frames cost, this one last; not finite where
            that is not known. None leaves the strip empty.
        budget_ms: What a frame may cost; None draws no line.
        image_size: Width and height of the image that keypoints are pixels of, where it is another
            than ``image`` has, or there is none.
        stage: Keeps ground and centre steady from frame to frame; without it, each frame's own.
        style: Colours and sizes.

    Returns:
        (height, width, 3), uint8, blue, green, red.

    Raises:
        UsageError: The image is no such array, or the size is too small or too large to draw.
        MissingDependencyError: OpenCV is not installed.
    """
    _check_size(size)
    _check_image(image)
    if not math.isfinite(time_s):
        raise UsageError(f"time_s is {time_s}.", hint="Give seconds.")
    style = style or Style()
    scenes = (stage or Stage()).update(people, time_s)
    width, height = size
    scale = min(width / DEFAULT_SIZE[0], height / DEFAULT_SIZE[1])
    # Letters smaller than this cannot be read; then there are fewer of them.
    letters = max(0.75, scale)
    head, strip = round(24 * letters), round(80 * letters)
    canvas: NDArray[np.uint8] = np.empty((height, width, 3), dtype=np.uint8)
    opencv().rectangle(canvas, (0, 0), (width - 1, height - 1), style.background, -1)
    middle = width // 2
    body = slice(head, height - strip)
    _draw_video(canvas[body, : middle - 1], image, people, image_size, scale, style)
    angle = 2.0 * math.pi * math.fmod(time_s / style.turn_period_s, 1.0)
    _draw_scenes(canvas[body, middle + 1 :], scenes, angle, scale, letters, style)
    _draw_left_head(canvas[:head, : middle - 1], time_s, letters, style)
    _draw_right_head(canvas[:head, middle + 1 :], scenes, letters, style)
    history = np.empty(0) if latency_ms_history is None else latency_ms_history
    draw_latency_strip(
        canvas[height - strip :], history, budget_ms=budget_ms, size=letters, style=style
    )
    return canvas


def _draw_video(
    panel: NDArray[np.uint8],
    image: NDArray[np.uint8] | None,
    people: Sequence[PersonFrame],
    image_size: tuple[int, int] | None,
    size: float,
    style: Style,
) -> None:
    cv2 = opencv()
    high, wide = panel.shape[:2]
    if image_size is None:
        if image is None:
            image_size = _size_from_keypoints(people)
        else:
            image_size = image.shape[1], image.shape[0]
    scale = min(wide / image_size[0], high / image_size[1])
    fitted = tuple(max(1, min(round(scale * image_size[i]), (wide, high)[i])) for i in (0, 1))
    x, y = (wide - fitted[0]) // 2, (high - fitted[1]) // 2
    part = panel[y : y + fitted[1], x : x + fitted[0]]
    if image is None:
        cv2.rectangle(part, (0, 0), (fitted[0] - 1, fitted[1] - 1), style.panel, -1)
    else:
        # Averaging over areas is right for smaller pictures, but four times as slow.
        part[:] = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
    for person in people:
        draw_skeleton_2d(panel, person, scale=scale, offset=(x, y), size=size, style=style)


def _size_from_keypoints(people: Sequence[PersonFrame]) -> tuple[int, int]:
    """A picture that holds everybody, where nothing says how large it was."""
    points = [person.keypoints_2d for person in people if person.keypoints_2d is not None]
    if not points:
        return 16, 9
    every = np.concatenate(points).astype(np.float64)
    with np.errstate(invalid="ignore"):
        every = every[(np.abs(every) < 1e5).all(axis=1)]
    if not len(every):
        return 16, 9
    wide, high = every.max(axis=0)
    return max(16, math.ceil(1.05 * wide)), max(16, math.ceil(1.05 * high))


def _draw_scenes(
    panel: NDArray[np.uint8],
    scenes: Sequence[Scene],
    angle: float,
    size: float,
    letters: float,
    style: Style,
) -> None:
    cv2 = opencv()
    high, wide = panel.shape[:2]
    cv2.rectangle(panel, (0, 0), (wide - 1, high - 1), style.panel, -1)
    if not scenes:
        at = wide // 2 - round(30 * letters), high // 2
        put_text(panel, "no pose", at, 0.5 * letters, style.quiet_text)
    shown = scenes[:MAX_SCENES]
    for number, scene in enumerate(shown):
        start, end = (wide * (number + i) // len(shown) for i in (0, 1))
        cell = panel[:, start:end]
        draw_scene(cell, scene, angle, size=size, style=style)
        if scene.track_id is not None:
            name = name_of(PersonFrame(track_id=scene.track_id))
            put_text(cell, name, (6, round(18 * letters)), 0.45 * letters, style.text)
    if len(scenes) > len(shown):
        text = f"and {len(scenes) - len(shown)} more"
        at = wide - round(90 * letters), high - round(8 * letters)
        put_text(panel, text, at, 0.42 * letters, style.text)
    length = 24 * letters
    centre = round(44 * letters), high - round(46 * letters)
    draw_axes(panel, angle, centre=centre, length=length, size=letters, style=style)


def _draw_left_head(bar: NDArray[np.uint8], time_s: float, letters: float, style: Style) -> None:
    minutes, seconds = divmod(max(0.0, time_s), 60.0)
    text = f"2D keypoints  {int(minutes)}:{seconds:05.2f}"
    base = bar.shape[0] - round(7 * letters)
    used = _put_if_room(bar, text, 8, base, letters, style.text)
    wide = round(60 * letters)
    start = bar.shape[1] - wide - round(80 * letters)
    if start < used + 10:
        return
    put_text(bar, "score 0", (start - round(2 * letters), base), 0.4 * letters, style.quiet_text)
    ramp = start + round(56 * letters)
    colours = np.array(score_colours(style), dtype=np.uint8)
    shades = colours[np.linspace(0, len(colours) - 1, wide).astype(int)]
    bar[round(8 * letters) : round(18 * letters), ramp : ramp + wide] = shades
    put_text(bar, "1", (ramp + wide + 6, base), 0.4 * letters, style.quiet_text)


def _draw_right_head(
    bar: NDArray[np.uint8], scenes: Sequence[Scene], letters: float, style: Style
) -> None:
    base = bar.shape[0] - round(7 * letters)
    text = "3D pose"
    if scenes:
        text += f"  grid {grid_step(max(scenes, key=lambda scene: scene.radius)):g} m"
    used = _put_if_room(bar, text, 8, base, letters, style.text)
    start = bar.shape[1] - round(96 * letters)
    if start > used + 10:
        put_text(bar, "left", (start, base), 0.45 * letters, style.left)
        put_text(bar, "right", (start + round(44 * letters), base), 0.45 * letters, style.right)


def _put_if_room(
    bar: NDArray[np.uint8], text: str, left: int, base: int, letters: float, colour: Colour
) -> int:
    """Write a line and return where it ends; words that find no room are left out."""
    cv2 = opencv()
    words = text.split("  ")
    while words:
        line = "  ".join(words)
        (wide, _), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * letters, 1)
        if left + wide < bar.shape[1]:
            put_text(bar, line, (left, base), 0.45 * letters, colour)
            return left + int(wide)
        words.pop()
    return left


def _check_size(size: tuple[int, int]) -> None:
    if not all(low <= n <= high for low, n, high in zip(_SMALLEST, size, _LARGEST, strict=True)):
        raise UsageError(
            f"The picture is {size[0]} x {size[1]}; expected {_SMALLEST[0]} x {_SMALLEST[1]} to"
            f" {_LARGEST[0]} x {_LARGEST[1]} pixels.",
            hint=f"Leave it out for {DEFAULT_SIZE[0]} x {DEFAULT_SIZE[1]}.",
        )


def _check_image(image: NDArray[np.uint8] | None) -> None:
    if image is None:
        return
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UsageError(
            f"The image is {image.dtype} of shape {image.shape}; expected uint8"
            " (height, width, 3).",
            hint="Give it as OpenCV decodes it: blue, green, red.",
        )

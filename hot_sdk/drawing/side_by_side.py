"""Draw one frame: video with 2D skeletons, 3D poses as the camera sees them, latency."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.canvas import Canvas, opencv, text_size
from hot_sdk.drawing.people import PersonFrame
from hot_sdk.drawing.scene_3d import MAX_SCENES, Scene, Stage, draw_axes, draw_scene, grid_step
from hot_sdk.drawing.skeleton_2d import draw_skeleton_2d, name_of
from hot_sdk.drawing.style import Style, score_colors
from hot_sdk.errors import UsageError

DEFAULT_SIZE = (1280, 480)
_SMALLEST, _LARGEST = (320, 160), (7680, 4320)
_HISTORY = 300
_CHART_LEFT, _CHART_RIGHT, _NARROWEST_CHART = 205, 116, 60

LATENCY = "latency per frame"
"""What the bars are called if nothing says what they count."""


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
        counted: str = LATENCY,
        style: Style | None = None,
    ) -> None:
        """Prepare.

        Args:
            size: Width and height of the pictures.
            fps: Frames per second, whose inverse is the budget line; None draws none.
            counted: What ``latency_ms`` counts, in a few words.
            style: Colors and sizes.
        """
        _check_size(size)
        self._counted = counted
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
        """Draw the next frame; ``latency_ms`` is its cost, see ``draw_side_by_side`` for the rest.

        Raises:
            UsageError: See ``draw_side_by_side``.
        """
        self._latency_ms.append(math.nan if latency_ms is None else latency_ms)
        return draw_side_by_side(
            image,
            people,
            size=self.size,
            time_s=time_s,
            latency_ms_history=np.array(self._latency_ms),
            budget_ms=self._budget_ms,
            counted=self._counted,
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
    counted: str = LATENCY,
    image_size: tuple[int, int] | None = None,
    stage: Stage | None = None,
    style: Style | None = None,
) -> NDArray[np.uint8]:
    """Draw one frame.

    The same arguments give the same picture. The viewpoint is on the camera's side, a little above;
    with ``Style(turn_period_s=...)`` it walks around the people, by ``time_s`` alone.

    Args:
        image: (height, width, 3), blue, green, red; not changed. None leaves a dark panel.
        people: All people in the frame.
        size: Width and height of the picture.
        time_s: Time of the frame.
        latency_ms_history: (frames,), the cost of the newest frames, this one last; not finite if
            unknown. None leaves the strip empty.
        budget_ms: Time between two frames, 1000 / fps; None draws no line.
        counted: What the latencies count, in a few words, such as "detection and lifting".
        image_size: Width and height of the image that keypoints are pixels of, if it differs from
            ``image`` or there is none.
        stage: Keeps ground and center steady from frame to frame; without it, each frame has its
            own.
        style: Colors and sizes.

    Returns:
        (height, width, 3), uint8, blue, green, red.

    Raises:
        UsageError: The image is not such an array, or the size is too small or too large.
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
    # Smaller letters are illegible; there are fewer of them instead.
    letters = max(0.75, scale)
    pixels: NDArray[np.uint8] = np.empty((height, width, 3), dtype=np.uint8)
    canvas = Canvas(pixels, style, scale, letters)
    canvas.fill(style.background)
    head, strip = slice(canvas.scaled(24)), slice(height - canvas.scaled(80), height)
    body = slice(head.stop, strip.start)
    left, right = slice(width // 2 - 1), slice(width // 2 + 1, width)
    _draw_video(canvas.part(body, left), image, people, image_size)
    _draw_scenes(canvas.part(body, right), scenes, _angle(style, time_s))
    _draw_left_head(canvas.part(head, left), time_s)
    _draw_right_head(canvas.part(head, right), scenes)
    history = np.empty(0) if latency_ms_history is None else latency_ms_history
    draw_latency_strip(canvas.part(strip), history, budget_ms, counted)
    return pixels


def _angle(style: Style, time_s: float) -> float:
    """Return the angle of the viewpoint about the vertical, radians; 0 is the camera's side."""
    period = style.turn_period_s
    return 0.0 if period is None else 2.0 * math.pi * math.fmod(time_s / period, 1.0)


def draw_latency_strip(
    canvas: Canvas,
    latency_ms: NDArray[np.floating],
    budget_ms: float | None,
    counted: str = LATENCY,
) -> None:
    """Draw numbers, a bar for each of the newest frames, and the budget as a line.

    Args:
        canvas: What is drawn on.
        latency_ms: (frames,), milliseconds, the newest last; not finite if unknown.
        budget_ms: Time between two frames, 1000 / fps; None for no line.
        counted: What the latencies count, in a few words.
    """
    style, row = canvas.style, canvas.scaled(17)
    known = np.maximum(latency_ms[np.isfinite(latency_ms)], 0.0)
    canvas.text(counted, (8, row), 0.42, style.quiet_text)
    if not len(known):
        canvas.text("not measured", (8, 2 * row + 4), 0.45, style.quiet_text)
        return
    now = float(latency_ms[-1])
    is_late = budget_ms is not None and now > budget_ms
    text = f"{_format_ms(now)} ms" if math.isfinite(now) else "-"
    color = style.late_bar if is_late else style.text
    canvas.text(text, (8, round(2.45 * row)), 0.68, color)
    median, high = map(_format_ms, np.percentile(known, [50, 95]).tolist())
    text = f"median {median}, p95 {high}"
    canvas.text(text, (8, round(3.75 * row)), 0.38, style.quiet_text)
    left, right = canvas.scaled(_CHART_LEFT), canvas.width - canvas.scaled(_CHART_RIGHT)
    if right - left < _NARROWEST_CHART or canvas.height < 2 * row:
        return
    top = max(float(known.max()), 1.25 * (budget_ms or 0.0), 1e-3)
    margin, letter = canvas.scaled(6), canvas.scaled(11)
    chart = canvas.part(slice(margin, canvas.height - margin), slice(left, right))
    _draw_bars(chart, latency_ms, top, budget_ms)
    base = margin + chart.height + letter
    if budget_ms is not None:
        y = margin + chart.height - 1 - round(budget_ms / top * (chart.height - 1))
        opencv().line(canvas.pixels, (left, y), (right + 3, y), style.budget, 1)
        base = min(max(y + letter // 2, margin + letter), margin + chart.height - letter - 2)
        lines = f"{_format_ms(budget_ms)} ms budget", f"of {round(1e3 / budget_ms, 1):g} frames/s"
        for place, text in enumerate(lines):
            canvas.text(text, (right + 6, base + place * (letter + 2)), 0.38, style.budget)
    # The chart's upper end has its number if the budget's leaves room.
    if base - letter > margin + letter + 4:
        text, at = f"{_format_ms(top)} ms", (right + 6, margin + letter)
        canvas.text(text, at, 0.38, style.quiet_text)


def _draw_bars(
    chart: Canvas, latency_ms: NDArray[np.floating], top: float, budget_ms: float | None
) -> None:
    style, high, wide = chart.style, chart.height, chart.width
    bar = max(1, min(6, wide // max(1, len(latency_ms))))
    newest = latency_ms[-(wide // bar) :]
    # A frame that cost next to nothing still has a bar; an unknown one has none.
    heights = np.nan_to_num(newest, nan=0.0, posinf=0.0, neginf=0.0) / top * high
    heights = np.where(np.isfinite(newest), np.clip(heights, 1.0, high), 0.0)
    chart.fill(style.panel)
    late = newest > (math.inf if budget_ms is None else budget_ms)
    start = wide - bar * len(newest)
    width = bar - 1 if bar > 2 else bar
    for place, (rows, is_late) in enumerate(zip(np.rint(heights).astype(int), late, strict=True)):
        if rows > 0:
            x = start + bar * place
            chart.pixels[high - rows :, x : x + width] = style.late_bar if is_late else style.bar


def _format_ms(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _draw_video(
    canvas: Canvas,
    image: NDArray[np.uint8] | None,
    people: Sequence[PersonFrame],
    image_size: tuple[int, int] | None,
) -> None:
    high, wide = canvas.height, canvas.width
    if image_size is None:
        image_size = _size_of_keypoints(people) if image is None else image.shape[1::-1]
    scale = min(wide / image_size[0], high / image_size[1])
    fitted = tuple(max(1, min(round(scale * image_size[i]), (wide, high)[i])) for i in (0, 1))
    x, y = (wide - fitted[0]) // 2, (high - fitted[1]) // 2
    part = canvas.part(slice(y, y + fitted[1]), slice(x, x + fitted[0]))
    if image is None:
        part.fill(canvas.style.panel)
    else:
        # Averaging over areas is right for smaller pictures, but four times as slow.
        cv2 = opencv()
        part.pixels[:] = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
    # The names of people follow the size of the picture.
    named = Canvas(canvas.pixels, canvas.style, canvas.size, canvas.size)
    for person in people:
        draw_skeleton_2d(named, person, scale=scale, offset=(x, y))


def _size_of_keypoints(people: Sequence[PersonFrame]) -> tuple[int, int]:
    """Return the size of a picture that contains all keypoints, if nothing else states it."""
    points = [person.keypoints_2d for person in people if person.keypoints_2d is not None]
    every = np.concatenate([np.empty((0, 2)), *points])
    with np.errstate(invalid="ignore"):
        every = every[(np.abs(every) < 1e5).all(axis=1)]
    if not len(every):
        return 16, 9
    wide, high = every.max(axis=0)
    return max(16, math.ceil(1.05 * wide)), max(16, math.ceil(1.05 * high))


def _draw_scenes(canvas: Canvas, scenes: Sequence[Scene], angle: float) -> None:
    style, high, wide = canvas.style, canvas.height, canvas.width
    canvas.fill(style.panel)
    if not scenes:
        at = wide // 2 - canvas.scaled(30), high // 2
        canvas.text("no pose", at, 0.5, style.quiet_text)
    shown = scenes[:MAX_SCENES]
    for number, scene in enumerate(shown):
        start, end = (wide * (number + i) // len(shown) for i in (0, 1))
        cell = canvas.part(slice(high), slice(start, end))
        draw_scene(cell, scene, angle)
        if scene.track_id is not None:
            cell.text(name_of(scene.track_id), (6, canvas.scaled(18)), 0.45, style.text)
    if len(scenes) > len(shown):
        at = wide - canvas.scaled(90), high - canvas.scaled(8)
        canvas.text(f"and {len(scenes) - len(shown)} more", at, 0.42, style.text)
    center = canvas.scaled(44), high - canvas.scaled(46)
    draw_axes(canvas, angle, center=center, length=24 * canvas.letters)


def _draw_left_head(bar: Canvas, time_s: float) -> None:
    style, base = bar.style, bar.height - bar.scaled(7)
    minutes, seconds = divmod(max(0.0, time_s), 60.0)
    used = _put_if_room(bar, f"2D keypoints  {int(minutes)}:{seconds:05.2f}", base)
    wide = bar.scaled(60)
    start = bar.width - wide - bar.scaled(80)
    if start < used + 10:
        return
    bar.text("score 0", (start - bar.scaled(2), base), 0.4, style.quiet_text)
    ramp = start + bar.scaled(56)
    colors = np.array(score_colors(style), dtype=np.uint8)
    shades = colors[np.linspace(0, len(colors) - 1, wide).astype(int)]
    bar.pixels[bar.scaled(8) : bar.scaled(18), ramp : ramp + wide] = shades
    bar.text("1", (ramp + wide + 6, base), 0.4, style.quiet_text)


def _draw_right_head(bar: Canvas, scenes: Sequence[Scene]) -> None:
    base = bar.height - bar.scaled(7)
    steps = [grid_step(scene) for scene in scenes]
    used = _put_if_room(bar, f"3D pose  grid {max(steps):g} m" if steps else "3D pose", base)
    start = bar.width - bar.scaled(96)
    if start > used + 10:
        bar.text("left", (start, base), 0.45, bar.style.left)
        bar.text("right", (start + bar.scaled(44), base), 0.45, bar.style.right)


def _put_if_room(bar: Canvas, text: str, base: int, left: int = 8) -> int:
    """Write a line, without the words that find no room, and return where it ends."""
    words = text.split("  ")
    while words:
        line = "  ".join(words)
        end = left + text_size(line, 0.45 * bar.letters)[0]
        if end < bar.width:
            bar.text(line, (left, base), 0.45, bar.style.text)
            return end
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

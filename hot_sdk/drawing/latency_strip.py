"""The latency of the newest frames as bars under a budget."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.skeleton2d import put_text
from hot_sdk.drawing.style import Style, opencv

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

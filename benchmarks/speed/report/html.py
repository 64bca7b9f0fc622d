"""A record as one page that needs no network: figures by plotly, whose script is inside."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io

from hot_sdk.benchmarks.speed.advice import pareto_front
from hot_sdk.benchmarks.speed.comparison import Comparison
from hot_sdk.benchmarks.speed.evidence import interval_of
from hot_sdk.benchmarks.speed.metrics import METRICS, Limit, frames_per_s, user_latency
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.report.findings import decision_lines
from hot_sdk.benchmarks.speed.report.tables import tables
from hot_sdk.benchmarks.speed.report.text import note_lines, opening_lines

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .3em .7em; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.note, .on { color: #555; font-size: 13px; }
pre { background: #f4f4f4; overflow-wrap: anywhere; padding: .7em; white-space: pre-wrap; }
.decision { background: #eef5ee; border-left: 4px solid #4a7; padding: .4em 1em; }
"""
_HEIGHT = 420
_KEPT, _BROKEN = "#4a7", "#c44"


def as_page(record: Record, budgets: Sequence[Limit], comparison: Comparison | None) -> str:
    """Return the page as HTML."""
    decision = "".join(f"<p>{html.escape(line)}</p>" for line in decision_lines(record, budgets))
    parts = [f"<div class='decision' id='decision'>{decision}</div>"]
    if comparison is not None:
        parts.append(f"<pre>{html.escape(comparison.as_text())}</pre>")
    script = True
    for name, title, figure in _figures(record, budgets):
        drawn = plotly.io.to_html(
            figure,
            full_html=False,
            include_plotlyjs=script,
            div_id=name,
            config={"displaylogo": False},
        )
        script = False
        parts.append(f"<h2>{html.escape(title)}</h2>{drawn}")
    parts += [
        *(table.to_html() for table in tables(record)),
        "<h2>How it was measured</h2>",
        f"<pre>{html.escape(' '.join(record.settings.command))}</pre>",
        *(f"<div class='on'>{html.escape(line)}</div>" for line in opening_lines(record)),
        *(f"<p>{html.escape(line)}</p>" for line in note_lines(record)),
    ]
    body = "\n".join(parts)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<link rel='icon' href='data:,'><title>hot-benchmark</title><style>{_STYLE}</style></head>"
        f"<body><h1>hot-benchmark, {html.escape(record.created)}</h1>{body}</body></html>\n"
    )


def _figures(record: Record, budgets: Sequence[Limit]) -> Iterator[tuple[str, str, Any]]:
    """Yield name, title and figure of every budget, then of everything that was measured."""
    for number, limit in enumerate(budgets):
        if any(limit.metric.of(result) is not None for result in record.results):
            yield f"budget{number}", f"Budget: {limit.text}", _budget(record, limit)
    if any(result.accuracy is not None for result in record.results):
        yield "pareto", "Accuracy against speed", _pareto(record, budgets)
    yield "latency", "Latency: share of calls that take no longer", _latency(record, budgets)
    if any(result.profile is not None and result.profile.blocks for result in record.results):
        yield "blocks", "Time by block", _blocks(record)
    if record.power is not None:
        yield "power", f"Power, {record.power.source}, {record.power.rail}", _power(record)


def _budget(record: Record, limit: Limit) -> Any:  # noqa: ANN401
    """Return each configuration's value with its interval, and the limit as a line."""
    metric = limit.metric
    names, values, above, below, colors = [], [], [], [], []
    for result in reversed(record.results):
        value = metric.of(result)
        if value is None:
            continue
        interval = interval_of(result, metric)
        names.append(result.subject.name)
        values.append(value)
        above.append(0.0 if interval is None else interval.high - value)
        below.append(0.0 if interval is None else value - interval.low)
        colors.append(_KEPT if limit.is_met(value) else _BROKEN)
    figure = _empty(f"{metric.name}, {metric.unit}".rstrip(", "), "")
    figure.add_bar(
        x=values,
        y=names,
        orientation="h",
        marker={"color": colors},
        error_x={"type": "data", "array": above, "arrayminus": below},
        name=metric.name,
    )
    _line(figure, limit, across=True)
    figure.update_layout(height=120 + 32 * len(names), showlegend=False)
    figure.update_yaxes(automargin=True)
    return figure


def _line(figure: Any, limit: Limit, *, across: bool) -> None:  # noqa: ANN401
    """Draw a limit as a line, of what goes across or of what goes up."""
    style = {"line": {"dash": "dash", "color": _BROKEN}, "annotation_text": html.escape(limit.text)}
    if across:
        figure.add_vline(x=limit.number, **style)
    else:
        figure.add_hline(y=limit.number, **style)


def _pareto(record: Record, budgets: Sequence[Limit]) -> Any:  # noqa: ANN401
    points = [
        (result.subject.name, frames_per_s(user_latency(result)), METRICS["mpjpe"].of(result))
        for result in record.results
        if result.accuracy is not None
    ]
    points.sort(key=lambda point: point[1] or 0.0)
    best = pareto_front(record.results)
    figure = _empty("frames a second, end to end", "MPJPE, mm")
    figure.add_scatter(
        x=[point[1] for point in points if point[0] in best],
        y=[point[2] for point in points if point[0] in best],
        mode="lines",
        name="Pareto front",
        line={"dash": "dot"},
    )
    figure.add_scatter(
        x=[point[1] for point in points],
        y=[point[2] for point in points],
        text=[point[0] for point in points],
        mode="markers+text",
        textposition="top center",
        cliponaxis=False,
        name="configurations",
        marker={"size": 10},
    )
    for limit in budgets:
        if limit.metric.name in ("frames_per_s", "mpjpe"):
            _line(figure, limit, across=limit.metric.name == "frames_per_s")
    return figure


def _latency(record: Record, budgets: Sequence[Limit]) -> Any:  # noqa: ANN401
    figure = _empty("ms", "% of calls")
    for result in record.results:
        measure = user_latency(result)
        if measure is not None:
            figure.add_scatter(
                x=list(measure.quantiles_ms), y=list(range(101)), name=result.subject.name
            )
    for limit in budgets:
        if limit.metric.name in ("latency", "latency_median", "latency_p99"):
            _line(figure, limit, across=True)
    return figure


def _blocks(record: Record) -> Any:  # noqa: ANN401
    profiled = [
        (result.subject.name, result.profile)
        for result in record.results
        if result.profile is not None and result.profile.blocks
    ]
    names = list(dict.fromkeys(share.name for _, profile in profiled for share in profile.blocks))
    times = [{share.name: share.ms for share in profile.blocks} for _, profile in profiled]
    figure = _empty("ms under the profiler", "")
    for name in names:
        figure.add_bar(
            x=[each.get(name, 0.0) for each in times],
            y=[subject for subject, _ in profiled],
            orientation="h",
            name=name,
        )
    figure.update_layout(barmode="stack")
    return figure


def _power(record: Record) -> Any:  # noqa: ANN401
    assert record.power is not None
    figure = _empty("s", "W")
    figure.add_scatter(
        x=list(record.power.seconds), y=list(record.power.watts), line={"shape": "hv"}, name="W"
    )
    figure.update_yaxes(rangemode="tozero")
    return figure


def _empty(across: str, up: str) -> Any:  # noqa: ANN401
    return go.Figure(
        layout={
            "template": "plotly_white",
            "height": _HEIGHT,
            "margin": {"t": 40},
            "xaxis": {"title": {"text": across}},
            "yaxis": {"title": {"text": up}},
        }
    )

"""A record as tables of text, from which the terminal, Markdown and the page are made."""

from __future__ import annotations

from collections.abc import Iterator

from hot_sdk.benchmarks.speed.cost_sheets import (
    accuracy_sheet,
    cost_sheet,
    energy_sheet,
    profile_sheet,
    projections_sheet,
)
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.sheet import Sheet
from hot_sdk.benchmarks.speed.time_sheets import (
    ratios_sheet,
    speed_sheet,
    start_sheet,
    streams_sheet,
)


def sheets(record: Record) -> Iterator[Sheet]:
    """Every table that a record has figures for."""
    results = record.results
    yield speed_sheet(results)
    if any(result.stream is not None and result.measure("stream") for result in results):
        yield streams_sheet(results)
    if any(result.ratios for result in results):
        yield ratios_sheet(results)
    yield start_sheet(results)
    if any(result.cost is not None for result in results):
        yield cost_sheet(results)
    if any(result.energy is not None for result in results):
        yield energy_sheet(results)
    if any(result.accuracy is not None for result in results):
        yield accuracy_sheet(results)
    if any(result.profile is not None for result in results):
        yield profile_sheet(results)
    if any(result.projections for result in results):
        yield projections_sheet(results)

"""The reports of a record, each a file in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.optional import require
from hot_sdk._base.records import to_json
from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.speed.comparison import Comparison
from hot_sdk.benchmarks.speed.metrics import Limit
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.report.text import as_csv, as_markdown
from hot_sdk.errors import UsageError

NAME = "benchmark"
"""Name of every report, before its suffix."""

Writer = Callable[[Record, Sequence[Limit], Comparison | None], str]


def _page(record: Record, budgets: Sequence[Limit], comparison: Comparison | None) -> str:
    # Here, since plotly is an optional package.
    from hot_sdk.benchmarks.speed.report.html import as_page

    return as_page(record, budgets, comparison)


_WRITERS: Mapping[str, Writer] = {
    "json": lambda record, _budgets, _comparison: f"{to_json(record)}\n",
    "csv": lambda record, _budgets, _comparison: as_csv(record),
    "md": as_markdown,
    "html": _page,
}

FORMATS = tuple(_WRITERS)


def check_formats(folder: Path, formats: Sequence[str]) -> None:
    """Check, before any heavy work, that the reports can be written.

    Raises:
        UsageError: A format is unknown, or the folder cannot be written.
        MissingDependencyError: The page needs plotly, which is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"Unknown format '{name}'.", hint=closest(name, FORMATS))
        require_writable_target(folder / f"{NAME}.{name}")
    if "html" in formats:
        require("plotly", extra="report", purpose="A page with figures")


def write_reports(
    record: Record,
    folder: Path,
    formats: Sequence[str],
    budgets: Sequence[Limit],
    comparison: Comparison | None,
) -> list[Path]:
    """Write the reports; return the files, named ``benchmark`` with the format as suffix."""
    written = []
    for name in formats:
        target = folder / f"{NAME}.{name}"
        text = _WRITERS[name](record, budgets, comparison)
        with replaced_on_success(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(target)
    return written

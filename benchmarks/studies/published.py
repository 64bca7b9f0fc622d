"""Measure official checkpoints on official data sets, and compare with what was published.

    python benchmarks/studies/published.py --checkpoints checkpoint/pretrained --data-root dataset

Each row of ``published_rows`` is exported by ``hot-export`` and measured by ``hot-eval``; a row
whose checkpoint or data are missing, or that fails, is listed with its reason and never with a
figure. Reports are kept, one file a row: a row that is there already, with the same weights and
commands, is not measured again. docs/reproducing.md says where the files go.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from published_rows import GMACS, MEASURES, MPJPE, NOT_RUN, P_MPJPE, ROWS, PublishedRow

from hot_sdk._base.cli import INTERRUPTED, CommandParser, run_command
from hot_sdk._base.files import (
    replaced_on_success,
    require_writable_folder,
    require_writable_target,
    sha256_of,
)
from hot_sdk._base.progress import Progress
from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.evaluation.cli import main as hot_eval
from hot_sdk.engines import AUTO, list_engines
from hot_sdk.errors import UsageError
from hot_sdk.export.cli import main as hot_export

ALWAYS_SHOWN = (MPJPE, P_MPJPE)
"""Measures that are printed even if no figure was published."""

_GIGA = 1e9


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Attributes:
        row: The row.
        commands: The command lines, as a user would type them.
        report: The report of ``hot-eval``; None if the row was not measured.
        reason: Why it was not measured; empty if it was.
    """

    row: PublishedRow
    commands: tuple[str, ...]
    report: dict[str, Any] | None
    reason: str = ""

    @property
    def headline(self) -> dict[str, Any]:
        """The measures that compare with the published ones."""
        assert self.report is not None
        headline: dict[str, Any] = self.report[self.report["headline"]]
        return headline


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes:
        checkpoints: Folder of the checkpoints' folders.
        data_root: Folder of the data sets' files.
        output_dir: Folder of exported models and reports.
        engine: Further arguments of ``hot-eval``: engine, device, threads.
    """

    checkpoints: Path
    data_root: Path
    output_dir: Path
    engine: tuple[str, ...] = ()


def reproduce(row: PublishedRow, places: Places) -> Outcome:
    """Export and measure one row, unless its report is there already.

    Args:
        row: The row.
        places: Where everything is.

    Raises:
        KeyboardInterrupt: Ctrl-C ended a command.
    """
    name = re.sub(r"\W+", "_", row.name.lower()).strip("_")
    model, kept = places.output_dir / f"{name}.onnx", places.output_dir / f"{name}.json"
    checkpoint = places.checkpoints / row.folder
    export, evaluate = commands(row, places, model)
    typed = (shlex.join(("hot-export", *export)), shlex.join(("hot-eval", *evaluate)))
    if not checkpoint.exists():
        return Outcome(row, typed, None, f"There is no folder '{checkpoint}'.")
    weights = {path.name: sha256_of(path) for path in checkpoint.iterdir() if path.is_file()}
    made_of = {"commands": list(typed), "weights": weights}
    if (earlier := _read(kept)) is not None and earlier.get("made_of") == made_of:
        return Outcome(row, typed, earlier["report"])
    for command, arguments in ((hot_export, export), (hot_eval, evaluate)):
        status, out, error = _captured(command, arguments)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        if status != 0:
            return Outcome(row, typed, None, error)
    report = json.loads(out)
    with replaced_on_success(kept) as temporary:
        temporary.write_text(json.dumps({"made_of": made_of, "report": report}, indent=1) + "\n")
    return Outcome(row, typed, report)


def commands(
    row: PublishedRow, places: Places, model: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the arguments of ``hot-export`` and of ``hot-eval`` for a row."""
    checkpoint = str(places.checkpoints / row.folder)
    export = ["--model", row.family, "--checkpoint", checkpoint, "--trained-on", row.trained_on]
    evaluate = [str(model), "--data", row.data, "--data-root", str(places.data_root)]
    evaluate += ["--protocol", row.protocol, *row.evaluate, *places.engine, "--json"]
    if row.flip == "graph":
        export.append("--flip")
    elif row.flip:
        evaluate.append("--flip")
    return (*export, *row.export, "--output", str(model), "--force"), tuple(evaluate)


def tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """Return the tables: figures, operations, and what was not measured."""
    measured = [outcome for outcome in outcomes if outcome.report is not None]
    missing = [(o.row.name, o.row.folder, o.reason) for o in outcomes if o.report is None]
    missing += [(name, "", reason) for name, reason in NOT_RUN.items()]
    figures = [line for outcome in measured for line in _figure_lines(outcome)]
    header = ("row", "measure", "published in", "published", "measured", "difference")
    operations = ("row", "unit", "published", "counted", "difference, %")
    return [
        Table("Figures", header, tuple(figures), text_columns=3),
        Table("Operations of a window", operations, tuple(map(_cost_line, measured)), "", 2),
        Table("Not measured", ("row", "folder", "why"), tuple(missing), text_columns=3),
    ]


def _figure_lines(outcome: Outcome) -> list[tuple[str, ...]]:
    row = outcome.row
    lines: list[tuple[str, ...]] = []
    for field, title in MEASURES.items():
        found, published = outcome.headline[field], row.figures.get(field)
        if published is None and (found is None or field not in ALWAYS_SHOWN):
            continue
        value = math.nan if found is None else found
        difference = "" if published is None else f"{value - published:+.2f}"
        about = "" if published is None else f"{published:.1f}"
        lines.append((row.name, title, row.source, about, f"{value:.2f}", difference))
    return lines


def _cost_line(outcome: Outcome) -> tuple[str, ...]:
    assert outcome.report is not None
    counted = outcome.report["settings"]["manifest"]["flops"]["papers"] / _GIGA
    published, unit = outcome.row.cost or (math.nan, "GFLOPs")
    counted /= 2.0 if unit == GMACS else 1.0
    known = math.isfinite(published)
    difference = f"{100.0 * (counted / published - 1.0):+.2f}" if known else ""
    about = f"{published:.2f}" if known else ""
    return (outcome.row.name, unit, about, f"{counted:.3f}", difference)


def _captured(
    command: Callable[[Sequence[str]], int], arguments: Sequence[str]
) -> tuple[int, str, str]:
    """Run a command line; return its status, its output, and the last line of its errors."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = command(arguments)
    said = [line for line in errors.getvalue().splitlines() if line.strip()]
    return status, out.getvalue(), said[-1] if said else f"exit status {status}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; returns its exit status."""
    return run_command("published", arguments, _run, interrupted="interrupted; reports are kept")


def _run(arguments: list[str]) -> int:
    about = (__doc__ or "").partition("\n")[0]
    parser = CommandParser(prog="published", description=about)
    add = parser.add_argument
    add("--checkpoints", required=True, type=Path, metavar="DIR", help="folder of the folders")
    add("--data-root", required=True, type=Path, metavar="DIR", help="folder of the data sets")
    out = "folder of models and reports (default: published)"
    add("--output-dir", type=Path, default=Path("published"), metavar="DIR", help=out)
    add("--only", default="", metavar="TEXT", help="only rows whose name contains TEXT")
    add("--page", type=Path, metavar="FILE", help="also write the tables as Markdown")
    add("--engine", choices=(*list_engines(), AUTO), help="inference engine")
    add("--device", metavar="D", help="cpu, cuda or cuda:N")
    add("--threads", metavar="N", help="CPU threads of the engine")
    options = parser.parse(arguments)
    rows = [row for row in ROWS if options.only.lower() in row.name.lower()]
    if not rows:
        names = ", ".join(row.name for row in ROWS)
        raise UsageError(f"No row's name contains '{options.only}'.", hint=f"There are {names}.")
    if options.page is not None:
        require_writable_target(options.page)
    with contextlib.suppress(OSError):
        options.output_dir.mkdir(parents=True, exist_ok=True)
    require_writable_folder(options.output_dir)
    engine = [
        text
        for name in ("engine", "device", "threads")
        if (value := getattr(options, name)) is not None
        for text in (f"--{name}", value)
    ]
    places = Places(options.checkpoints, options.data_root, options.output_dir, tuple(engine))
    outcomes = []
    with Progress("reproducing") as bar:
        for number, row in enumerate(rows):
            bar.update(number, len(rows), task=f"reproducing, {row.name}")
            outcomes.append(reproduce(row, places))
    made = tables(outcomes)
    typed = "\n".join(line for outcome in outcomes for line in outcome.commands)
    print_report([*made, f"Commands:\n{typed}"])
    if options.page is not None:
        page = "\n\n".join([*(table.to_markdown() for table in made), f"```console\n{typed}\n```"])
        with replaced_on_success(options.page) as temporary:
            temporary.write_text(f"{page}\n", encoding="utf-8")
    return 0 if any(outcome.report is not None for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

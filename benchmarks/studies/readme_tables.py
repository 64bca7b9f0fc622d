"""The studies behind the README's claims: calls of ``hot-benchmark``, and the page of their tables.

    python -m hot_sdk.benchmarks.studies.readme_tables   # all of them, on an idle machine
    python -m hot_sdk.benchmarks.studies.readme_tables --only baselines --windows 2 --busy
    python -m hot_sdk.benchmarks.studies.readme_tables --only starter --page docs/benchmarks.md

A study is a command line; its tables go into docs/benchmarks.md below that command. A machine that
does something else gives figures that nobody can use, and is refused unless ``--busy`` is given.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import replaced_on_success
from hot_sdk.benchmarks.machine import BUSY, busy_cpus
from hot_sdk.benchmarks.speed.cli import main as hot_benchmark
from hot_sdk.benchmarks.speed.record import read_record
from hot_sdk.benchmarks.speed.report.text import as_markdown
from hot_sdk.engines import list_engines
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.host.machine import this_machine

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
"""The studies' sections stand between these two in a page."""

_PROGRAM = "studies"
_LIBRARIES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}
"""The package of each engine that runs on a CPU without torch."""


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        name: Of its folder.
        title: Its heading.
        about: The question.
        arguments: Of ``hot-benchmark``, without what all studies share.
    """

    name: str
    title: str
    about: str
    arguments: tuple[str, ...]


def studies() -> tuple[Study, ...]:
    """All studies, with the engines that are installed here."""
    engines = [
        name
        for name in list_engines()
        if name in _LIBRARIES and importlib.util.find_spec(_LIBRARIES[name]) is not None
    ]
    published = ("mixste", "--random-weights")
    return (
        Study(
            "hourglass",
            "The hourglass against the plain network",
            "How much of the FLOPs that pruning saves becomes time, at the published size? Weights"
            " are random: they change no time.",
            (*published, "--ratios", "1,0.75,0.5,0.33", "--engines", ",".join(engines)),
        ),
        Study(
            "baselines",
            "Against PyTorch and a plain export",
            "How does the exported file compare with the same network in PyTorch, compiled by"
            " torch.compile, and exported by torch.onnx with its defaults? The first row is PyTorch"
            " as it is; the table of starts gives start-up time and memory of each.",
            (*published, "--ratios", "0.33", "--baseline", "eager,compile,torch-onnx"),
        ),
        Study(
            "precisions",
            "Precision and engine",
            "How much faster than plain MixSTE in PyTorch, the first row, does pruning, a lower"
            " precision and the engine make it together? Accuracy does not show here, for the"
            " weights are random.",
            (
                *(*published, "--ratios", "1,0.33", "--precisions", "fp32,int8,int8-dynamic"),
                *("--engines", ",".join(engines), "--baseline", "eager", "--measure", "window"),
            ),
        ),
        Study(
            "starter-precisions",
            "The starter model in each precision",
            "What does int8 cost in millimetres, and is it faster, of the model that ships?",
            (
                *("mixste", "--ratios", "0.5", "--precisions", "fp32,int8,int8-dynamic"),
                *("--engines", ",".join(engines), "--data", "starter-val"),
            ),
        ),
        Study(
            "starter",
            "The starter model: accuracy and speed",
            "What does each ratio of the model that ships cost, in milliseconds and in"
            " millimetres?",
            (
                *("mixste", "--ratios", "1,0.75,0.5,0.33,0.2", "--data", "starter-val"),
                *("--profile", "--stream", "hop=4,lookahead=5", "--budget", "latency<33ms"),
            ),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(_PROGRAM, arguments, _run)


def _run(arguments: list[str]) -> int:
    parser = CommandParser(prog=_PROGRAM, description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--only", metavar="NAME", help=f"{', '.join(study.name for study in studies())}")
    add("--output", type=Path, default=Path("out/bench"), metavar="DIR", help="folder of records")
    page = "page that takes the tables, such as docs/benchmarks.md"
    add("--page", type=Path, metavar="FILE", help=page)
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default 2)")
    add("--windows", type=int, metavar="N", help="counted runs, to try a study")
    add("--busy", action="store_true", help="measure although the machine is busy")
    add("--verbose", "-v", action="store_true", help="say more on standard error")
    options = parser.parse(arguments)
    chosen = [study for study in studies() if options.only in (None, study.name)]
    if not chosen:
        raise UsageError(f"There is no study '{options.only}'.", hint="See --help.")
    if options.page is not None:
        if not options.page.is_file():
            raise UsageError(f"There is no page '{options.page}'.", hint="Check the path.")
        with_tables(options.page.read_text(encoding="utf-8"), {})
    busy = busy_cpus(this_machine())
    if busy is not None and busy > BUSY and not options.busy:
        raise EngineError(
            f"The machine is busy ({busy:.2f} CPUs); its times would tell nothing.",
            hint="Wait until it is idle, or give --busy to try.",
        )
    shared = ["--threads", str(options.threads)]
    if options.windows is not None:
        shared += ["--windows", str(options.windows)]
    made = {}
    for study in chosen:
        folder = options.output / study.name
        folder.mkdir(parents=True, exist_ok=True)
        asked = [*study.arguments, *shared, "--output", str(folder), "--format", "json,html"]
        sys.stderr.write(f"{_PROGRAM}: {study.title}\n")
        with contextlib.redirect_stdout(io.StringIO()):
            status = hot_benchmark(asked)
        if status != 0:
            return status
        tables = as_markdown(read_record(folder / "benchmark.json"), ())
        made[study.title] = f"## {study.title}\n\n{study.about}\n\n{tables}"
    if options.page is None:
        sys.stdout.write("\n".join(made.values()))
        return 0
    text = with_tables(options.page.read_text(encoding="utf-8"), made)
    with replaced_on_success(options.page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def with_tables(page: str, made: Mapping[str, str]) -> str:
    """A page with other tables between its two marks, and all else as it was.

    Args:
        page: Markdown.
        made: The section of each study that has run, by its title; those of the others stay.

    Raises:
        UsageError: The page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(
            f"The page has no '{BEGIN}' and '{END}' for tables to go between.",
            hint="Put both into it, or leave --page out.",
        )
    there = {
        section.partition("\n")[0].removeprefix("## "): f"{section.rstrip()}\n"
        for section in re.split(r"^(?=## )", old, flags=re.MULTILINE)
        if section.startswith("## ")
    }
    sections = {**there, **made}
    tables = "\n".join(sections[study.title] for study in studies() if study.title in sections)
    return f"{before}{begin}\n\n{tables}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())

"""Run the studies behind the README's claims: ``hot-benchmark`` commands, and the page of tables.

    python benchmarks/studies/readme_tables.py   # all of them, on an idle machine
    python benchmarks/studies/readme_tables.py --only baselines --runs 2 --busy
    python benchmarks/studies/readme_tables.py --only starter --page docs/benchmarks.md

A study is a command line; its tables go into docs/benchmarks.md below that command, and what they
show, in sentences, to the head of the page. A busy machine gives unreliable figures, and is refused
unless ``--busy`` is given.
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
from hot_sdk.benchmarks.speed.report.findings import findings_section
from hot_sdk.benchmarks.speed.report.text import as_markdown
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.host.machine import this_machine

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
"""The sections of the studies stand between these two in a page."""

FINDINGS, FINDINGS_END = "<!-- findings -->", "<!-- end of findings -->"
"""What the studies found stands between these two, at the page's beginning."""

_PROGRAM = "readme_tables"


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        name: The name of its folder.
        title: Its heading.
        about: The question that it answers.
        arguments: Arguments of ``hot-benchmark``, without those that all studies share.
    """

    name: str
    title: str
    about: str
    arguments: tuple[str, ...]


def studies() -> tuple[Study, ...]:
    """Return all studies, with the engines that are installed here."""
    installed = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]
    engines = ("--engines", ",".join(installed))
    published = ("mixste", "--random-weights")
    precisions = ("--precisions", "fp32,int8,int8-dynamic")
    return (
        Study(
            "hourglass",
            "The hourglass against the plain network",
            "How much of the FLOPs that pruning saves becomes time, at the published size? Weights"
            " are random: they change no time.",
            (*published, "--ratios", "1,0.75,0.5,0.33", *engines),
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
                *(*published, "--ratios", "1,0.33", *precisions, *engines),
                *("--baseline", "eager", "--measure", "window"),
            ),
        ),
        Study(
            "starter-precisions",
            "The starter model in each precision",
            "What does int8 cost in millimeters, and is it faster, of the model that ships?",
            ("mixste", "--ratios", "0.5", *precisions, *engines, "--data", "starter-val"),
        ),
        Study(
            "starter",
            "The starter model: accuracy and speed",
            "What does each ratio of the model that ships cost, in milliseconds and in"
            " millimeters?",
            (
                *("mixste", "--ratios", "1,0.75,0.5,0.33,0.2", "--data", "starter-val"),
                *("--profile", "--lookahead", "5", "--hop", "4", "--budget", "latency<33ms"),
            ),
        ),
        Study(
            "start",
            "From the start of a program to the first poses",
            "How long does a robot's program, and hot-infer, take until the first poses, and where"
            " does the time go? What does a push to a stream cost beside the engine?",
            (
                *("starter", "--measure", "window,stream,start,command"),
                *("--lookahead", "5", "--hop", "4"),
            ),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(_PROGRAM, arguments, _run)


def _run(arguments: list[str]) -> int:
    parser = CommandParser(prog=_PROGRAM, description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--only", choices=[study.name for study in studies()], help="one study (default: all)")
    folder = "folder for records (default: out/bench)"
    add("--output-dir", "-o", type=Path, default=Path("out/bench"), metavar="DIR", help=folder)
    page = "page to write the tables into, such as docs/benchmarks.md"
    add("--page", type=Path, metavar="FILE", help=page)
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    add("--runs", type=int, metavar="N", help="counted runs, to try a study")
    add("--busy", action="store_true", help="measure although the machine is busy")
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    if options.page is not None:
        if not options.page.is_file():
            raise UsageError(f"There is no page '{options.page}'.", hint="Check the path.")
        with_tables(with_findings(options.page.read_text(encoding="utf-8"), {}), {})
    busy = busy_cpus(this_machine())
    if busy is not None and busy > BUSY and not options.busy:
        raise EngineError(
            f"The machine is busy ({busy:.2f} CPUs); timings would be unreliable.",
            hint="Wait until it is idle, or give --busy to try.",
        )
    shared = ["--threads", str(options.threads), "--format", "json,html"]
    if options.runs is not None:
        shared += ["--runs", str(options.runs)]
    sections, found = {}, {}
    for study in studies():
        if options.only not in (None, study.name):
            continue
        output = options.output_dir / study.name
        output.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f"{_PROGRAM}: {study.title}\n")
        with contextlib.redirect_stdout(io.StringIO()):
            status = hot_benchmark([*study.arguments, *shared, "--output-dir", str(output)])
        if status != 0:
            return status
        record = read_record(output / "benchmark.json")
        found[study.title] = findings_section(study.title, study.about, record)
        tables = as_markdown(record, ())
        sections[study.title] = f"## {study.title}\n\n{study.about}\n\n{tables}"
    if options.page is None:
        sys.stdout.write("\n".join([*found.values(), *sections.values()]))
        return 0
    text = with_findings(options.page.read_text(encoding="utf-8"), found)
    text = with_tables(text, sections)
    with replaced_on_success(options.page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def with_tables(page: str, sections: Mapping[str, str]) -> str:
    """Return a page with sections replaced between its two marks, and all else as it was.

    Args:
        page: Markdown.
        sections: The section of each study that has run, by its title; those of the others stay.

    Raises:
        UsageError: The page has no such marks.
    """
    return _with_sections(page, (BEGIN, END), "## ", sections)


def with_findings(page: str, sections: Mapping[str, str]) -> str:
    """Return a page with the findings of studies replaced, and all else as it was.

    Args:
        page: Markdown.
        sections: The findings of each study that has run, by its title; those of the others stay.

    Raises:
        UsageError: The page has no marks for findings.
    """
    return _with_sections(page, (FINDINGS, FINDINGS_END), "### ", sections)


def _with_sections(
    page: str, marks: tuple[str, str], heading: str, sections: Mapping[str, str]
) -> str:
    """Return a page with sections replaced between two marks, in the order of the studies."""
    before, begin, rest = page.partition(marks[0])
    old, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise UsageError(
            f"The page has no '{marks[0]}' and '{marks[1]}' for sections to go between.",
            hint="Put both into it, or leave --page out.",
        )
    kept = {
        section.partition("\n")[0].removeprefix(heading): f"{section.rstrip()}\n"
        for section in re.split(rf"^(?={heading})", old, flags=re.MULTILINE)
        if section.startswith(heading)
    }
    found = {**kept, **sections}
    inside = "\n".join(found[study.title] for study in studies() if study.title in found)
    return f"{before}{begin}\n\n{inside}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())

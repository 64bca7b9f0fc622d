"""``hot-benchmark``: the numbers that an engineer decides by."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hot_sdk._base.cli import INTERRUPTED, CommandParser, run_command
from hot_sdk._base.progress import Progress
from hot_sdk._base.records import to_json
from hot_sdk.benchmarks.evaluation.data_sets import DATA_SETS, check_asked, data_set
from hot_sdk.benchmarks.machine import stamp_of
from hot_sdk.benchmarks.power import SOURCES
from hot_sdk.benchmarks.power.registry import check_source
from hot_sdk.benchmarks.roofline import board, list_boards
from hot_sdk.benchmarks.speed.comparison import Comparison, compare, failures, require_alike
from hot_sdk.benchmarks.speed.extras import Wanted
from hot_sdk.benchmarks.speed.figures import KINDS, parse_limit
from hot_sdk.benchmarks.speed.measure import MEASURES, Effort
from hot_sdk.benchmarks.speed.messages import BASELINES, Streaming
from hot_sdk.benchmarks.speed.options import Asked
from hot_sdk.benchmarks.speed.options import check_asked as check_plan
from hot_sdk.benchmarks.speed.plan import plan_configurations
from hot_sdk.benchmarks.speed.record import Record, read_record
from hot_sdk.benchmarks.speed.report import FORMATS, check_formats, write_reports
from hot_sdk.benchmarks.speed.report.text import show
from hot_sdk.benchmarks.speed.run import run_benchmark
from hot_sdk.doctor import this_machine
from hot_sdk.engines import list_engines
from hot_sdk.errors import UsageError

LIMIT_BROKEN = 16
"""Exit status when ``--fail-if`` found a configuration to fail; no error of
``hot_sdk.errors`` has it."""

_DURATION_S = 5.0
_PROFILE_RUNS = 20
_Value = TypeVar("_Value")

_FIGURES = "\n".join(
    f"  {kind.name:<16} {kind.about}{f', {kind.unit}' if kind.unit else ''}"
    for kind in KINDS.values()
)
_EPILOG = f"""\
examples:
  hot-benchmark mixste_t243_r0.50.onnx mixste_t243_r1.00.onnx --threads 4
  hot-benchmark mixste --ratios 1,0.75,0.5,0.33 --data starter-val --output out --format json,html
  hot-benchmark model.onnx --stream hop=4,lookahead=5 --power ina3221 --budget 'latency<33ms'
  hot-benchmark model.onnx --compare out/benchmark.json --fail-if 'frames_per_s<0.95*old'

figures for --budget and --fail-if:
{_FIGURES}

exit status:
  0 measured                  8 engine, device or source of power refused
  1 internal error           11 earlier record broken, or of another machine
  2 wrong arguments          14 data set missing, broken or unsafe
  3 package not installed    16 --fail-if holds
  7 model's manifest broken 130 interrupted; what was measured is reported
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(
        "hot-benchmark", arguments, _run, interrupted="interrupted before anything was measured"
    )


def build_parser() -> CommandParser:
    """The parser, with every option."""
    parser = CommandParser(
        prog="hot-benchmark",
        description="Measure latency, throughput, memory, energy and accuracy of exported models,"
        " several in turn, as Pose3DEngine serves them.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        metavar="MODEL",
        help="files made by hot-export, or families that are exported first; the first is what the"
        " others are compared with",
    )
    what = parser.add_argument_group("what is measured")
    add = what.add_argument
    add("--engines", type=_several(str), default=(), metavar="E[,E...]",
        help=f"inference engines: {', '.join(list_engines())}")  # fmt: skip
    add("--devices", type=_several(str), default=("cpu",), metavar="D[,D...]",
        help="devices: cpu, cuda, cuda:N, gpu, npu")  # fmt: skip
    add("--threads", type=int, metavar="N", help="CPU threads of the engine (default: its choice)")
    add("--batch", type=int, metavar="N", help="windows in one call (default: the file's, or 1)")
    add("--stream", type=_streaming, default=Streaming(), metavar="hop=N,lookahead=N",
        help="how the stream is run (default hop=1,lookahead=0)")  # fmt: skip
    add("--measure", type=_several(str), default=MEASURES, metavar="M[,M...]",
        help=f"what is timed: {', '.join(MEASURES)} (default: both)")  # fmt: skip
    add("--cache-dir", type=Path, metavar="DIR", help="keep what engines build, and time both")
    families = parser.add_argument_group("families, which are exported first")
    add = families.add_argument
    add("--ratios", type=_several(float), default=(), metavar="R[,R...]",
        help="frames kept over frames; 1 is the plain network")  # fmt: skip
    add("--precisions", type=_several(str), default=(), metavar="P[,P...]",
        help="precisions to export (default fp32)")  # fmt: skip
    add("--checkpoint", type=Path, metavar="FILE", help="weights (default: the starter's)")
    add("--random-weights", action="store_true", help="no weights: for speed only")
    add("--frames", type=int, metavar="N", help="frames of a window (default: as published)")
    add("--baseline", type=_several(str), default=(), metavar="B[,B...]",
        help=f"also measure the network as {', '.join(BASELINES)}")  # fmt: skip
    effort = parser.add_argument_group("how long")
    add = effort.add_argument
    add("--duration", type=float, metavar="S",
        help=f"counted seconds of each measure, at least (default {_DURATION_S:g})")  # fmt: skip
    add("--windows", type=int, metavar="N", help="counted runs of each measure instead")
    more = parser.add_argument_group("what else is looked at")
    add = more.add_argument
    add("--profile", action="store_true", help="time by block of the network")
    add("--power", default="auto", metavar="SOURCE", help=f"{', '.join(SOURCES)} (default auto)")
    add("--project", type=_several(str), default=(), metavar="B[,B...]",
        help=f"roofline bounds for boards: {', '.join(list_boards())}")  # fmt: skip
    add("--data", metavar="D", help=f"accuracy on a data set: {', '.join(DATA_SETS)}")
    add("--root", type=Path, metavar="DIR", help="folder of the data set's files")
    add("--views", type=int, metavar="N", help="of starter-val: cameras of each sequence, 1 to 4")
    add("--budget", action="append", default=[], metavar="LIMIT",
        help="advise for a limit, such as 'latency<33ms'; may be repeated")  # fmt: skip
    reports = parser.add_argument_group("reports")
    add = reports.add_argument
    add("--output", "-o", type=Path, metavar="DIR", help="folder of the reports and exports")
    add("--format", type=_several(str), default=("json",), metavar="F[,F...]",
        help=f"reports to write there: {', '.join(FORMATS)} (default json)")  # fmt: skip
    add("--compare", type=Path, metavar="OLD.json", help="say what changed since an earlier record")
    add("--any-machine", action="store_true", help="compare although the machines differ")
    add("--fail-if", action="append", default=[], metavar="LIMIT",
        help="end with 16 if it holds, such as 'frames_per_s<0.95*old'")  # fmt: skip
    parser.add_shared_arguments()
    return parser


def _several(kind: Callable[[str], _Value]) -> Callable[[str], tuple[_Value, ...]]:
    def read(text: str) -> tuple[_Value, ...]:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())

    read.__name__ = f"list of {kind.__name__}"
    return read


def _streaming(text: str) -> Streaming:
    values = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if name.strip() not in ("hop", "lookahead") or not equals or not value.strip().isdecimal():
            raise argparse.ArgumentTypeError(f"'{text}' is not of the form hop=N,lookahead=N")
        values[name.strip()] = int(value)
    return Streaming(**values)


def _run(arguments: list[str]) -> int:
    options = build_parser().parse(arguments)
    wanted, old = _checked(options)
    budgets = [parse_limit(text, of_old=False) for text in options.budget]
    limits = [parse_limit(text, of_old=True) for text in options.fail_if]
    if any(limit.of_old for limit in limits) and old is None:
        raise UsageError("'old' is of an earlier record.", hint="Give --compare OLD.json too.")
    machine = this_machine()
    if old is not None and not options.any_machine:
        require_alike(stamp_of(machine), old.machine)
    with tempfile.TemporaryDirectory(prefix="hot-benchmark-") as folder:
        asked = _asked(options, Path(folder))
        check_plan(asked)
        command = ["hot-benchmark", *arguments]
        with Progress("starting", lines_of="hot-benchmark", quiet=options.json) as progress:

            def tell(task: str, share: float | None = None) -> None:
                progress.update(share or 0.0, None if share is None else 1.0, task=task)

            configurations = plan_configurations(asked, tell)
            record = run_benchmark(
                configurations, wanted, machine, [shlex.quote(word) for word in command],
                tell,
            )  # fmt: skip
    comparison = None if old is None else compare(record, old)
    _report(record, options, comparison)
    if options.json:
        sys.stdout.write(f"{to_json(record)}\n")
    else:
        show(record, budgets)
        if comparison is not None:
            sys.stdout.write(f"\n{comparison.as_text()}\n")
    broken = failures(record, old, limits)
    for text in broken:
        sys.stderr.write(f"hot-benchmark: {text}\n")
    if record.interrupted:
        return INTERRUPTED
    return LIMIT_BROKEN if broken else 0


def _checked(options: argparse.Namespace) -> tuple[Wanted, Record | None]:
    """What is looked at, and the earlier record, checked before any heavy work."""
    if options.duration is not None and options.windows is not None:
        raise UsageError("Both --duration and --windows are given.", hint="Give one of them.")
    for flag, value in (("--duration", options.duration), ("--windows", options.windows),
                        ("--batch", options.batch)):  # fmt: skip
        if value is not None and not value > 0:
            raise UsageError(f"{flag} is {value:g}; expected more than 0.", hint="Leave it out.")
    for measure in options.measure:
        if measure not in MEASURES:
            raise UsageError(f"Unknown measure '{measure}'.", hint=f"Known: {', '.join(MEASURES)}.")
    if not options.measure or not options.devices:
        raise UsageError("A list is empty.", hint="Leave the argument out for its default.")
    check_source(options.power)
    for key in options.project:
        board(key)
    if options.data is not None:
        check_asked(data_set(options.data), options.root, keypoints=None, views=options.views)
    elif options.root is not None or options.views is not None:
        raise UsageError("--root and --views are of --data.", hint="Give --data too.")
    if options.output is None and options.format != ("json",):
        raise UsageError("Reports need a folder.", hint="Give --output DIR.")
    if options.output is not None:
        check_formats(options.output, options.format)
    if options.cache_dir is not None:
        options.cache_dir.mkdir(parents=True, exist_ok=True)
    old = None if options.compare is None else read_record(options.compare)
    duration = None if options.windows is not None else options.duration or _DURATION_S
    return (
        Wanted(
            effort=Effort(duration, options.windows, tuple(options.measure)),
            streaming=options.stream,
            cache_dir=options.cache_dir,
            profile_runs=_PROFILE_RUNS if options.profile else 0,
            power=options.power,
            boards=tuple(options.project),
            data=options.data,
            root=options.root,
            views=options.views,
        ),
        old,
    )


def _asked(options: argparse.Namespace, folder: Path) -> Asked:
    return Asked(
        models=tuple(options.models),
        ratios=tuple(options.ratios),
        engines=tuple(options.engines),
        devices=tuple(options.devices),
        precisions=tuple(options.precisions),
        batch=options.batch,
        threads=options.threads,
        baselines=tuple(options.baseline),
        checkpoint=options.checkpoint,
        random_weights=options.random_weights,
        frames=options.frames,
        folder=folder if options.output is None else options.output,
        streaming=options.stream,
        cache_dir=options.cache_dir,
    )


def _report(record: Record, options: argparse.Namespace, comparison: Comparison | None) -> None:
    if options.output is None:
        return
    budgets = [parse_limit(text, of_old=False) for text in options.budget]
    made = write_reports(record, options.output, options.format, budgets, comparison)
    if not options.json:
        sys.stderr.write("".join(f"hot-benchmark: made {path}\n" for path in made))

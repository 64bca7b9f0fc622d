"""``hot-benchmark``: the numbers that an engineer decides by."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hot_sdk._base.cli import INTERRUPTED, CommandParser, run_command
from hot_sdk._base.leftovers import temporary_folder
from hot_sdk._base.progress import Progress
from hot_sdk._base.records import to_json
from hot_sdk._base.tables import print_report
from hot_sdk.benchmarks.evaluation.data_sets import DATA_SETS
from hot_sdk.benchmarks.machine import stamp_machine
from hot_sdk.benchmarks.power import SOURCES
from hot_sdk.benchmarks.roofline import list_boards
from hot_sdk.benchmarks.speed.comparison import compare, compare_in_turn, require_same_machine
from hot_sdk.benchmarks.speed.gate import judge
from hot_sdk.benchmarks.speed.messages import BASELINES, MEASURES, USUAL_MEASURES
from hot_sdk.benchmarks.speed.metrics import METRICS, parse_limit
from hot_sdk.benchmarks.speed.options import BenchmarkOptions, check_options
from hot_sdk.benchmarks.speed.plan import plan_configurations
from hot_sdk.benchmarks.speed.record import read_record
from hot_sdk.benchmarks.speed.report import FORMATS, check_formats, write_reports
from hot_sdk.benchmarks.speed.report.text import report_parts
from hot_sdk.benchmarks.speed.run import run_benchmark
from hot_sdk.engines import list_engines
from hot_sdk.errors import UsageError
from hot_sdk.export.enums import DATA_SETS as TRAINING_SETS
from hot_sdk.export.enums import Precision
from hot_sdk.host.machine import this_machine
from hot_sdk.starter import STARTER, STARTER_LIVE, resolve_model

LIMIT_BROKEN = 16
"""Exit status when ``--fail-if`` found a configuration to fail; no error of
``hot_sdk.errors`` has it."""

UNDECIDED = 18
"""Exit status when a limit of ``--fail-if`` could be neither failed nor passed, or nothing timed be
compared: from too few runs, or on a busy machine. No error of ``hot_sdk.errors`` has it."""

_DURATION_S = 5.0
_PROFILE_RUNS = 20
_Value = TypeVar("_Value")

_METRICS = "\n".join(
    f"  {metric.name:<15} {metric.unit:<3} {metric.about}" for metric in METRICS.values()
)
_EPILOG = f"""\
examples:
  hot-benchmark starter --threads 4
  hot-benchmark mixste_t243_r0.50.onnx mixste_t243_r1.00.onnx --threads 4
  hot-benchmark mixste --ratios 1,0.5 --data starter-val --output-dir out
  hot-benchmark m.onnx --hop 1,2,4 --budget 'per_new_frame<10ms' --budget 'delay<250ms'
  hot-benchmark new.onnx --against old.onnx --fail-if 'frames_per_s<0.95*old'
  hot-benchmark m.onnx --compare out/benchmark.json --fail-if 'memory>1.1*old'

metrics for --budget and --fail-if:
{_METRICS}

exit status:
  0 measured                  8 engine, device or source of power refused
  1 internal error           11 earlier record broken, or of another machine
  2 wrong arguments          14 data set missing, broken or unsafe
  3 package not installed    16 --fail-if is met
  7 model's manifest broken  18 no verdict: too few runs, or a busy machine
                            130 interrupted; what was measured is reported
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_command(
        "hot-benchmark", arguments, _run, interrupted="interrupted before anything was measured"
    )


def build_parser() -> CommandParser:
    """Return the parser, with every option."""
    parser = CommandParser(
        prog="hot-benchmark",
        description="Measure latency, throughput, memory, energy and accuracy of exported\n"
        "models, several in turn, as Pose3DEngine serves them.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("models", type=_model, nargs="+", metavar="MODEL",
        help="file made by hot-export, 'starter', 'starter-live', or family to export first; the"
        " first is the reference of the others")  # fmt: skip
    add = parser.add_argument_group("measurement").add_argument
    add("--engines", type=_several(str), default=(), metavar=_list_of(list_engines()),
        help="inference engines (default: the one of each file's format)")  # fmt: skip
    add("--devices", type=_several(str), default=("cpu",), metavar="D[,D...]",
        help="devices: cpu, cuda[:N], gpu[:N], npu (default: cpu)")  # fmt: skip
    add("--threads", type=int, metavar="N", help="CPU threads of the engine (default: its choice)")
    add("--batch", type=int, metavar="N", help="windows in one call (default: the file's, or 1)")
    add("--lookahead", dest="lookaheads", type=_several(int), default=(0,), metavar="N[,N...]",
        help="later frames that each pose of a stream waits for (default: 0)")  # fmt: skip
    add("--hop", dest="hops", type=_several(int), default=(1,), metavar="N[,N...]",
        help="frames of a stream between runs of the engine (default: 1)")  # fmt: skip
    add("--people", type=int, default=1, metavar="N", help="people in a stream (default: 1)")
    add("--measure", dest="measures", type=_several(str), default=USUAL_MEASURES,
        metavar=_list_of(MEASURES),
        help="what to time (default: window and stream); start: a program until its first poses;"
        " command: hot-infer as a whole")  # fmt: skip
    add("--duration", dest="duration_s", type=float, metavar="S",
        help=f"counted seconds of each measure, at least (default: {_DURATION_S:g})")  # fmt: skip
    add("--runs", type=int, metavar="N", help="counted runs of each measure instead")
    add("--cache-dir", type=Path, metavar="DIR", help="keep what engines build, and time both")
    add("--largest-batch", type=int, metavar="N", help="most windows in one run of an open batch")
    add = parser.add_argument_group("families, which are exported first").add_argument
    add("--ratios", type=_several(float), default=(), metavar="R[,R...]",
        help="fractions of frames kept (0-1]; 1 disables pruning")  # fmt: skip
    add("--precisions", type=_several(str), default=(),
        metavar=_list_of([precision.value for precision in Precision]),
        help="precisions to export (default: fp32)")  # fmt: skip
    add("--checkpoint", type=Path, metavar="FILE", help="weights (default: the starter's)")
    add("--random-weights", action="store_true", help="use random weights, to measure speed only")
    add("--frames", type=int, metavar="N", help="frames of a window (default: as published)")
    add("--trained-on", choices=TRAINING_SETS, help="data set of the checkpoint, as for hot-export")
    add("--root-relative", choices=("yes", "no"), help="what it predicts, as for hot-export")
    add("--baseline", dest="baselines", type=_several(str), default=(),
        metavar=_list_of(BASELINES),
        help="also measure the network in PyTorch, or as a plain export")  # fmt: skip
    add = parser.add_argument_group("further measurements").add_argument
    add("--profile", dest="profile_runs", action="store_const", const=_PROFILE_RUNS, default=0,
        help="time by block of the network")  # fmt: skip
    add("--power", default="auto", choices=SOURCES, help="source of power (default: auto)")
    add("--roofline", dest="boards", type=_several(str), default=(), metavar="BOARD[,BOARD...]",
        help=f"roofline bounds for boards: {', '.join(list_boards())}")  # fmt: skip
    add("--data", choices=tuple(DATA_SETS), help="accuracy on a data set")
    add("--data-root", type=Path, metavar="DIR", help="folder of the data set's files")
    add("--stream-accuracy", action="store_true", help="and that of each stream, which takes long")
    add("--views", type=int, metavar="N", help="cameras of each sequence of starter-val, 1 to 4")
    add = parser.add_argument_group("reports").add_argument
    add("--output-dir", "-o", dest="folder", type=Path, metavar="DIR",
        help="folder for reports and exports")  # fmt: skip
    add("--format", type=_several(str), default=("json",), metavar=_list_of(FORMATS),
        help="reports to write there (default: json)")  # fmt: skip
    add("--budget", action="append", default=[], metavar="LIMIT",
        help="advise for a limit, such as 'latency<33ms'; several: for all together")  # fmt: skip
    add("--against", type=_model, metavar="OLD",
        help="file to measure in turn with the others, which are compared with it")  # fmt: skip
    add("--compare", type=Path, metavar="OLD.json", help="report changes since an earlier record;"
        " surer: --against")  # fmt: skip
    add("--any-machine", action="store_true", help="compare even if the machines differ")
    add("--fail-if", action="append", default=[], metavar="LIMIT",
        help="exit with 16 if met, such as 'frames_per_s<0.95*old'; repeatable")  # fmt: skip
    parser.add_shared_arguments()
    return parser


def _several(kind: Callable[[str], _Value]) -> Callable[[str], tuple[_Value, ...]]:
    def read(text: str) -> tuple[_Value, ...]:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())

    read.__name__ = f"list of {kind.__name__}"
    return read


def _list_of(names: Sequence[str]) -> str:
    return f"{{{','.join(names)}}}[,...]"


def _run(arguments: list[str]) -> int:
    parsed = build_parser().parse(arguments)
    budgets = [parse_limit(text, allow_baseline=False) for text in parsed.budget]
    limits = [parse_limit(text, allow_baseline=True) for text in parsed.fail_if]
    if parsed.compare is not None and parsed.against is not None:
        raise UsageError(
            "Both --compare and --against are given.", hint="Use one of them; the second is surer."
        )
    relative = any(limit.is_relative for limit in limits)
    if relative and parsed.compare is None and parsed.against is None:
        raise UsageError(
            "'old' needs an earlier record, or an earlier file.",
            hint="Add --compare OLD.json, or --against OLD.onnx.",
        )
    if parsed.folder is not None:
        check_formats(parsed.folder, parsed.format)
    elif parsed.format != ("json",):
        raise UsageError("Reports need a folder.", hint="Add --output-dir DIR.")
    old = None if parsed.compare is None else read_record(parsed.compare)
    machine = this_machine()
    if old is not None and not parsed.any_machine:
        require_same_machine(stamp_machine(machine), old.machine)
    with temporary_folder("hot-benchmark") as folder:
        options = options_of(parsed, folder)
        check_options(options)
        if options.cache_dir is not None:
            options.cache_dir.mkdir(parents=True, exist_ok=True)
        command = [shlex.quote(word) for word in ["hot-benchmark", *arguments]]
        with Progress("starting", lines_of="hot-benchmark", quiet=parsed.json) as progress:
            configurations = plan_configurations(options, progress)
            record = run_benchmark(configurations, options, machine, command, progress)
    comparison = compare_in_turn(record) if old is None else compare(record, old)
    written = []
    if parsed.folder is not None:
        written = write_reports(record, parsed.folder, parsed.format, budgets, comparison)
    if parsed.json:
        sys.stdout.write(f"{to_json(record)}\n")
    else:
        sys.stderr.write("".join(f"hot-benchmark: wrote {path}\n" for path in written))
        text = "" if comparison is None else comparison.as_text()
        print_report([*report_parts(record, budgets), text])
    verdicts = judge(record, old, limits)
    found = (*verdicts.failed, *verdicts.undecided)
    sys.stderr.write("".join(f"hot-benchmark: {text}\n" for text in found))
    if record.interrupted:
        return INTERRUPTED
    if verdicts.failed:
        return LIMIT_BROKEN
    # A comparison that is judged by limits is judged by them alone.
    nothing_compared = not limits and comparison is not None and comparison.is_undecided
    return UNDECIDED if verdicts.undecided or nothing_compared else 0


def options_of(parsed: argparse.Namespace, folder: Path) -> BenchmarkOptions:
    """Return the options of a parsed command line.

    Args:
        parsed: What the parser returned; its names are those of the options.
        folder: Where exported files go without ``--output-dir``.
    """
    names = [field.name for field in dataclasses.fields(BenchmarkOptions)]
    options = BenchmarkOptions(**{name: getattr(parsed, name) for name in names})
    if options.duration_s is None and options.runs is None:
        options = dataclasses.replace(options, duration_s=_DURATION_S)
    return options if parsed.folder is not None else dataclasses.replace(options, folder=folder)


def _model(text: str) -> str:
    return str(resolve_model(text)) if text in (STARTER, STARTER_LIVE) else text

"""Build plans of every published network in every way that it can be exported, without a GPU.

    PYTHONPATH=tests/support python tests/engines/engine_builds.py [--minutes 60] [--output FILE]

Every family, size, variant and selector, with a batch of 1, of 8 and an open one, mirrored or not,
in each precision that TensorRT reads, is traced, converted, checked, and compiled by NVIDIA's own
compiler (TensorRT-RTX) for GPUs of the compute capabilities 8.0, 8.6, 8.9 and 12.0 with 16 GiB. It
takes many hours: it begins with what differs most, and goes on where it was left if it is started
again with the same output, until the code that makes the files changes. Prints a table and every
failure; ends with status 1 if there is one.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import importlib.metadata
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hot_sdk.engines.tensorrt
import hot_sdk.export
from hot_sdk._base import records
from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_report
from hot_sdk._base.validation import closest
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.export.enums import Precision, SelectorKind, Variant
from hot_sdk.export.models import family, list_models, resolve
from hot_sdk.version import __version__

CAPABILITIES = ("SM80", "SM86", "SM89", "SM120")
PRECISIONS = tuple(each.value for each in Precision if each is not Precision.INT8_DYNAMIC)
BATCHES = (1, 8, None)
_CHILD = (__file__, "--child")
_OUTPUT = Path("out/engine_builds.jsonl")
_LIMIT_S = 3600.0
_OPSET = 20
# What the open batches of the largest networks need in float32 does not fit half of 4 GiB.
_MEMORY = 16 << 30
_LONGEST = 300


@dataclass(frozen=True)
class Graph:
    """A network as it is traced.

    Attributes:
        model: Its family.
        size: Its published size.
        variant: ``plain``, ``hot``, ``tpc`` or ``live``.
        selector: How frames are chosen; None if none are pruned.
        batch: Windows per run; None if that is open.
        flip: Averaged with the mirror image.
    """

    model: str
    size: str
    variant: str
    selector: str | None
    batch: int | None
    flip: bool

    def __str__(self) -> str:
        chosen = "" if self.selector is None else f" by {self.selector}"
        batch = "open batch" if self.batch is None else f"batch {self.batch}"
        return f"{self.model} {self.size} {self.variant}{chosen}, {batch}{', flip' * self.flip}"


@dataclass(frozen=True)
class Build:
    """A file and what became of it.

    Attributes:
        versions: Of the SDK and the compiler.
        graph: What was traced.
        precision: What it was converted to.
        bytes: Size of the plan; None if there is none.
        failed: Why there is none; empty if there is one.
        seconds: Time of the conversion and the build.
    """

    versions: str
    graph: Graph
    precision: str
    bytes: int | None
    failed: str
    seconds: float


def graphs(models: Sequence[str] = ()) -> list[Graph]:
    """Return everything that is traced: what differs most from what comes before it is first."""
    queues = [
        list(_networks(name, variant))
        for name in models or list_models()
        for variant in (each.value for each in family(name).variants)
    ]
    # The first network of each family and variant, the second of each, and so on.
    turns = itertools.chain.from_iterable(itertools.zip_longest(*queues))
    networks = [network for network in turns if network is not None]
    ways = list(itertools.product(BATCHES, (False, True)))
    made = [
        Graph(*network, *ways[(place + turn) % len(ways)])
        for turn in range(len(ways))
        for place, network in enumerate(networks)
    ]
    # A live network has no mirror image in its graph.
    return list(dict.fromkeys(_unmirrored(graph) for graph in made))


def _unmirrored(graph: Graph) -> Graph:
    return dataclasses.replace(graph, flip=graph.flip and graph.variant != Variant.LIVE)


def _networks(name: str, variant: str) -> Iterator[tuple[str, str, str, str | None]]:
    """Yield each size with each selector, both in turn; small ones first."""
    prunes = variant in family(name).pruning
    selectors = [each.value for each in SelectorKind] if prunes else [None]
    sizes = sorted(family(name).sizes, key=lambda size: _cost(name, size))
    for turn in range(len(selectors)):
        for place, size in enumerate(sizes):
            selector = selectors[(place + turn) % len(selectors)]
            resolve(name, size=size, variant=variant, selector=selector)
            yield name, size, variant, selector


def _cost(name: str, size: str) -> int:
    """Return about what a network of a published size takes to trace and to compile."""
    spec = resolve(name, size=size)
    return spec.size.depth * spec.size.width * spec.frames


@functools.cache
def versions() -> str:
    """Return what a result depends on: versions, and a digest of the code that makes files."""
    total = hashlib.sha256()
    for package in (hot_sdk.export, hot_sdk.engines.tensorrt):
        folder = Path(package.__path__[0])
        for file in sorted(folder.rglob("*.py")):
            total.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    compiler = importlib.metadata.version("tensorrt-rtx")
    return f"hot-sdk {__version__} ({total.hexdigest()[:8]}), tensorrt-rtx {compiler}"


def built_before(path: Path) -> dict[tuple[Graph, str], Build]:
    """Read the results of these versions; the last one of a file counts."""
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        build = _read(line)
        if build is not None and build.versions == versions():
            found[build.graph, build.precision] = build
    return found


def _read(line: str) -> Build | None:
    """Read a result; None if it was cut short, as when the program was ended, or is none."""
    try:
        return records.build(Build, records.parse_object(line))
    except records.TypedJSONError:
        return None


def run(
    wanted: Sequence[Graph],
    precisions: Sequence[str],
    output: Path,
    *,
    build: Callable[[Graph, Sequence[str]], Iterator[Build]],
    enough: Callable[[], bool] = lambda: False,
) -> dict[tuple[Graph, str], Build]:
    """Build what was not built before, and append each result to a file.

    Args:
        wanted: What to trace.
        precisions: What to convert it to.
        output: The file.
        build: Builds the files of a graph.
        enough: Asked before each graph; true ends the run.

    Returns:
        All results of what is wanted, with those of earlier runs.
    """
    found = built_before(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("a", encoding="utf-8") as lines:
        for place, graph in enumerate(wanted):
            missing = [
                each
                for each in precisions
                if (graph, each) not in found or found[graph, each].failed
            ]
            if not missing:
                continue
            if enough():
                break
            print(f"{place + 1} of {len(wanted)}: {graph}", flush=True)
            for one in build(graph, missing):
                found[one.graph, one.precision] = one
                # A new line first: the last one may have been cut short.
                lines.write("\n" + json.dumps(dataclasses.asdict(one)))
                lines.flush()
                if one.failed:
                    print(f"  {one.precision} FAILED: {one.failed}", flush=True)
    keys = {(graph, each) for graph in wanted for each in precisions}
    return {key: one for key, one in found.items() if key in keys}


def build_in_child(graph: Graph, precisions: Sequence[str]) -> Iterator[Build]:
    """Build the files of a graph in a process of their own, whose crash is a result."""
    request = json.dumps({"graph": dataclasses.asdict(graph), "precisions": precisions})
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *_CHILD, request],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        text, status, said = done.stdout, f"status {done.returncode}", done.stderr
    except subprocess.TimeoutExpired as error:
        text, status = (error.stdout or b"").decode(), f"not finished in {_LIMIT_S:.0f} s"
        said = ""
    seen = set()
    for line in text.splitlines():
        one = _read(line)
        if one is not None:
            seen.add(one.precision)
            yield one
    last = said.strip().rpartition("\n")[2]
    for precision in precisions:
        if precision not in seen:
            reason = f"its process ended: {status} {last}"[:_LONGEST]
            took = time.monotonic() - start
            yield Build(versions(), graph, precision, None, reason, took)


def build_all(graph: Graph, precisions: Sequence[str]) -> Iterator[Build]:
    """Trace a graph; convert, check and compile it in each precision."""
    from tensorrt_compiler import compiled

    from hot_sdk.export import ExportRequest
    from hot_sdk.export.graph.check import require_clean
    from hot_sdk.export.graph.trace import trace
    from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
    from hot_sdk.export.pipeline import prepare
    from hot_sdk.export.precision.calibration import CalibrationData
    from hot_sdk.export.precision.convert import convert
    from hot_sdk.export.precision.step_calibration import StepCalibration
    from hot_sdk.export.verification.clips import live_windows, real_windows

    request = ExportRequest(
        graph.model,
        random_weights=True,
        size=graph.size,
        variant=graph.variant,
        selector=graph.selector,
        # Of both kinds of layers, those that look ahead and those that do not.
        lookahead=5 if graph.variant == Variant.LIVE else None,
        memory="16+12x5" if graph.variant == Variant.LIVE else None,
        force=True,
    )
    prepared = prepare(request)
    spec = prepared.spec
    lifter = fold_constants(build_lifter(spec, prepared.state, flip=graph.flip))
    exact = trace(lifter, spec, batch=graph.batch, opset=_OPSET)
    # Scales of the activations matter to no compiler: one window is enough.
    few: CalibrationData | StepCalibration
    if spec.live is None:
        few = CalibrationData(real_windows(spec)[0][None], "one window")
    else:
        short = live_windows(spec)[0]
        short = dataclasses.replace(short, keypoints=short.keypoints[:8], times=short.times[:8])
        few = StepCalibration(exact, spec, (short,), "8 frames")
    for precision in precisions:
        start = time.monotonic()
        size, failed = None, ""
        try:
            made = exact
            if precision != Precision.FP32.value:
                made = convert(exact, spec, Precision(precision), few).model
            require_clean(made, dynamic_batch=graph.batch is None)
            content = made.SerializeToString()
            try:
                size = len(compiled(content, capabilities=CAPABILITIES, memory=_MEMORY))
            except HotSDKError as error:
                failed = f"{_refusing(content)}: {error.message}"
        except HotSDKError as error:
            failed = error.message
        took = time.monotonic() - start
        yield Build(versions(), graph, precision, size, failed[:_LONGEST], took)


def _refusing(content: bytes) -> str:
    """Return for which of the GPUs a file is not compiled."""
    from tensorrt_compiler import compiled

    refused = []
    for capability in CAPABILITIES:
        try:
            compiled(content, capabilities=(capability,), memory=_MEMORY)
        except HotSDKError:
            refused.append(capability)
    return ", ".join(refused) or "only for several at once"


def tables(
    found: dict[tuple[Graph, str], Build], wanted: Sequence[Graph], precisions: Sequence[str]
) -> list[str | Table]:
    """Return how many files of each network were built, and what failed."""
    rows = []
    for model, size in dict.fromkeys((graph.model, graph.size) for graph in wanted):
        of_network = [graph for graph in wanted if (graph.model, graph.size) == (model, size)]
        for variant in dict.fromkeys(graph.variant for graph in of_network):
            graphs_here = [graph for graph in of_network if graph.variant == variant]
            counts = []
            for precision in precisions:
                tried = [found.get((graph, precision)) for graph in graphs_here]
                done = sum(one is not None and not one.failed for one in tried)
                failed = sum(one is not None and bool(one.failed) for one in tried)
                left = f", {failed} failed" if failed else ""
                counts.append(f"{done}/{len(graphs_here)}{left}")
            rows.append((f"{model} {size}", variant, *counts))
    failures = [one for one in found.values() if one.failed]
    built = len(found) - len(failures)
    total = len(wanted) * len(precisions)
    note = f"{built} of {total} files built, {len(failures)} failed, {total - len(found)} not tried"
    title = f"Files compiled for {', '.join(CAPABILITIES)}, {versions()}"
    lines = [f"{one.graph}, {one.precision}: {one.failed}" for one in failures]
    table = Table(title, ("network", "variant", *precisions), tuple(rows), note, text_columns=2)
    return [table, *(["\n".join(lines)] if lines else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_command("engine_builds", arguments, _run)


def _run(arguments: list[str]) -> int:
    parser = CommandParser(prog="engine_builds", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--models", default=",".join(list_models()), help="families, comma-separated")
    add("--precisions", default=",".join(PRECISIONS), help="precisions, comma-separated")
    add("--minutes", type=float, default=float("inf"), help="begin nothing new after this time")
    add("--output", type=Path, default=_OUTPUT, help=f"results so far (default: {_OUTPUT})")
    add("--table", action="store_true", help="build nothing; show the results so far")
    add("--child", help=argparse.SUPPRESS)
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    if options.child is not None:
        asked = json.loads(options.child)
        for one in build_all(Graph(**asked["graph"]), asked["precisions"]):
            print("\n" + json.dumps(dataclasses.asdict(one)), flush=True)
        return 0
    precisions = options.precisions.split(",")
    for precision in precisions:
        if precision not in PRECISIONS:
            raise UsageError(
                f"There is no precision {precision!r} here.", hint=closest(precision, PRECISIONS)
            )
    wanted = graphs(options.models.split(","))
    limit = 0.0 if options.table else 60.0 * options.minutes
    start = time.monotonic()
    found = run(
        wanted,
        precisions,
        options.output,
        build=build_in_child,
        enough=lambda: time.monotonic() - start >= limit,
    )
    print_report(tables(found, wanted, precisions))
    return 1 if any(one.failed for one in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

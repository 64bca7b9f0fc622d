"""The options of ``hot-benchmark``, checked before any heavy work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.files import require_writable_target
from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.roofline import board
from hot_sdk.benchmarks.speed.messages import BASELINES, MEASURES, USUAL_MEASURES
from hot_sdk.engines import AUTO, SessionOptions, list_engines
from hot_sdk.errors import UsageError
from hot_sdk.export.enums import Precision

MODEL_SUFFIX = ".onnx"


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to measure, and how.

    Attributes:
        models: Files made by ``hot-export``, and names of families.
        folder: Where exported files go.
        engines: Names of engines; empty for the one of each file's format.
        devices: Names of devices.
        threads: CPU threads; None leaves it to the engine.
        batch: Windows in one call; None for the file's own, else 1.
        hops: Frames of a stream between runs of the engine; each of them is measured.
        lookaheads: Later frames that each pose of a stream waits for, as well.
        people: People in each frame of a stream.
        against: A file that all others are compared with, in turn; None for the first model.
        measures: Which of ``MEASURES``.
        cache_dir: Folder for what engines build; None for none.
        largest_batch: Most windows in one run of a file with an open batch; None leaves it to the
            engine.
        ratios: Ratios of families; empty for the default of each.
        precisions: Precisions of families; empty for float32.
        checkpoint: Weights of families; None for the starter's.
        random_weights: Use random weights for families instead.
        frames: Frames of a family's window; None for the published number.
        trained_on: Data set that the checkpoint was trained on, if it does not say that itself.
        root_relative: ``yes`` or ``no``: whether it predicts joints relative to the root.
        baselines: Which of ``BASELINES`` to measure of each family, too.
        duration_s: Counted seconds of each measure, at least; None if ``runs`` are given.
        runs: Counted runs of each measure; None if ``duration_s`` is given.
        profile_runs: Runs under the profiler; 0 for none.
        power: Source of power.
        boards: Boards to compute roofline bounds for.
        data: Data set to measure the accuracy on; None for no accuracy.
        data_root: Folder of its files.
        views: Cameras of each sequence of ``starter-val``; None for all.
        stream_accuracy: Measure the accuracy of each stream, too.
    """

    models: tuple[str, ...]
    folder: Path
    engines: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    threads: int | None = None
    batch: int | None = None
    hops: tuple[int, ...] = (1,)
    lookaheads: tuple[int, ...] = (0,)
    people: int = 1
    against: str | None = None
    measures: tuple[str, ...] = USUAL_MEASURES
    cache_dir: Path | None = None
    largest_batch: int | None = None
    ratios: tuple[float, ...] = ()
    precisions: tuple[str, ...] = ()
    checkpoint: Path | None = None
    random_weights: bool = False
    frames: int | None = None
    trained_on: str | None = None
    root_relative: str | None = None
    baselines: tuple[str, ...] = ()
    duration_s: float | None = None
    runs: int | None = None
    profile_runs: int = 0
    power: str = "auto"
    boards: tuple[str, ...] = ()
    data: str | None = None
    data_root: Path | None = None
    views: int | None = None
    stream_accuracy: bool = False


def is_file_name(model: str) -> bool:
    """Return True if a model is named by its file, and not by its family."""
    return "." in model or "/" in model


def check_options(options: BenchmarkOptions) -> None:
    """Check everything that can be checked without opening a model.

    Raises:
        UsageError: An option is unknown, missing, out of range, or contradicts another.
        MissingDependencyError: A family is named, and PyTorch is not installed.
    """
    if options.duration_s is not None and options.runs is not None:
        raise UsageError("Both --duration and --runs are given.", hint="Use one of them.")
    for flag, value, least in (
        ("--duration", options.duration_s, 0),
        ("--runs", options.runs, 0),
        ("--batch", options.batch, 0),
        *(("--hop", hop, 0) for hop in options.hops),
        *(("--lookahead", lookahead, -1) for lookahead in options.lookaheads),
        ("--people", options.people, 0),
    ):
        if value is not None and not value > least:
            bound = "more than 0" if least == 0 else "0 or more"
            raise UsageError(f"{flag} is {value:g}; expected {bound}.", hint="Remove it.")
    _check_names("measure", options.measures, MEASURES)
    lists = (options.measures, options.devices, options.hops, options.lookaheads)
    if not all(lists):
        raise UsageError("A list is empty.", hint="Remove the argument for its default.")
    for key in options.boards:
        board(key)
    if options.data is None and (options.data_root is not None or options.views is not None):
        raise UsageError(
            "--data-root and --views apply only to a data set.", hint="Add --data NAME."
        )
    if options.stream_accuracy and (options.data is None or "stream" not in options.measures):
        raise UsageError(
            "--stream-accuracy applies only to streams on a data set.",
            hint="Add --data NAME, and leave stream among the measures.",
        )
    if options.data is not None:
        _check_data(options)
    _check_against(options)
    for model in options.models:
        if is_file_name(model):
            if not Path(model).is_file():
                raise UsageError(f"There is no file '{model}'.", hint="Check the path.")
        else:
            _check_family(model)
    _check_names("engine", options.engines, list_engines(), also=(AUTO,))
    for device in options.devices:
        SessionOptions(device=device, threads=options.threads, largest_batch=options.largest_batch)
    if all(map(is_file_name, options.models)):
        _check_no_exports(options)
    else:
        _check_exports(options)


def _check_against(options: BenchmarkOptions) -> None:
    """Check the file that others are compared with; ``against`` is also the first of the models."""
    if options.against is None:
        return
    old = Path(options.against)
    if not old.is_file():
        raise UsageError(f"There is no file '{options.against}'.", hint="Check the path.")
    others = [Path(model) for model in options.models if is_file_name(model)]
    if any(other.is_file() and old.samefile(other) for other in others):
        raise UsageError(
            f"'{options.against}' would be compared with itself.",
            hint="Name another file, or a copy of it to see how noisy the machine is.",
        )


def _check_names(
    what: str, names: Sequence[str], known: Sequence[str], *, also: Sequence[str] = ()
) -> None:
    for name in names:
        if name not in (*known, *also):
            raise UsageError(f"Unknown {what} '{name}'.", hint=closest(name, known))


def _check_data(options: BenchmarkOptions) -> None:
    from hot_sdk.benchmarks.evaluation.data_sets import check_data_options, data_set

    assert options.data is not None
    data = data_set(options.data)
    check_data_options(data, options.data_root, detections=None, views=options.views)


def _check_family(name: str) -> None:
    from hot_sdk.export.models.registry import family, list_models

    if name not in list_models():
        raise UsageError(
            f"'{name}' is neither a file nor a model family.",
            hint=closest(name, list_models()),
        )
    family(name)


def _check_exports(options: BenchmarkOptions) -> None:
    _check_names("baseline", options.baselines, BASELINES)
    for ratio in options.ratios:
        if not 0.0 < ratio <= 1.0:
            raise UsageError(
                f"A ratio is {ratio:g}; expected more than 0 and at most 1.",
                hint="1 keeps every frame.",
            )
    _check_names("precision", options.precisions, [precision.value for precision in Precision])
    require_writable_target(options.folder / f"any{MODEL_SUFFIX}")


def _check_no_exports(options: BenchmarkOptions) -> None:
    for flag, given in (
        ("--ratios", options.ratios),
        ("--precisions", options.precisions),
        ("--checkpoint", options.checkpoint),
        ("--random-weights", options.random_weights),
        ("--frames", options.frames),
        ("--trained-on", options.trained_on),
        ("--root-relative", options.root_relative),
        ("--baseline", options.baselines),
    ):
        if given:
            raise UsageError(
                f"{flag} applies only to model families, but only files were given.",
                hint="Name a family, such as mixste, or remove it.",
            )

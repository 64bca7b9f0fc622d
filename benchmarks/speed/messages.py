"""Messages between ``hot-benchmark`` and the child processes that measure, as JSON over pipes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hot_sdk.errors import UsageError

if TYPE_CHECKING:
    from hot_sdk.export import ExportRequest

USUAL_MEASURES = ("window", "stream")
"""What is timed of an exported file unless something else is requested; of a baseline it is
``engine`` alone."""

STARTS = ("start", "command")
"""What is timed in a new process each time; see ``starts``."""

MEASURES = (*USUAL_MEASURES, *STARTS)
"""What can be timed of an exported file."""

BASELINES = ("eager", "compile", "torch-onnx")
"""What an exported file is compared with: its network in PyTorch as it is; compiled by
``torch.compile``; and exported by ``torch.onnx`` without this SDK's folding and checks, run in ONNX
Runtime."""


@dataclass(frozen=True)
class NetworkOptions:
    """A network by the options of ``hot-export``, for the baselines in PyTorch.

    Attributes:
        family: Model family.
        ratio: Fraction of frames kept; None for the checkpoint's own.
        checkpoint: File of weights; None for the starter's.
        random_weights: Use random weights instead.
        frames: Frames of a window; None for the published number.
        trained_on: Data set that the checkpoint was trained on; see ``ExportRequest``.
        root_relative: ``yes`` or ``no``; see ``ExportRequest``.
    """

    family: str
    ratio: float | None
    checkpoint: str | None
    random_weights: bool
    frames: int | None
    trained_on: str | None
    root_relative: str | None

    def export_request(self, batch: int, precision: str = "fp32") -> ExportRequest:
        """Return the request to export it."""
        from hot_sdk.export import ExportRequest

        return ExportRequest(
            model=self.family,
            checkpoint=None if self.checkpoint is None else Path(self.checkpoint),
            random_weights=self.random_weights,
            ratio=self.ratio,
            frames=self.frames,
            trained_on=self.trained_on,
            root_relative=None if self.root_relative is None else self.root_relative == "yes",
            batch=batch,
            precision=precision,
            # Another file of that name in the folder was made otherwise, and is of no more use.
            force=True,
        )


@dataclass(frozen=True)
class WorkerTask:
    """What a child process opens.

    Attributes:
        model: The exported file, absolute; None for a baseline.
        baseline: One of ``BASELINES``; None for a file.
        network: The network of a baseline; None for a file.
        engine: Name of the engine; for a baseline, what it runs in.
        device: Device, as in ``SessionOptions``.
        threads: CPU threads; None leaves it to the engine.
        cache_dir: Folder for what the engine builds; None for none.
        batch: Windows lifted in one call.
        measures: Which of ``MEASURES`` to prepare; a baseline has ``engine`` alone.
        hop: Frames of a stream between runs of the engine.
        lookahead: Later frames that each pose of a stream waits for.
        people: People in each frame of a stream.
        largest_batch: Most windows in one run of an open batch; None leaves it to the engine.
    """

    model: str | None
    baseline: str | None
    network: NetworkOptions | None
    engine: str
    device: str
    threads: int | None
    cache_dir: str | None
    batch: int
    measures: tuple[str, ...] = USUAL_MEASURES
    hop: int = 1
    lookahead: int = 0
    people: int = 1
    largest_batch: int | None = None

    @property
    def file(self) -> Path:
        """The exported file.

        Raises:
            UsageError: The task is a baseline, which has none.
        """
        if self.model is None:
            raise UsageError("A baseline has no exported file.", hint="Name a file.")
        return Path(self.model)

    @property
    def cache_path(self) -> Path | None:
        """The folder for what the engine builds."""
        return None if self.cache_dir is None else Path(self.cache_dir)


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model once it is open.

    Attributes:
        engine: Name of the engine.
        engine_version: Version of the engine.
        device: Device in use.
        precision: Precision of the model.
        windows: Windows in one call.
        frames: Frames that one call returns.
        hop: Frames of the stream between runs of the engine; None without a stream.
        lookahead: Later frames that its poses wait for; None without a stream.
        load_ms: From the file to a ready session.
        build_ms: The same with an empty cache folder; None without one.
    """

    engine: str
    engine_version: str
    device: str
    precision: str
    windows: int
    frames: int
    hop: int | None
    lookahead: int | None
    load_ms: float
    build_ms: float | None


@dataclass(frozen=True)
class WorkerReady(ModelInfo):
    """What a child process reports once its model has run.

    Attributes:
        measures: What to measure: those requested, or the only one there is.
        startup_ms: From the start of the process to the first poses, imports included.
        first_inference_ms: The first run.
        base_mib: Resident memory before the model was loaded, the engine's library not imported.
        loaded_mib: The same after the first run.
        peak_mib: The most until then.
    """

    measures: tuple[str, ...]
    startup_ms: float
    first_inference_ms: float
    base_mib: float | None
    loaded_mib: float | None
    peak_mib: float | None


@dataclass(frozen=True)
class Batch:
    """Runs of one measure that a child process timed in its turn.

    Attributes:
        start: Monotonic clock, in seconds, when the first counted run began.
        end: The same when the last one ended.
        total: Seconds of each run, end to end; for a stream, of each push.
        engine: Seconds of them in the engine; empty for a stream and for a ceiling.
    """

    start: float
    end: float
    total: tuple[float, ...]
    engine: tuple[float, ...]

"""What one child process is to measure, as it is told through a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hot_sdk.errors import UsageError

BASELINES = ("eager", "compile", "torch-onnx")
"""What an exported file is compared with: its network in PyTorch as it is; compiled by
``torch.compile``; and exported by ``torch.onnx`` without this SDK's folding and checks, run in ONNX
Runtime."""


@dataclass(frozen=True)
class Streaming:
    """How a stream is run.

    Attributes:
        hop: Frames between runs of the engine.
        lookahead: Frames that a pose waits for.
    """

    hop: int = 1
    lookahead: int = 0


@dataclass(frozen=True)
class Network:
    """A network by what ``hot-export`` would be asked for, for the baselines in PyTorch.

    Attributes:
        family: Model family.
        ratio: Frames kept over frames; None for the checkpoint's own.
        checkpoint: File of weights; None for the starter's.
        random_weights: Random weights instead.
        frames: Frames of a window; None for the published number.
        batch: Windows in one run.
    """

    family: str
    ratio: float | None
    checkpoint: str | None
    random_weights: bool
    frames: int | None
    batch: int


@dataclass(frozen=True)
class Assignment:
    """What a child process opens.

    Attributes:
        model: The exported file, absolute; None for a baseline.
        baseline: One of ``BASELINES``; None for a file.
        network: Of a baseline; None for a file.
        engine: Name of the engine; of a baseline, what it runs in.
        device: As of ``SessionOptions``.
        threads: CPU threads; None leaves it to the engine.
        cache_dir: Folder for what the engine builds; None for none.
        batch: Windows lifted in one call.
        streaming: How the stream is run.
        spawned: Seconds of the monotonic clock at which the process was started.
    """

    model: str | None
    baseline: str | None
    network: Network | None
    engine: str
    device: str
    threads: int | None
    cache_dir: str | None
    batch: int
    streaming: Streaming
    spawned: float

    @property
    def file(self) -> Path:
        """The exported file.

        Raises:
            UsageError: A baseline has none.
        """
        if self.model is None:
            raise UsageError("A baseline has no exported file.", hint="Name a file.")
        return Path(self.model)


@dataclass(frozen=True)
class Opened:
    """What a child process says once its model is ready.

    Attributes:
        engine: The engine.
        engine_version: Its version.
        device: The device in use.
        precision: Of the model.
        measures: What can be measured: ``window`` and ``stream``, or ``engine`` alone.
        windows: Windows in one call.
        frames: Frames that one call gives.
        hop: Frames between runs of the stream; None without a stream, as is the next.
        lookahead: Frames that its poses wait for.
        startup_ms: From the start of the process to the first poses, imports included.
        load_ms: From the file to a ready session.
        build_ms: The same with an empty cache folder; None without one.
        first_inference_ms: The first run.
        base_mib: Resident memory before the model was loaded, the engine's library not imported.
        loaded_mib: The same after the first run.
        peak_mib: The most until then.
    """

    engine: str
    engine_version: str
    device: str
    precision: str
    measures: tuple[str, ...]
    windows: int
    frames: int
    hop: int | None
    lookahead: int | None
    startup_ms: float
    load_ms: float
    build_ms: float | None
    first_inference_ms: float
    base_mib: float | None
    loaded_mib: float | None
    peak_mib: float | None


@dataclass(frozen=True)
class Turn:
    """What a child process measured in its turn.

    Attributes:
        start: Seconds of the monotonic clock when the first counted run began.
        end: When the last one ended.
        total: Seconds of each run, end to end; of a stream, of each push.
        engine: Seconds of them in the engine; empty for a stream and for a yardstick.
    """

    start: float
    end: float
    total: tuple[float, ...]
    engine: tuple[float, ...]

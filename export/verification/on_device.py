"""Build the TensorRT plan of an exported file on this device, and verify its poses."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from torch import nn

from hot_sdk.engines import Session, SessionOptions, open_session
from hot_sdk.errors import VerificationError
from hot_sdk.export.models import ModelSpec
from hot_sdk.export.steps import Steps
from hot_sdk.export.verification.clips import Window
from hot_sdk.export.verification.compare import (
    FP32,
    Tolerances,
    WindowResult,
    compare,
    require_parity,
)

ENGINE = "tensorrt"
DEVICE = "cuda"


@dataclass(frozen=True)
class DeviceResult:
    """How the plan on this device compares with PyTorch.

    Attributes:
        engine: The engine's name and version.
        device: The device that it ran on.
        plan: The plan of the file, in the cache.
        cuda_graph: Whether a run is one CUDA graph.
        load_seconds: Seconds to build the plan, or to load it from the cache.
        windows: The verification, window by window, with the same frames if the file returns them.
    """

    engine: str
    device: str
    plan: Path | None
    cuda_graph: bool
    load_seconds: float
    windows: tuple[WindowResult, ...]


def verify_on_device(
    path: Path,
    exposed: bytes,
    *,
    cache_dir: Path,
    reference: nn.Module,
    spec: ModelSpec,
    windows: list[Window],
    steps: Steps,
    tolerances: Tolerances = FP32,
) -> DeviceResult:
    """Build a file's plan into the cache, and compare its poses with PyTorch's.

    If the file does not return the frames that it chose, a second plan is built of the same graph
    that does, for the comparison with the same frames.

    Args:
        path: The file.
        exposed: The same graph with every choice among its outputs; see
            :mod:`hot_sdk.export.verification.neighbors`.
        cache_dir: Folder of the cache.
        reference: The function of :mod:`hot_sdk.export.graph.wrapper`, constants not folded.
        spec: The architecture of both.
        windows: What to run.
        steps: Receives the steps.
        tolerances: What counts as the same poses, in the precision of the file.

    Raises:
        MissingDependencyError: TensorRT or PyCUDA is not installed.
        EngineError: The plan cannot be built, or does not run.
        VerificationError: It computes other poses.
    """
    options = SessionOptions(device=DEVICE, cache_dir=cache_dir)
    returns_all = _outputs(exposed) == _outputs(path.read_bytes())
    steps.begin("Building the plan on this device, which may take minutes")
    with open_session(path, options, engine=ENGINE) as session:
        results = compare(reference, session, spec, windows, excuse_ties=tolerances == FP32)
        # Without the chosen frames among its outputs, it can only be compared end to end.
        free = {"max_difference": math.inf, "spread_difference": math.inf}
        end_to_end = dataclasses.replace(tolerances, **free)
        _require(results, tolerances if returns_all else end_to_end, session)
        result = DeviceResult(
            engine=f"{session.engine} {session.engine_version}",
            device=session.device,
            plan=getattr(session, "plan", None),
            cuda_graph=bool(getattr(session, "cuda_graph", False)),
            load_seconds=session.load_seconds,
            windows=tuple(results),
        )
    if not returns_all:
        steps.begin("Building it once more, with the chosen frames among its outputs")
        with open_session(exposed, options, engine=ENGINE) as session:
            results = compare(reference, session, spec, windows, excuse_ties=tolerances == FP32)
            _require(results, tolerances, session)
    return result


def _outputs(model: bytes) -> list[str]:
    return [value.name for value in onnx.load_from_string(model).graph.output]


def _require(results: list[WindowResult], tolerances: Tolerances, session: Session) -> None:
    try:
        require_parity(results, tolerances)
    except VerificationError as error:
        # Builds differ from run to run; if kept, this one would be used again.
        plan = getattr(session, "plan", None)
        if plan is not None:
            plan.unlink(missing_ok=True)
        raise VerificationError(
            f"In {session.engine} {session.engine_version} on {session.device}: {error.message}",
            hint="Export without --engine to keep the file, which ONNX Runtime computes correctly,"
            " and report this with it.",
        ) from error

"""Build and run a file in a child process of a self-test, and compare what it computes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.doctor.self_test.kept_frames import with_kept_frames
from hot_sdk.doctor.self_test.report import Gpu, ModelFigures
from hot_sdk.engines import Session, SessionOptions, open_session
from hot_sdk.engines.cuda.device import open_device
from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.engines.session import Arrays
from hot_sdk.engines.tensorrt import TensorRTSession
from hot_sdk.engines.tensorrt.bindings import create_log, import_tensorrt
from hot_sdk.engines.tensorrt.execution import TensorRTExecution
from hot_sdk.engines.tensorrt.plan import plan_spec
from hot_sdk.engines.tensorrt.precision import precision_mismatch
from hot_sdk.errors import EngineError
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX, Manifest

DEVICE = "cuda:0"

_RUNS = 100
# Largest mean distance of a joint, in the model's unit, and smallest share of frames. A file of
# reduced precision is compared with itself, but kernels add up in float16 in an order of their own.
_LARGEST_ERROR = {"fp32": 1e-3}
_LARGEST_ERROR_REDUCED = 1e-2
_LEAST_SHARED = 0.95
# Of another output, as a share of its mean size.
_LARGEST_OTHER = {"fp32": 1e-2}
_LARGEST_OTHER_REDUCED = 0.1
_LARGEST_DIFFERENCE = 1e-5
_PURPOSE = "The self-test"

EXACT = SessionOptions(graph_optimization="none")
"""What every engine is compared with, on the CPU."""


def gpu() -> dict[str, Any]:
    """Describe the GPU that TensorRT and PyCUDA reach."""
    trt = import_tensorrt()
    device = open_device(0, purpose=_PURPOSE)
    with device.pushed("reading its memory"):
        free = device.free_memory()
    found = Gpu(
        name=device.model,
        capability=device.capability,
        multiprocessors=device.multiprocessors,
        total_memory=device.total_memory,
        free_memory=free,
        shares_memory=device.shares_memory,
        driver=device.driver,
    )
    device.release()
    return {
        "found": f"TensorRT {trt.__version__} on {found.name}",
        "gpu": dataclasses.asdict(found),
    }


def onnxruntime(model: Path, device: Path) -> dict[str, Any]:
    """Run a file in ONNX Runtime on a device."""
    arrays = sample(model)
    options = SessionOptions(device=str(device))
    with open_session(model, options) as session:
        figures = _figures(session, arrays, model)
    figures = _with_frames(figures, model, arrays, lambda file: open_session(file, options))
    return answer(figures, [])


def tensorrt(model: Path, folder: Path) -> dict[str, Any]:
    """Build a file's plan into a folder, and run it in every way."""
    arrays = sample(model)
    options = SessionOptions(device=DEVICE, cache_dir=folder)
    problems = []
    with open_session(model, options, engine="tensorrt") as session:
        assert isinstance(session, TensorRTSession)
        assert session.plan is not None
        figures = _figures(session, arrays, model)
        with_graph = session.run(arrays)
        plain = session.run_without_graph(arrays)
        plan = session.plan.read_bytes()
        mismatch = precision_mismatch(session.precision, session.layers)
        if mismatch is not None:
            problems.append(mismatch)
        if not session.cuda_graph and session.largest_batch is None:
            problems.append("no CUDA graph of a run could be used")
        types = ", ".join(f"{n} {name}" for name, n in sorted(session.layers.types.items()))
        figures = dataclasses.replace(
            figures,
            plan_bytes=len(plan),
            cuda_graph=session.cuda_graph,
            zero_copy=session.zero_copy,
            graph_difference=_difference(with_graph, plain) if session.cuda_graph else None,
            layer_types=types or "not reported",
            opaque_regions=session.layers.opaque_regions,
            inspector=session.layers.text,
        )
        zero_copy = session.zero_copy
    figures = _with_frames(
        figures, model, arrays, lambda file: open_session(file, options, engine="tensorrt")
    )
    if zero_copy:
        copied = _run_copying(model, plan, arrays)
        figures = dataclasses.replace(figures, copy_difference=_difference(plain, copied))
    return answer(figures, problems)


def sample(model: Path) -> Arrays:
    """Return arrays for a file's inputs: joints that swing smoothly, the same each time.

    Other inputs are numbers from 0 to 1.
    """
    random = np.random.default_rng(0)
    arrays: Arrays = {}
    for spec in read_signature(check_onnx(model)).inputs:
        shape = tuple(size if isinstance(size, int) else 1 for size in spec.shape)
        if spec.name != KEYPOINTS:
            arrays[spec.name] = random.uniform(0.0, 1.0, shape).astype(spec.dtype)
            continue
        _batch, frames, joints, channels = shape
        where = random.uniform(-0.4, 0.4, (1, 1, joints, channels))
        size = random.uniform(0.02, 0.2, (1, 1, joints, channels))
        phase = random.uniform(0.0, 2.0 * np.pi, (1, 1, joints, channels))
        # Faster and faster, so that no two frames are alike.
        turn = 2.0 * np.pi * (np.arange(frames) / frames).reshape(1, frames, 1, 1) ** 1.5
        swinging = where + size * np.sin(3.0 * turn + phase)
        arrays[spec.name] = np.broadcast_to(swinging, shape).astype(spec.dtype)
    return arrays


def _figures(session: Session, arrays: Arrays, model: Path) -> ModelFigures:
    """Run a session often, and compare it with ONNX Runtime without optimizations."""
    first = session.run(arrays)
    times, equal = [], 0
    for _ in range(_RUNS):
        start = time.perf_counter()
        found = session.run(arrays)
        times.append(1e3 * (time.perf_counter() - start))
        equal += all(found[name].tobytes() == first[name].tobytes() for name in first)
    with open_session(model, EXACT) as reference:
        exact = reference.run(arrays)
    if not all(np.isfinite(array).all() for array in first.values()):
        raise EngineError("The outputs are not finite numbers.", hint="Report it.")
    distance = np.linalg.norm(first[POSES] - exact[POSES], axis=-1)
    shared = _share(first[TOKEN_INDEX], exact[TOKEN_INDEX]) if TOKEN_INDEX in exact else None
    others = [
        share_of_size(first[name], array)
        for name, array in exact.items()
        if name != POSES and array.dtype.kind == "f"
    ]
    return ModelFigures(
        engine=f"{session.engine} {session.engine_version}",
        device=session.device,
        precision=session.precision,
        load_s=session.load_seconds,
        runs=_RUNS,
        runs_equal=equal,
        mean_error=float(distance.mean()),
        largest_error=float(distance.max()),
        frames_shared=shared,
        median_ms=float(np.median(times)),
        p99_ms=float(np.percentile(times, 99)),
        others_error=max(others, default=None),
    )


def _with_frames(
    figures: ModelFigures, model: Path, arrays: Arrays, reopen: Callable[[bytes], Session]
) -> ModelFigures:
    """Compare the kept frames of a file that does not return them, in a copy that does."""
    if figures.frames_shared is not None:
        return figures
    with open_session(model, EXACT) as reference:
        manifest = Manifest.from_metadata(reference.metadata)
    made = with_kept_frames(model.read_bytes(), manifest.tokens) if manifest.tokens else None
    if made is None:
        return figures
    content, name = made
    with reopen(content) as session, open_session(content, EXACT) as reference:
        share = _share(session.run(arrays)[name], reference.run(arrays)[name])
    return dataclasses.replace(figures, frames_shared=share)


def _share(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return np.intersect1d(found, expected).size / expected.size


def share_of_size(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the mean difference of two arrays, as a share of their mean size."""
    return float(np.abs(found - expected).mean() / max(np.abs(expected).mean(), np.finfo("f").tiny))


def answer(figures: ModelFigures, problems: list[str]) -> dict[str, Any]:
    """Return the figures of a file, with what is wrong with them."""
    limit = _LARGEST_ERROR.get(figures.precision, _LARGEST_ERROR_REDUCED)
    if figures.mean_error > limit:
        problems.append(f"joints are {1e3 * figures.mean_error:.3g} mm off on average")
    if figures.frames_shared is not None and figures.frames_shared < _LEAST_SHARED:
        problems.append(f"only {figures.frames_shared:.1%} of the kept frames are the same")
    limit = _LARGEST_OTHER.get(figures.precision, _LARGEST_OTHER_REDUCED)
    if figures.others_error is not None and figures.others_error > limit:
        problems.append(f"another output is {figures.others_error:.1%} off on average")
    if figures.runs_equal < figures.runs:
        problems.append(f"{figures.runs - figures.runs_equal} of {figures.runs} runs differ")
    for name, difference in (
        ("the CUDA graph and a plain run", figures.graph_difference),
        ("runs with and without copies", figures.copy_difference),
    ):
        if difference is not None and difference > _LARGEST_DIFFERENCE:
            problems.append(f"{name} differ by {difference:.3g}")
    return {"figures": dataclasses.asdict(figures), "problems": problems}


def _difference(found: Arrays, expected: Arrays) -> float:
    """Return the largest difference of an output of floats."""
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (found[name], expected[name]) for name in expected if expected[name].dtype.kind == "f"
    ]
    return max(float(np.abs(mine - other).max()) for mine, other in pairs)


def _run_copying(model: Path, plan: bytes, arrays: Arrays) -> Arrays:
    """Run a plan with copies between CPU and GPU, though they share their memory."""
    trt = import_tensorrt()
    file = check_onnx(model)
    spec = plan_spec(file, read_signature(file), SessionOptions(device=DEVICE))
    device = open_device(0, purpose=_PURPOSE)
    try:
        with device.pushed("running with copies"):
            log = create_log(trt)
            execution = TensorRTExecution(trt, log, device, plan, spec, zero_copy=False)
            try:
                return execution.run(arrays)
            finally:
                execution.free()
    finally:
        device.release()

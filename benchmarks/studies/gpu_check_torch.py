"""The half of ``gpu_check.py`` that needs PyTorch: export networks for engines, and time them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_check import Compared, SpeedRow
from torch import Tensor

from hot_sdk._base.timing import interleaved_medians
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import Precision
from hot_sdk.export.graph.flops import count_network
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import ModelSpec, build, resolve
from hot_sdk.export.torch_backend.cuda_graph import captured
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.model_inputs import input_arrays

_RATIOS = (1.0, 0.75, 0.5, 0.33)
_EXPORTED_RATIO = 0.5
_PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8, Precision.INT8_FP16)
_WARM_UP = 3


def exported_files(frames: int, size: Mapping[str, Any], folder: Path) -> list[Compared]:
    """Export one network in each precision; each file is compared with the first, in float32."""
    spec = _specs(frames, size)[_EXPORTED_RATIO]
    keypoints = verification_windows(spec)[0].keypoints[np.newaxis]
    arrays = input_arrays(spec.size.conditions, keypoints)
    files = [_exported(spec, size, precision, folder) for precision in _PRECISIONS]
    return [Compared(file, files[0], arrays) for file in files]


def time_networks(
    frames: int,
    size: Mapping[str, Any],
    device: str,
    *,
    rounds: int,
    batches: Sequence[int],
    modes: Sequence[str],
) -> list[SpeedRow]:
    """Time each ratio in each mode, precision and batch."""
    specs = _specs(frames, size)
    return [
        row
        for batch in batches
        for half in (False, True)
        for mode in modes
        if mode != "cuda graph" or device != "cpu"
        for row in compare_ratios(specs, device, batch, mode, rounds, half=half)
    ]


def _specs(frames: int, size: Mapping[str, Any]) -> dict[float, ModelSpec]:
    """Return one network at each ratio."""
    plain = functools.partial(resolve, "mixste", frames=frames, **size)
    return {ratio: plain() if ratio == 1.0 else plain(prune_at=1, ratio=ratio) for ratio in _RATIOS}


def _exported(spec: ModelSpec, size: Mapping[str, Any], precision: Precision, folder: Path) -> Path:
    request = ExportRequest(
        spec.family,
        random_weights=True,
        frames=spec.frames,
        tokens=spec.tokens,
        prune_at=spec.stages[0].prune_at,
        config=dict(size),
        precision=precision,
        token_index=True,
        timing=precision is Precision.FP32,
        output=folder / f"{precision.value}.onnx",
        force=True,
    )
    return export_model(request).path


def compare_ratios(
    specs: dict[float, ModelSpec], device: str, batch: int, mode: str, rounds: int, *, half: bool
) -> Iterator[SpeedRow]:
    """Time each ratio in PyTorch, in turn with the others, in one mode."""
    failed = None
    times: list[float] = []
    try:
        runs = [_network(spec, device, batch, mode, half=half) for spec in specs.values()]
        times = interleaved_medians(runs, rounds)
    except RuntimeError as error:  # Out of memory, no compiler, or a failed capture.
        failed = " ".join(str(error).split())[:200]
    full = count_network(next(iter(specs.values()))).matmuls
    for place, (ratio, spec) in enumerate(specs.items()):
        taken_ms = times[place] if times else None
        yield SpeedRow(
            mode=mode,
            precision="fp16" if half else "fp32",
            batch=batch,
            ratio=ratio,
            frames_per_s=None if taken_ms is None else 1e3 * batch * spec.frames / taken_ms,
            speed_up=None if taken_ms is None else times[0] / taken_ms,
            flops_saved=full / count_network(spec).matmuls,
            failed=failed,
        )


def _network(
    spec: ModelSpec, device: str, batch: int, mode: str, *, half: bool
) -> Callable[[], None]:
    """Return a warm run of a network with random weights, which do not change its time."""
    state = {key: value.float() for key, value in random_state_dict(build(spec)).items()}
    module = build_lifter(spec, state, flip=False).to(device)
    lift = torch.compile(module, dynamic=False) if mode == "compile" else module
    generator = torch.Generator().manual_seed(0)
    shape = (batch, spec.frames, spec.joints, spec.size.channels)
    keypoints = (torch.rand(shape, generator=generator) - 0.5).to(device)

    def once() -> Tensor:
        autocast = torch.autocast(device, dtype=torch.float16, enabled=half)
        with torch.inference_mode(), autocast:
            poses: Tensor = lift(keypoints)[0]
        return poses

    run = captured(once) if mode == "cuda graph" else once

    def synchronized() -> None:
        run()
        if device != "cpu":
            torch.cuda.synchronize()

    for _ in range(_WARM_UP):
        synchronized()
    return synchronized

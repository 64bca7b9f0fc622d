"""Frames a second of a network in PyTorch: eager, compiled, and as one CUDA graph."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hot_sdk.export.lifting import build_lifting
from hot_sdk.export.models import ModelSpec, build
from hot_sdk.export.random_weights import random_state_dict

WAYS = ("eager", "compile", "cuda graph")
_WARM_UP = 3


@dataclass(frozen=True)
class Way:
    """One way of running a network.

    Attributes:
        name: One of ``WAYS``.
        half: Products in float16, by autocast, which leaves norms and softmax in float32.
        run: Runs one batch, and gives its poses.
    """

    name: str
    half: bool
    run: Callable[[], Tensor]


def lifting_of(spec: ModelSpec, device: str) -> nn.Module:
    """A network with reproducible random weights, which change no time."""
    network = build(spec)
    state = {key: value.float() for key, value in random_state_dict(network).items()}
    return build_lifting(spec, state, flip=False).to(device)


def ways_of(
    spec: ModelSpec, device: str, batch: int, *, half: bool, names: tuple[str, ...]
) -> Iterator[Way]:
    """The ways of running one network that a device has.

    Args:
        spec: The network.
        device: ``cpu`` or ``cuda``.
        batch: Windows of a run.
        half: Compute products in float16.
        names: Which of ``WAYS``; a CUDA graph is left out of a CPU.
    """
    lifting = lifting_of(spec, device)
    generator = torch.Generator().manual_seed(0)
    shape = (batch, spec.frames, spec.joints, spec.size.channels)
    keypoints = (torch.rand(shape, generator=generator) - 0.5).to(device)

    def once(module: Callable[[Tensor], tuple[Tensor, ...]]) -> Tensor:
        with torch.inference_mode(), _half(device, on=half):
            return module(keypoints)[0]

    if "eager" in names:
        yield Way("eager", half, lambda: once(lifting))
    if "compile" in names:
        compiled = torch.compile(lifting, dynamic=False)
        yield Way("compile", half, lambda: once(compiled))
    if "cuda graph" in names and device != "cpu":
        yield Way("cuda graph", half, _captured(lambda: once(lifting)))


def seconds_of(ways: list[Way], device: str, rounds: int) -> list[list[float]]:
    """Seconds of each way in each round, in turn, after runs that do not count."""
    taken: list[list[float]] = [[] for _ in ways]
    for number in range(_WARM_UP + rounds):
        for way, times in zip(ways, taken, strict=True):
            start = time.perf_counter()
            way.run()
            _wait(device)
            if number >= _WARM_UP:
                times.append(time.perf_counter() - start)
    return taken


def frames_per_second(spec: ModelSpec, batch: int, seconds: list[float]) -> float:
    """Of the median run."""
    return batch * spec.frames / statistics.median(seconds)


def _captured(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The run as one graph, on memory of its own that every replay writes again."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        poses = run()

    def replay() -> Tensor:
        graph.replay()
        return poses

    return replay


@contextlib.contextmanager
def _half(device: str, *, on: bool) -> Iterator[None]:
    with torch.autocast(device.partition(":")[0], dtype=torch.float16, enabled=on):
        yield


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()

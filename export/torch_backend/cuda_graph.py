"""Record what PyTorch does on a GPU as one CUDA graph, which one call starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from hot_sdk.engines.cuda.graph_check import same_outputs
from hot_sdk.errors import EngineError
from hot_sdk.manifest import CONDITIONS, KEYPOINTS

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_WARM_UP = 3


def captured(run: Callable[[], T]) -> Callable[[], T]:
    """Return a run on the current GPU as a CUDA graph; each call overwrites what it returned.

    See "CUDA Graphs" in PyTorch's notes on CUDA semantics: what is recorded has to be warm, and a
    stream other than the default one warms it.

    Args:
        run: Works on the same memory each time, and never waits for the GPU.

    Raises:
        RuntimeError: PyTorch cannot record it.
    """
    import torch

    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()

    def replay() -> T:
        graph.replay()
        return found

    return replay


class CapturedLifter:
    """A network as one CUDA graph; a call overwrites what the last one returned.

    Args:
        lifter: The network, on a GPU.
        given: Inputs by name, whose shapes every call has.

    Raises:
        RuntimeError: PyTorch cannot record it.
        EngineError: What was recorded computes something else.
    """

    def __init__(self, lifter: Callable[..., tuple[Tensor, ...]], given: dict[str, Tensor]) -> None:
        self._given = {name: value.clone() for name, value in given.items()}

        def run() -> tuple[Tensor, ...]:
            return lifter(self._given[KEYPOINTS], None, self._given.get(CONDITIONS))

        expected = [value.clone() for value in run()]
        for value in self._given.values():
            value.zero_()
        self._replay = captured(run)
        found = self(given[KEYPOINTS], None, given.get(CONDITIONS))
        if not same_outputs(_by_place(found), _by_place(expected)):
            raise EngineError(
                "The CUDA graph that PyTorch recorded computes something else than a plain run.",
                hint="Use engine='torch'.",
            )

    def __call__(
        self,
        keypoints: Tensor,
        _kept: None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Lift windows."""
        self._given[KEYPOINTS].copy_(keypoints)
        if conditions is not None:
            self._given[CONDITIONS].copy_(conditions)
        return self._replay()


def _by_place(values: Sequence[Tensor]) -> dict[str, NDArray[Any]]:
    return {str(place): value.cpu().numpy() for place, value in enumerate(values)}

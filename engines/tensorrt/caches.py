"""What a session of TensorRT keeps on the device between runs, and runs on it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from numpy.typing import NDArray

from hot_sdk.engines.caches import PreparedRun
from hot_sdk.engines.cuda.caches import CacheMemory
from hot_sdk.engines.session import Arrays
from hot_sdk.engines.tensorrt.bound_run import BoundRun
from hot_sdk.engines.tensorrt.execution import TensorRTExecution

Working: TypeAlias = Callable[[str], AbstractContextManager[TensorRTExecution]]
"""Gives the plan to one thread, with the device's context pushed; the argument is for messages."""


class TensorRTCaches:
    """Caches on the device; see ``hot_sdk.engines.caches.Caches``.

    Args:
        working: See there.
        memory: The caches.

    Attributes:
        memory: The caches.
    """

    def __init__(self, working: Working, memory: CacheMemory) -> None:
        self._working = working
        self.memory = memory

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.memory.nbytes

    def inputs(self, rows: slice) -> Arrays:
        """Return nothing: the host has none of them."""
        return {}

    def write(self, row: int, slot: int, outputs: Mapping[str, NDArray[Any]], item: int) -> None:
        """Refuse: only a run that was prepared leaves its outputs on the device."""
        raise NotImplementedError

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""
        with self._working("forgetting a person"):
            self.memory.clear(row)

    def move(self, source: int, target: int) -> None:
        """Copy a row to another."""
        with self._working("moving a person"):
            self.memory.move(source, target)


class TensorRTRun(PreparedRun):
    """A run on caches on the device, as a CUDA graph if possible.

    Args:
        working: See there.
        bound: The run.
        feeds: What it is fed with.
        caches: What it works on.
        first: Their row of the first item.
    """

    def __init__(
        self, working: Working, bound: BoundRun, feeds: Arrays, caches: TensorRTCaches, first: int
    ) -> None:
        # Nothing that refers to this object: as soon as nobody else does, its memory can be freed.
        super().__init__(functools.partial(_run, working, bound, feeds), caches, first)
        self._working, self._bound = working, bound
        self._memory = caches.memory

    @property
    def cuda_graph(self) -> bool:
        """Whether a run is one CUDA graph."""
        return self._bound.graph is not None

    def keep(self, item: int, slot: int) -> None:
        """Write what the last call returned of an item to a slot of its row, on the device."""
        with self._working("remembering a frame"):
            self._memory.write(self._first + item, slot, self._bound.addresses, item)


def _run(working: Working, bound: BoundRun, feeds: Arrays) -> Arrays:
    with working("running the model"):
        return bound.run(feeds)

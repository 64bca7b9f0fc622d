"""Inputs that stay with an engine from run to run, as the keys and values of earlier frames do.

They are most of what a live network is fed: megabytes a person. So they stay where the engine
works, and what a run returns of the newest frame is written to one slot of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hot_sdk.engines.session import Arrays


@dataclass(frozen=True)
class CacheSpec:
    """Inputs of one shape, and the output that is written to a slot of each.

    Attributes:
        inputs: Their names, in the order of the output's second axis.
        output: Name of the output: (batch, inputs, *shape*), its shape without the axis of slots.
        shape: Of an input, without the batch.
        axis: The axis of ``shape`` that has the slots.
    """

    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, ...]
    axis: int

    @property
    def numbers(self) -> int:
        """Numbers of one input of one item."""
        return prod(self.shape)

    @property
    def slots(self) -> int:
        """Number of slots."""
        return self.shape[self.axis]

    @property
    def before(self) -> int:
        """Numbers of the axes before that of the slots."""
        return prod(self.shape[: self.axis])

    @property
    def after(self) -> int:
        """Numbers of a slot that are next to each other."""
        return prod(self.shape[self.axis + 1 :])


class Caches(Protocol):
    """Inputs with a row for each item of a batch, in the memory where an engine works."""

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""

    def inputs(self, rows: slice) -> Arrays:
        """Return views of the inputs of some rows; empty if the host has none."""

    def write(self, row: int, slot: int, outputs: Mapping[str, NDArray[Any]], item: int) -> None:
        """Write outputs of an item of a batch to a slot of a row."""

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""

    def move(self, source: int, target: int) -> None:
        """Copy a row to another."""


class HostCaches:
    """Caches in the host's memory.

    Args:
        specs: What there is.
        rows: Number of rows.
        dtype: Type of the numbers.
    """

    def __init__(
        self, specs: Sequence[CacheSpec], rows: int, *, dtype: type[np.generic] = np.float32
    ) -> None:
        # Zeros that were never written take no memory.
        self._arrays = [
            (spec, np.zeros((len(spec.inputs), rows, *spec.shape), dtype=dtype)) for spec in specs
        ]
        self._slots = [
            (spec.output, np.moveaxis(array, 2 + spec.axis, 0)) for spec, array in self._arrays
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(array.nbytes for _, array in self._arrays)

    def inputs(self, rows: slice) -> Arrays:
        """Return views of the inputs of some rows."""
        return {
            name: array[number, rows]
            for spec, array in self._arrays
            for number, name in enumerate(spec.inputs)
        }

    def write(self, row: int, slot: int, outputs: Mapping[str, NDArray[Any]], item: int) -> None:
        """Write outputs of an item of a batch to a slot of a row."""
        for output, slots in self._slots:
            slots[slot, :, row] = outputs[output][item]

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""
        for _, array in self._arrays:
            array[:, row] = 0

    def move(self, source: int, target: int) -> None:
        """Copy a row to another."""
        for _, array in self._arrays:
            array[:, target] = array[:, source]


class PreparedRun:
    """A run on arrays and caches that were handed over once; see ``Session.prepare``.

    Args:
        run: Runs the model.
        caches: What stays with the engine; None if nothing does.
        first: Their row of the first item.
    """

    def __init__(
        self, run: Callable[[], Arrays], caches: Caches | None = None, first: int = 0
    ) -> None:
        self._run = run
        self._caches = caches
        self._first = first
        self._outputs: Arrays = {}

    def __call__(self) -> Arrays:
        """Run the model on the arrays as they are; the next call may overwrite what it returns.

        Raises:
            EngineError: The session is closed, or the engine failed.
        """
        self._outputs = self._run()
        return self._outputs

    def keep(self, item: int, slot: int) -> None:
        """Write what the last call returned of an item to a slot of its row.

        Raises:
            EngineError: The session is closed, or the engine failed.
        """
        assert self._caches is not None
        self._caches.write(self._first + item, slot, self._outputs, item)


CacheMaker: TypeAlias = Callable[[Sequence[CacheSpec], int, int | None], Caches]
"""Makes caches of a number of rows, for a fixed batch or, if that is None, an open one."""

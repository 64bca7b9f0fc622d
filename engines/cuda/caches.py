"""Caches in a GPU's memory, to which the device itself copies what a run returned."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from hot_sdk.engines.caches import CacheSpec
from hot_sdk.engines.cuda.device import CudaDevice

ALIGNMENT = 256
"""Bytes of which the address of each tensor is a multiple; TensorRT needs it."""

_FLOAT = 4


def aligned(specs: Sequence[CacheSpec], batch: int | None) -> bool:
    """Return whether a run may begin at each row, or with a fixed batch at each multiple of it."""
    return all(_FLOAT * spec.numbers * (batch or 1) % ALIGNMENT == 0 for spec in specs)


class CacheMemory:
    """Rows of caches, float32, in one piece of memory for each spec: layers, rows, shape.

    To be created, used and freed with the context pushed. What it does is enqueued in a stream,
    which is that of the runs.

    Args:
        device: The device.
        specs: What there is.
        rows: Number of rows.
        stream: The stream.

    Attributes:
        nbytes: Bytes of all rows.
    """

    def __init__(
        self,
        device: CudaDevice,
        specs: Sequence[CacheSpec],
        rows: int,
        stream: Any,  # noqa: ANN401
    ) -> None:
        self._cuda, self._stream, self._rows = device.cuda, stream, rows
        self._memory: dict[CacheSpec, Any] = {}
        self.nbytes = 0
        try:
            for spec in specs:
                size = len(spec.inputs) * rows * _FLOAT * spec.numbers
                self._memory[spec] = self._cuda.mem_alloc(size)
                self._cuda.memset_d8_async(int(self._memory[spec]), 0, size, stream)
                self.nbytes += size
        except BaseException:
            self.free()
            raise

    def addresses(self, row: int) -> dict[str, int]:
        """Return the addresses of all inputs, from a row on."""
        return {
            name: self._address(spec, number, row)
            for spec in self._memory
            for number, name in enumerate(spec.inputs)
        }

    def write(self, row: int, slot: int, outputs: Mapping[str, int], item: int) -> None:
        """Copy outputs of an item of a batch, whose addresses are given, to a slot of a row.

        Each takes one strided copy: of a layer, ``before`` pieces of ``after`` numbers, which are
        next to each other in the output, and ``slots`` pieces apart in the cache.
        """
        for spec in self._memory:
            piece, layers = _FLOAT * spec.after, len(spec.inputs)
            copy = self._cuda.Memcpy3D()
            copy.set_src_device(outputs[spec.output] + item * layers * spec.before * piece)
            copy.set_dst_device(self._address(spec, 0, row) + slot * piece)
            copy.width_in_bytes, copy.height, copy.depth = piece, spec.before, layers
            copy.src_pitch, copy.src_height = piece, spec.before
            # In pieces, from a layer to the next.
            copy.dst_pitch, copy.dst_height = spec.slots * piece, self._rows * spec.before
            copy(self._stream)

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""
        for address, size in self._parts(row):
            self._cuda.memset_d8_async(address, 0, size, self._stream)

    def move(self, source: int, target: int) -> None:
        """Copy a row to another."""
        for (start, size), (end, _) in zip(self._parts(source), self._parts(target), strict=True):
            self._cuda.memcpy_dtod_async(end, start, size, self._stream)

    def free(self) -> None:
        """Free the memory; freeing twice is allowed."""
        stream, self._stream = self._stream, None
        memory, self._memory = self._memory, {}
        with contextlib.suppress(self._cuda.Error):
            # What is enqueued may still work on it.
            if stream is not None:
                stream.synchronize()
        for one in memory.values():
            one.free()

    def _parts(self, row: int) -> list[tuple[int, int]]:
        """Return the address and the bytes of a row in each input."""
        return [
            (self._address(spec, number, row), _FLOAT * spec.numbers)
            for spec in self._memory
            for number in range(len(spec.inputs))
        ]

    def _address(self, spec: CacheSpec, layer: int, row: int) -> int:
        return int(self._memory[spec]) + _FLOAT * spec.numbers * (layer * self._rows + row)

"""Memory of a session's inputs and outputs, allocated once, at addresses that never change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.cuda.device import CudaDevice


class CudaBuffer:
    """One tensor in page-locked host memory and on the device.

    To be created, used and freed with the context pushed.

    Args:
        device: The device.
        elements: Largest number of elements.
        dtype: Name of the NumPy type.
        mapped: The device works on the host's array, and nothing is copied; for CPUs and GPUs that
            share one memory.
    """

    def __init__(self, device: CudaDevice, elements: int, dtype: str, *, mapped: bool) -> None:
        cuda = device.cuda
        self._cuda = cuda
        self._device_memory: Any = None
        # A tensor without elements still needs an address.
        size = max(elements, 1)
        flags = cuda.host_alloc_flags.DEVICEMAP if mapped else 0
        self._host: NDArray[Any] | None = cuda.pagelocked_empty(size, dtype, mem_flags=flags)
        if mapped:
            self.address = int(self._host_allocation().get_device_pointer())
        else:
            self._device_memory = cuda.mem_alloc(self._array().nbytes)
            self.address = int(self._device_memory)

    def view(self, shape: Sequence[int]) -> NDArray[Any]:
        """Return the first elements of the host's array in a shape."""
        return self._array()[: int(np.prod(shape))].reshape(shape)

    def upload(self, elements: int, stream: Any) -> None:  # noqa: ANN401
        """Enqueue the copy of the first elements to the device."""
        if self._device_memory is not None:
            part = self._array()[:elements]
            self._cuda.memcpy_htod_async(self._device_memory, part, stream)

    def download(self, elements: int, stream: Any) -> None:  # noqa: ANN401
        """Enqueue the copy of the first elements to the host."""
        if self._device_memory is not None:
            part = self._array()[:elements]
            self._cuda.memcpy_dtoh_async(part, self._device_memory, stream)

    def free(self) -> None:
        """Free both; no view may be used afterwards."""
        if self._device_memory is not None:
            memory, self._device_memory = self._device_memory, None
            memory.free()
        if self._host is not None:
            allocation, self._host = self._host_allocation(), None
            allocation.free()

    def _array(self) -> NDArray[Any]:
        assert self._host is not None
        return self._host

    def _host_allocation(self) -> Any:  # noqa: ANN401
        return self._array().base

"""The few calls of CUDA's driver library that PyCUDA lacks: graphs, and primary contexts.

PyCUDA 2026.1 has no call for CUDA graphs, and releases a primary context without taking it off the
thread's stack of contexts, as it must for contexts that it creates.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

LIBRARY = "libcuda.so.1"

_CAPTURE_THIS_THREAD = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do with CUDA does not end a capture."""


class CudaCallError(Exception):
    """A call of the driver failed; the text is like those of PyCUDA's errors."""


class CudaDriver:
    """NVIDIA's driver library.

    All calls except the constructor, ``device``, ``retain`` and ``release`` need a current context.

    Raises:
        OSError: The library is not installed.
        CudaCallError: A call fails; every method may raise it.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)

    def device(self, index: int) -> int:
        """Return the handle of a device, by its index."""
        handle = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(index))
        return handle.value

    def retain(self, device: int) -> int:
        """Add a user to a device's primary context; return its handle."""
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), ctypes.c_int(device))
        return context.value or 0

    def release(self, device: int) -> None:
        """Remove a user from a device's primary context; without users it is destroyed."""
        self._call("cuDevicePrimaryCtxRelease_v2", ctypes.c_int(device))

    def take_off_stack(self, context: int) -> None:
        """Take a context off this thread's stack, where it is the first or the second."""
        first = self._pop()
        if first != context:
            self._pop()
            self._call("cuCtxPushCurrent_v2", ctypes.c_void_p(first))

    def capture(self, stream: int, enqueue: Callable[[], None]) -> int:
        """Record the work that a function enqueues into a stream, without running it.

        Returns:
            Handle of an executable graph, for ``launch`` and ``destroy_graph``.
        """
        self._call(
            "cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(_CAPTURE_THIS_THREAD)
        )
        graph = ctypes.c_void_p()
        try:
            enqueue()
        except BaseException:
            # The stream can be used again only after its capture has ended, even one that failed.
            self._library.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
            if graph.value:
                self._library.cuGraphDestroy(graph)
            raise
        self._call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        executable = ctypes.c_void_p()
        try:
            self._call(
                "cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_uint64(0)
            )
        finally:
            self._library.cuGraphDestroy(graph)
        return executable.value or 0

    def launch(self, graph: int, stream: int) -> None:
        """Run an executable graph in a stream, without waiting for it."""
        self._call("cuGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def destroy_graph(self, graph: int) -> None:
        """Free an executable graph."""
        self._call("cuGraphExecDestroy", ctypes.c_void_p(graph))

    def _pop(self) -> int:
        context = ctypes.c_void_p()
        self._call("cuCtxPopCurrent_v2", ctypes.byref(context))
        return context.value or 0

    def _call(self, name: str, *arguments: object) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise CudaCallError(f"{name} is not in this driver, which is older than CUDA 11.4's")
        status = function(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(ctypes.c_int(status), ctypes.byref(text))
            reason = (text.value or f"error {status}".encode()).decode(errors="replace")
            raise CudaCallError(f"{name} failed: {reason}")

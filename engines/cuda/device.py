"""One NVIDIA GPU through PyCUDA: found before anything else uses CUDA, shared with any library.

The context is the device's primary one, which PyTorch and the CUDA runtime use too, and it is
current only inside of ``CudaDevice.pushed``: the calling thread's previous context is current again
afterwards. ``pycuda.autoinit``, which does neither, is not used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hot_sdk._base.jetson_files import BOARD_FILE, MEMORY_NODE, RELEASE_FILE
from hot_sdk._base.optional import INSTALL_PYCUDA
from hot_sdk.engines.cuda.driver import LIBRARY, CudaCallError, CudaDriver
from hot_sdk.errors import EngineError, MissingDependencyError

_L4T_FILE = Path(RELEASE_FILE)
_NVMAP = Path(MEMORY_NODE)
_BOARD_FILE = Path(BOARD_FILE)
_L4T = re.compile(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_MEMORY_FILE = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB$", re.MULTILINE)
_DRIVER = re.compile(r"\b(\d+\.\d+(?:\.\d+)?)\b")

# Texts of cuGetErrorString for errors after which no call of this process succeeds any more.
_LOST = ("illegal", "unspecified launch", "assert", "misaligned", "uncorrectable", "unavailable")
_LOST_HINT = (
    "The GPU is lost to this process: end it and start it again; if that does not help, look into"
    " dmesg for errors of NVRM or nvgpu."
)

# Releases whose NvMap refuses memory that is free, for CVE-2025-33177; 36.5 and 38.4 do not.
_CAPPED = ("L4T 36.4.7", "L4T 38.2.2")
_CAPPED_HINT = "This Jetson Linux also refuses memory that is free: update it to 36.5, or 38.4."

_logger = logging.getLogger(__name__)


def open_device(index: int, *, purpose: str) -> CudaDevice:
    """Find a GPU and retain its primary context.

    Args:
        index: Its index, as CUDA counts them.
        purpose: What needs it, as the subject of a sentence.

    Raises:
        MissingDependencyError: PyCUDA is not installed.
        EngineError: There is no driver, no such GPU, or it does not respond.
    """
    cuda = _import_pycuda(purpose)
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        raise EngineError(
            f"{purpose} needs an NVIDIA GPU, but its driver finds none ({error}).",
            hint="Run hot-doctor; in a container, start it with access to the GPU.",
        ) from error
    if index >= count:
        found = f"{count} GPU" + ("s" if count > 1 else "")
        raise EngineError(
            f"There is no cuda:{index}; CUDA sees {found}.",
            hint="Use cuda:0 for the first one, and see CUDA_VISIBLE_DEVICES.",
        )
    try:
        return CudaDevice(cuda, CudaDriver(), index)
    except (cuda.Error, CudaCallError, OSError) as error:
        raise EngineError(
            f"cuda:{index} cannot be opened ({error}).",
            hint="Run hot-doctor; another program may hold the GPU for itself.",
        ) from error


class CudaDevice:
    """A GPU that is open; created by ``open_device``.

    Attributes:
        name: ``cuda:N``.
        model: Name of the GPU's model.
        capability: Its compute capability, such as ``8.7``.
        driver: Release of the driver, or of Jetson Linux.
        board: The Jetson's model; empty elsewhere.
        multiprocessors: Number of its streaming multiprocessors. CUDA names all modules of a Jetson
            family alike; they differ in this and in their memory.
        total_memory: Its memory, in bytes.
        shares_memory: Whether CPU and GPU share one memory, as on a Jetson.
        cuda: The module ``pycuda.driver``.
        calls: What that module lacks.
    """

    def __init__(self, cuda: ModuleType, calls: CudaDriver, index: int) -> None:
        device = cuda.Device(index)
        self.name = f"cuda:{index}"
        self.model: str = device.name()
        self.capability = "{}.{}".format(*device.compute_capability())
        self.driver = driver_release() or f"CUDA {cuda.get_driver_version()}"
        self.board = _board()
        attributes = cuda.device_attribute
        self.multiprocessors = int(device.get_attribute(attributes.MULTIPROCESSOR_COUNT))
        self.total_memory = int(device.total_memory())
        self.shares_memory = bool(device.get_attribute(attributes.INTEGRATED))
        self.cuda = cuda
        self.calls = calls
        self._process = os.getpid()
        self._handle = calls.device(index)
        self._errors: tuple[type[Exception], ...] = (cuda.Error, CudaCallError)
        self._context: Any = device.retain_primary_context()

    @contextlib.contextmanager
    def pushed(self, doing: str) -> Iterator[None]:
        """Make the context current in this thread during a ``with`` statement.

        Args:
            doing: What is done meanwhile, for messages, as in ``running the model``.

        Raises:
            EngineError: A call of CUDA failed meanwhile, or the device was lost or released.
        """
        if self._context is None:
            raise EngineError(
                f"{self.name} was lost or closed; {doing} is impossible.", hint=_LOST_HINT
            )
        if os.getpid() != self._process:
            raise EngineError(
                f"This process was forked after {self.name} was opened, and cannot use it.",
                hint="Open the session in the new process, or start it by multiprocessing 'spawn'.",
            )
        try:
            self._context.push()
            try:
                yield
            finally:
                self._pop()
        except self._errors as error:
            raise self._failure(doing, error) from error

    def free_memory(self) -> int:
        """Return the bytes that can be had on the device; needs the context pushed."""
        # Of memory that it shares, CUDA counts neither what the system caches nor what it can swap.
        if self.shares_memory and (available := _available_memory()) is not None:
            return min(available, self.total_memory)
        free, _ = self.cuda.mem_get_info()
        return int(free)

    def release(self) -> None:
        """Release the context; nothing that was created in it may be used afterwards."""
        if self._context is None or os.getpid() != self._process:
            return
        context, self._context = self._context, None
        try:
            # PyCUDA leaves a released primary context on the thread's stack. Retained once more, it
            # is still alive when it is taken off there.
            handle = self.calls.retain(self._handle)
            context.push()
            context.detach()
            self.calls.take_off_stack(handle)
            self.calls.release(self._handle)
        except self._errors as error:
            _logger.warning("The context of %s could not be released: %s", self.name, error)

    def _pop(self) -> None:
        try:
            self._context.pop()
        except self._errors:
            # Left on PyCUDA's stack, it would abort the process at its end.
            context, self._context = self._context, None
            context.detach()
            raise

    def _failure(self, doing: str, error: Exception) -> EngineError:
        reason = " ".join(str(error).split())
        if isinstance(error, self.cuda.MemoryError) or "out of memory" in reason:
            what = "memory, which CPU and GPU share," if self.shares_memory else "GPU memory"
            hint = (
                f"Free {what} by ending other programs, or use a smaller network or batch (of an"
                " open one, largest_batch or --largest-batch)."
            )
            if self.driver in _CAPPED:
                hint += f" {_CAPPED_HINT}"
        elif isinstance(error, self.cuda.LaunchError) or any(word in reason for word in _LOST):
            hint = _LOST_HINT
        else:
            hint = "Run hot-doctor to see whether the driver and the GPU are in order."
        return EngineError(f"{self.name} ({self.model}) failed while {doing}: {reason}.", hint=hint)


def on_jetson() -> bool:
    """Return whether this machine is a Jetson, or a container on one."""
    return _L4T_FILE.is_file() or _NVMAP.exists()


def driver_release() -> str | None:
    """Return the release of Jetson Linux, else of NVIDIA's driver; None without either file."""
    for path, pattern, prefix in ((_L4T_FILE, _L4T, "L4T "), (_DRIVER_FILE, _DRIVER, "")):
        try:
            match = pattern.search(path.read_text(errors="replace"))
        except OSError:
            continue
        if match:
            return prefix + ".".join(match.groups())
    return None


def _board() -> str:
    if not on_jetson():
        return ""
    try:
        return _BOARD_FILE.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _available_memory() -> int | None:
    """Return the bytes that the system can give to a program; None if it does not report them."""
    try:
        match = _AVAILABLE.search(_MEMORY_FILE.read_text(errors="replace"))
    except OSError:
        return None
    return None if match is None else int(match[1]) * 1024


def _import_pycuda(purpose: str) -> ModuleType:
    try:
        return importlib.import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        if LIBRARY in reason:
            raise EngineError(
                f"{purpose} needs an NVIDIA GPU, and its driver is not installed ({reason}).",
                hint="Install NVIDIA's driver; in a container, start it with access to the GPU.",
            ) from error
        hint = f"Run: {INSTALL_PYCUDA}"
        if importlib.util.find_spec("pycuda") is not None:
            hint = "It is installed, but broken: run hot-doctor, which says what repairs it."
        raise MissingDependencyError(
            f"{purpose} needs the package 'pycuda', which cannot be imported ({reason}).",
            hint=hint,
        ) from error

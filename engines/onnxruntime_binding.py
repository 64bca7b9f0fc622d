"""Runs on memory that was bound once: no allocation, and what a CUDA graph can replay."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.interface import TensorSpec
from hot_sdk.engines.onnxruntime_session import VendorSession, input_specs, output_specs


class BoundRunner:
    """Runs a session of fixed sizes on a device's memory, one run at a time.

    Args:
        ort: The onnxruntime module.
        session: The session; every size of its inputs and outputs is fixed.
        device: ``cpu`` or ``cuda``, in ONNX Runtime's words.
        index: Which of them.
    """

    def __init__(self, ort: ModuleType, session: VendorSession, device: str, index: int) -> None:
        def allocate(spec: TensorSpec) -> Any:  # noqa: ANN401
            return ort.OrtValue.ortvalue_from_shape_and_type(
                spec.shape, np.dtype(spec.dtype), device, index
            )

        self._session = session
        self._binding = session.io_binding()
        self._inputs = {spec.name: allocate(spec) for spec in input_specs(session)}
        self._outputs = {spec.name: allocate(spec) for spec in output_specs(session)}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        # The memory is shared by all runs, so threads take turns.
        self._turn = threading.Lock()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """From inputs that were checked to outputs that are the caller's."""
        with self._turn:
            for name, array in feeds.items():
                self._inputs[name].update_inplace(array)
            self._binding.synchronize_inputs()
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            # On a CPU these are views of the bound memory, which the next run overwrites.
            return {name: np.array(value.numpy()) for name, value in self._outputs.items()}

    def warm_up(self) -> None:
        """Run once on zeros, with which a CUDA graph is captured."""
        self.run(
            {
                spec.name: np.zeros([int(size) for size in spec.shape], spec.dtype)
                for spec in input_specs(self._session)
            }
        )

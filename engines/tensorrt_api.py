"""What the SDK uses of TensorRT's Python binding, as types.

The classes are the binding's, with the members that are used and the names of their arguments, so
that mypy refuses any other; a test holds them against the bindings of several releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Builder(Protocol):
    """Makes networks, their settings and plans."""

    def create_network(self, flags: int) -> INetworkDefinition: ...
    def create_builder_config(self) -> IBuilderConfig: ...
    def create_optimization_profile(self) -> IOptimizationProfile: ...
    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None: ...


class INetworkDefinition(Protocol):
    """A graph, before it is compiled; only handed on."""


class IOptimizationProfile(Protocol):
    """The sizes that an open dimension may have."""

    def set_shape(
        self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]
    ) -> None: ...


class ITimingCache(Protocol):
    """What an earlier build has measured."""

    def serialize(self) -> IHostMemory: ...


class IBuilderConfig(Protocol):
    """How to compile."""

    builder_optimization_level: int
    profiling_verbosity: Any
    progress_monitor: Any

    def clear_flag(self, flag: Any) -> None: ...
    def set_flag(self, flag: Any) -> None: ...
    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None: ...
    def add_optimization_profile(self, profile: IOptimizationProfile) -> int: ...
    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None: ...
    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool: ...
    def get_timing_cache(self) -> ITimingCache | None: ...


class IHostMemory(Protocol):
    """Bytes, through the buffer protocol."""

    nbytes: int


class ParserError(Protocol):
    """One thing that the parser could not read."""

    def desc(self) -> str: ...
    def node_name(self) -> str: ...
    def node_operator(self) -> str: ...


class OnnxParser(Protocol):
    """Reads an ONNX file into a network."""

    num_errors: int

    def parse(self, model: bytes, path: str | None = None) -> bool: ...
    def get_error(self, index: int) -> ParserError: ...


class Runtime(Protocol):
    """Loads plans."""

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None: ...


class EngineInspector(Protocol):
    """Tells what became of a graph."""

    def get_engine_information(self, format: Any) -> str: ...


class ICudaEngine(Protocol):
    """A plan that is loaded."""

    num_io_tensors: int

    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> Any: ...
    def get_tensor_dtype(self, name: str) -> Any: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def create_engine_inspector(self) -> EngineInspector: ...
    def create_execution_context(self) -> IExecutionContext | None: ...


class IExecutionContext(Protocol):
    """A plan with the memory of one run."""

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...

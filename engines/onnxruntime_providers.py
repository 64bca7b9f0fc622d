"""Which execution provider of ONNX Runtime runs a model, and how it is asked to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import ModuleType

from hot_sdk.engines.interface import SessionOptions
from hot_sdk.engines.onnxruntime_cuda import (
    CUDA_PROVIDER,
    TENSORRT_PROVIDER,
    TENSORRT_RTX_PROVIDER,
    cuda_index,
    load_cuda_libraries,
    require_cuda_build,
)
from hot_sdk.errors import EngineError, UsageError

CPU_PROVIDER = "CPUExecutionProvider"

_OF_DEVICE = {"cpu": CPU_PROVIDER, "cuda": CUDA_PROVIDER}
_OF_NVIDIA = (CUDA_PROVIDER, TENSORRT_PROVIDER, TENSORRT_RTX_PROVIDER)
# Neither has an option that turns TensorFloat-32 off; TensorRT itself reads this variable.
_TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"


@dataclass(frozen=True)
class Provider:
    """An execution provider that was chosen.

    Attributes:
        name: By ONNX Runtime's own name.
        device: What a session on it says that its device is: ``cpu``, ``cuda:N``, or the provider's
            name where the provider itself chooses between devices.
        graphs: Whether it may be asked to capture a CUDA graph, and by which option.
        options: The other options.
        engine_cache: Options that name the folder for what it builds; empty where it builds nothing
            that it keeps.
    """

    name: str
    device: str
    graphs: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    engine_cache: tuple[str, ...] = ()

    @property
    def on_cpu(self) -> bool:
        """Whether it is the CPU's own."""
        return self.name == CPU_PROVIDER

    @property
    def on_nvidia(self) -> bool:
        """Whether it runs on NVIDIA's GPUs."""
        return self.name in _OF_NVIDIA


def choose_provider(ort: ModuleType, options: SessionOptions) -> Provider:
    """The provider that the options ask for.

    Raises:
        UsageError: The provider and the device contradict each other.
        EngineError: This ONNX Runtime lacks the provider, or has none for the device; or the
            provider may compute float32 in a narrower type, which was not asked for.
    """
    kind = options.device.partition(":")[0]
    name = options.provider or _OF_DEVICE.get(kind)
    if name is None:
        raise EngineError(
            f"ONNX Runtime has no provider of its own for the device '{options.device}'.",
            hint="Use engine='openvino', which runs on Intel's GPUs and NPUs, or name a provider.",
        )
    if name == CUDA_PROVIDER:
        require_cuda_build(ort)
    available = ort.get_available_providers()
    if name not in available:
        raise EngineError(
            f"The installed ONNX Runtime {ort.__version__} has no provider '{name}'.",
            hint=f"It has: {', '.join(available)}.",
        )
    _check_device(name, options.device)
    if name == CPU_PROVIDER:
        return Provider(name, "cpu")
    if name not in _OF_NVIDIA:
        _require_fast_math(name, options)
        return Provider(name, name)
    load_cuda_libraries(ort)
    return _nvidia(name, options)


def _check_device(name: str, device: str) -> None:
    on_cuda = device.startswith("cuda")
    if name in _OF_NVIDIA and not on_cuda:
        raise UsageError(
            f"The provider '{name}' runs on NVIDIA's GPUs, and the device is '{device}'.",
            hint="Use device='cuda', or another provider.",
        )
    # Other providers choose between the devices that they know, and take no word of ours on it.
    if name not in _OF_NVIDIA and device != "cpu":
        raise UsageError(
            f"The provider '{name}' does not run on '{device}'.",
            hint="Leave the device out; a provider that knows several chooses one itself.",
        )


def _nvidia(name: str, options: SessionOptions) -> Provider:
    index = cuda_index(options.device)
    device = f"cuda:{index}"
    if name == CUDA_PROVIDER:
        # TensorFloat-32 keeps 10 of float32's 23 fraction bits, and is on unless refused.
        tf32 = "1" if options.fast_math else "0"
        return Provider(name, device, "enable_cuda_graph", {"device_id": index, "use_tf32": tf32})
    if os.environ.get(_TF32_VARIABLE) != "0":
        _require_fast_math(name, options, f", or set the environment's {_TF32_VARIABLE} to 0")
    if name == TENSORRT_PROVIDER:
        return Provider(
            name,
            device,
            "trt_cuda_graph_enable",
            {
                "device_id": index,
                "trt_engine_cache_enable": "1" if options.cache_dir else "0",
                "trt_timing_cache_enable": "1" if options.cache_dir else "0",
            },
            ("trt_engine_cache_path", "trt_timing_cache_path"),
        )
    return Provider(
        name, device, "enable_cuda_graph", {"device_id": index}, ("nv_runtime_cache_path",)
    )


def _require_fast_math(name: str, options: SessionOptions, otherwise: str = "") -> None:
    if not options.fast_math:
        raise EngineError(
            f"The provider '{name}' may compute in a narrower type what the file states to be"
            " float32, and was not allowed to.",
            hint=f"Allow it with fast_math=True{otherwise}, and compare the poses.",
        )

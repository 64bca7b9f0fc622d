"""TensorRT-RTX's parser and compiler, which need no GPU, driven by our own building code."""

import pytest

from hot_sdk.engines import SessionOptions
from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.engines.tensorrt.bindings import create_log
from hot_sdk.engines.tensorrt.plan import build_plan, plan_spec

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no wheel for this platform")

# Ampere, as Jetson Orin; RTX knows no sm_87.
CAPABILITIES = ("SM86",)
MEMORY = 4 << 30


class WithoutDevice:
    """The module, with a builder that compiles for GPUs that are not there."""

    def __init__(self, capabilities):
        self._capabilities = capabilities

    def __getattr__(self, name):
        return getattr(trt, name)

    def Builder(self, log):  # noqa: N802
        return BuilderWithoutDevice(log, self._capabilities)


class BuilderWithoutDevice:
    def __init__(self, log, capabilities):
        self._builder = trt.Builder(log)
        self._capabilities = capabilities

    def __getattr__(self, name):
        return getattr(self._builder, name)

    def create_builder_config(self):
        config = ConfigWithoutTimings(self._builder.create_builder_config())
        config.num_compute_capabilities = len(self._capabilities)
        for place, name in enumerate(self._capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), place)
        return config

    def build_serialized_network(self, network, config):
        return self._builder.build_serialized_network(network, config.config)


class ConfigWithoutTimings:
    """Settings of a build without a timing cache, for which RTX wants a device."""

    def __init__(self, config):
        self.__dict__["config"] = config

    def __getattr__(self, name):
        return getattr(self.config, name)

    def __setattr__(self, name, value):
        setattr(self.config, name, value)

    def create_timing_cache(self, _):
        return None

    def get_timing_cache(self):
        return None


def compiled(model, *, stop=lambda: False, capabilities=CAPABILITIES, memory=MEMORY):
    """The plan of a file or of its bytes, for one GPU or for several, with bytes that are free."""
    file = check_onnx(model)
    signature = read_signature(file)
    spec = plan_spec(file, signature, SessionOptions(device="cuda"))
    module = WithoutDevice(capabilities)
    log = create_log(module)
    plan, _ = build_plan(module, log, spec, free_memory=lambda: memory, timings=b"", stop=stop)
    return plan

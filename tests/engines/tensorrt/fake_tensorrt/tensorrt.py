"""What an execution context of TensorRT does with memory and streams, on the fake CUDA driver.

Networks of one node are ``y = 2 x`` in float32; others are computed by ONNX Runtime. It checks
what the real library needs and cannot check by itself here: that a context of CUDA is current
whenever one of its objects is made, used or destroyed. Like the binding, it swallows what a
callback raises, and raises TypeError if a library gives no object. Its plans are JSON. It stands
for no other behaviour of TensorRT; what its binding is called like is tested with the real
bindings, and what its parser and compiler accept with TensorRT-RTX.

Environment: FAKE_TENSORRT_VERSION; FAKE_TENSORRT_FAILS (a build); FAKE_TENSORRT_LARGEST
(batch that a profile takes); FAKE_TENSORRT_NULL (the class of
which no object comes); FAKE_TENSORRT_TYPE (the type that its inspector reports), and
FAKE_TENSORRT_OPAQUE (of one region for the whole network), or FAKE_TENSORRT_INSPECTOR (a file with
all of its text); FAKE_TENSORRT_TAKES (bytes that a
builder takes of the device); FAKE_TENSORRT_STEPS (2) and FAKE_TENSORRT_STEP_S (0) of a build, and
FAKE_TENSORRT_INTERRUPT (the step in which Ctrl-C is pressed); FAKE_TENSORRT_NOISE (added to the
inputs of networks, the same in each run).
"""

import ctypes
import enum
import functools
import json
import math
import os
import pathlib
import signal
import threading
import time
import weakref

import numpy
import onnx
import onnxruntime
from onnx import TensorProto

__version__ = os.environ.get("FAKE_TENSORRT_VERSION", "10.3.0")

_driver = ctypes.CDLL("libcuda.so.1")
without_context = []
"""Names of what was done without a current context; tests expect none."""
builds = []
"""The options of each build."""

NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", ["STRONGLY_TYPED"])
ProfilingVerbosity = enum.Enum("ProfilingVerbosity", ["DETAILED"])
MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
BuilderFlag = enum.Enum("BuilderFlag", ["TF32"])
LayerInformationFormat = enum.Enum("LayerInformationFormat", ["JSON"])
TensorIOMode = enum.Enum("TensorIOMode", ["INPUT", "OUTPUT"])
_NUMPY = {"FLOAT": "f4", "HALF": "f2", "INT64": "i8", "INT32": "i4", "BOOL": "?"}
DataType = enum.Enum("DataType", list(_NUMPY))


def _need_context(what):
    if not _driver.fake_depth():
        without_context.append(what)


class _Object:
    def __init__(self, *_arguments):
        _need_context(f"{type(self).__name__} made")
        if os.environ.get("FAKE_TENSORRT_NULL") == type(self).__name__:
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def __del__(self):
        _need_context(f"{type(self).__name__} destroyed")


class _Library:
    """Compiled code: Python handles Ctrl-C only while it is called back, if ever.

    Use it in a ``with`` statement, as the outer thread of callbacks.
    """

    def __enter__(self):
        self._pressed, self._handler = [], signal.getsignal(signal.SIGINT)
        self._main = threading.current_thread() is threading.main_thread()
        if self._main and callable(self._handler):
            signal.signal(signal.SIGINT, lambda number, _frame: self._pressed.append(number))
        return self

    def __exit__(self, *_error):
        if self._main:
            signal.signal(signal.SIGINT, self._handler)
        if self._pressed:
            self._handler(self._pressed.pop(), None)

    def call_back(self, callback, *arguments):
        """What a callback returns; False if it raises, which the binding does not pass on."""
        try:
            if self._pressed:
                self._handler(self._pressed.pop(), None)
            return callback(*arguments)
        except BaseException:
            return False


class ILogger:
    Severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])


class Logger(ILogger):
    """The one that comes with the library, and prints."""

    ERROR = ILogger.Severity.ERROR

    def __init__(self, least):
        self._least = least

    def log(self, severity, msg):
        pass


class IProgressMonitor:
    pass


class Builder(_Object):
    def __init__(self, log):
        super().__init__()
        self.log = log
        _driver.fake_reserve(ctypes.c_size_t(int(os.environ.get("FAKE_TENSORRT_TAKES", "0"))))

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return _Network()

    def create_builder_config(self):
        return _Config()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, network, config):
        monitor = config.progress_monitor
        steps = int(os.environ.get("FAKE_TENSORRT_STEPS", "2"))
        with _Library() as library:
            library.call_back(monitor.phase_start, "Building", None, steps)
            for step in range(steps):
                if str(step) == os.environ.get("FAKE_TENSORRT_INTERRUPT"):
                    os.kill(os.getpid(), signal.SIGINT)
                time.sleep(float(os.environ.get("FAKE_TENSORRT_STEP_S", "0")))
                library.call_back(self.log.log, ILogger.Severity.VERBOSE, "a tactic")
                if not library.call_back(monitor.step_complete, "Building", step):
                    return None
            library.call_back(monitor.phase_finish, "Building")
        open_inputs = {
            name for name, mode, shape, _ in network.tensors if mode == "INPUT" and -1 in shape
        }
        if missing := open_inputs - config.sizes.keys():
            self.log.log(ILogger.Severity.ERROR, f"no profile has sizes of {sorted(missing)}")
            return None
        if os.environ.get("FAKE_TENSORRT_FAILS"):
            self.log.log(ILogger.Severity.ERROR, "no tactic was found\nfor the layer")
            return None
        builds.append({"workspace": config.workspace, "flags": set(config.flags)})
        return json.dumps(network.tensors).encode() + network.model


class _Network(_Object):
    tensors = None
    model = b""


class _Profile(_Object):
    def __init__(self):
        super().__init__()
        self.sizes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002
        assert min[0] == 1 <= opt[0] <= max[0]
        if max[0] > int(os.environ.get("FAKE_TENSORRT_LARGEST", "1000000")):
            raise RuntimeError("Shape provided for max is inconsistent with other dimensions.")
        self.sizes[input] = max


class _Config(_Object):
    def __init__(self):
        super().__init__()
        self.flags = {BuilderFlag.TF32}
        self.sizes = {}
        self._timings = None

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool, pool_size):
        self.workspace = pool_size

    def add_optimization_profile(self, profile):
        self.sizes = profile.sizes
        return 0

    def create_timing_cache(self, serialized_timing_cache):
        return _Timings(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        self._timings = cache
        return True

    def get_timing_cache(self):
        return self._timings


class _Timings:
    def __init__(self, content):
        self._content = bytes(content)

    def serialize(self):
        return self._content + b"."


class OnnxParser(_Object):
    def __init__(self, network, log):
        super().__init__()
        self._network = network
        self.num_errors = 1

    def parse(self, model, path=None):
        graph = onnx.load_from_string(model).graph
        if any(node.op_type == "NonZero" for node in graph.node):
            return False
        self._network.tensors = [
            [
                value.name,
                mode,
                [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim],
                TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            ]
            for values, mode in ((graph.input, "INPUT"), (graph.output, "OUTPUT"))
            for value in values
        ]
        if len(graph.node) > 1:
            self._network.model = b"\n" + bytes(model)
        return True

    def get_error(self, index):
        return _Error()


class _Error:
    def desc(self):
        return "there is no such operator"

    def node_name(self):
        return "find"

    def node_operator(self):
        return "NonZero"


class Runtime(_Object):
    def __init__(self, log):
        super().__init__()

    def deserialize_cuda_engine(self, serialized_engine):
        tensors, _, model = serialized_engine.partition(b"\n")
        return _Engine(json.loads(tensors), model)


class _Inspector(_Object):
    def __init__(self, engine):
        super().__init__()
        self._open = any(size < 0 for tensor in engine.tensors for size in tensor[2])
        self._types = [os.environ.get("FAKE_TENSORRT_TYPE", "FP32")]
        if engine.model:
            # As many layers as the file has types of weights.
            weights = onnx.load_from_string(engine.model).graph.initializer
            names = {TensorProto.DataType.Name(each.data_type) for each in weights}
            self._types = sorted({"FLOAT": "FP32", "FLOAT16": "FP16"}.get(n, n) for n in names)

    def get_engine_information(self, format):  # noqa: A002
        recorded = os.environ.get("FAKE_TENSORRT_INSPECTOR")
        if recorded == "None":
            return None
        if recorded:
            return pathlib.Path(recorded).read_text(encoding="utf-8")
        return json.dumps({"Layers": list(map(self._layer, self._types))})

    def _layer(self, kind):
        tensor = {"Name": "y", "Format/Datatype": f"Row major linear {kind} format"}
        if self._open:
            tensor["Format/Datatype"] = "N/A due to dynamic shapes"
        layer = {"Name": "double", "LayerType": "ElementWise", "Outputs": [tensor]}
        if os.environ.get("FAKE_TENSORRT_OPAQUE"):
            layer |= {"Name": "{ForeignNode[find...last]}", "LayerType": "Myelin"}
        return layer


class _Engine(_Object):
    def __init__(self, tensors, model):
        super().__init__()
        self.tensors = tensors
        self.model = model
        self.num_io_tensors = len(tensors)

    def _tensor(self, name):
        return next(tensor for tensor in self.tensors if tensor[0] == name)

    def get_tensor_name(self, index):
        return self.tensors[index][0]

    def get_tensor_mode(self, name):
        return TensorIOMode[self._tensor(name)[1]]

    def get_tensor_dtype(self, name):
        kind = self._tensor(name)[3]
        return DataType[{"FLOAT16": "HALF"}.get(kind, kind)]

    def get_tensor_shape(self, name):
        return self._tensor(name)[2]

    def create_engine_inspector(self):
        return _Inspector(self)

    def create_execution_context(self):
        return _Context(self)


class _Context(_Object):
    def __init__(self, engine):
        super().__init__()
        self._engine = engine
        self._batches = {}
        self._addresses = {}
        # How often its shapes or addresses changed: what was captured before that is undefined.
        self.changes = 0
        self._network = _network(self) if engine.model else None

    def set_input_shape(self, name, shape):
        _need_context("set_input_shape")
        self._batches[name] = shape[0]
        self.changes += 1
        return True

    def get_tensor_shape(self, name):
        shape = self._engine.get_tensor_shape(name)
        if self._engine.get_tensor_mode(name) is TensorIOMode.INPUT:
            batch = self._batches.get(name, -1)
        else:
            # Known once every input's is, and if they agree.
            batch = self._agreed_batch()
        return [batch if size < 0 else size for size in shape]

    def _agreed_batch(self):
        inputs = [tensor[0] for tensor in self._engine.tensors if tensor[1] == "INPUT"]
        open_inputs = [name for name in inputs if -1 in self._engine.get_tensor_shape(name)]
        found = {self._batches.get(name, -1) for name in open_inputs}
        return found.pop() if len(found) == 1 else -1

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        self.changes += 1
        return memory % 256 == 0

    def execute_async_v3(self, stream_handle):
        _need_context("execute_async_v3")
        if any(
            tensor[0] not in self._addresses or -1 in self.get_tensor_shape(tensor[0])
            for tensor in self._engine.tensors
        ):
            return False
        if self._network is not None:
            call = self._network(self.changes)
            return not _driver.fake_call(call, ctypes.c_void_p(stream_handle))
        size = 4
        for length in self.get_tensor_shape("x"):
            size *= length
        addresses = [ctypes.c_void_p(self._addresses[name]) for name in ("y", "x")]
        stream = ctypes.c_void_p(stream_handle)
        return not _driver.fake_double(*addresses, ctypes.c_size_t(size), stream)

    def array(self, name):
        """The memory of a tensor."""
        kind = numpy.dtype(_NUMPY[self._engine.get_tensor_dtype(name).name])
        shape = self.get_tensor_shape(name)
        size = kind.itemsize * math.prod(shape)
        memory = (ctypes.c_char * size).from_address(self._addresses[name])
        return numpy.frombuffer(memory, kind).reshape(shape)


def _network(context):
    """Make C functions that compute a network in a context's memory, one for each of its states."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # As a GPU does, int8 is summed without overflow.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(context._engine.model, options)
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]

    # It belongs to the context, which has to end as soon as nothing else uses it.
    belongs_to = weakref.ref(context)

    def compute(expected):
        context = belongs_to()
        noise = float(os.environ.get("FAKE_TENSORRT_NOISE", "0"))
        random = numpy.random.default_rng(0)
        feeds = {}
        for name in inputs:
            array = context.array(name)
            feeds[name] = array + (noise * random.standard_normal(array.shape)).astype(array.dtype)
        found = session.run(outputs, feeds)
        for name, values in zip(outputs, found, strict=True):
            context.array(name)[...] = values if context.changes == expected else math.nan

    @functools.cache
    def call(changes):
        return ctypes.CFUNCTYPE(None)(lambda: compute(changes))

    return call

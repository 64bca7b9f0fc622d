"""Python packages and ONNX Runtime's providers."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from faked_machines import answers, faked, found, jetson, only, programs

from hot_sdk.doctor.engines import check_onnxruntime, check_openvino
from hot_sdk.doctor.packages import check_extras, check_onnxruntime_builds, check_python, check_sdk
from hot_sdk.doctor.probe import ADD_MODEL
from hot_sdk.host.machine import this_machine
from hot_sdk.version import __version__

CUDA = "provider CUDAExecutionProvider"
GPU = {"dev/nvidia0": "", "proc/driver/nvidia/version": "NVRM version: x  580.82.07  y"}
TWO = [2.0, 2.0, 2.0, 2.0]


def test_python():
    assert only(faked(), check_python).status == "ok"
    old = only(faked(python=(3, 9, 1)), check_python)
    assert (old.status, old.fix) == ("wrong", "The SDK needs Python 3.10 or newer.")


def test_sdk():
    assert only(faked(distributions={"hot-sdk": __version__}), check_sdk).status == "ok"
    assert only(faked(distributions={"hot-sdk": "0.0.1"}), check_sdk).status == "wrong"
    assert only(faked(), check_sdk).status == "info"


REQUIREMENTS = (
    "numpy>=1.24",
    'torch>=2.9; extra == "export"',
    'onnx>=1.17 ; extra == "export"',
    'opencv-python>=4.8; extra == "video"',
    'pytest>=8; extra == "dev"',
    'hot-sdk[export,video]; extra == "all"',
)


def test_extras():
    have = {"torch": "2.13.0+cpu", "onnx": "1.16.2", "opencv-python-headless": "4.12.0.88"}
    by_name = found(faked(distributions=have, requirements=REQUIREMENTS), check_extras)
    assert set(by_name) == {"extra export", "extra video"}
    assert by_name["extra video"].status == "ok"
    export = by_name["extra export"]
    assert (export.status, export.fix) == ("missing", 'pip install "hot-sdk[export]"')
    assert export.detail == "onnx is 1.16.2; at least 1.17 is needed"


@pytest.mark.parametrize(
    ("files", "detail", "fix"),
    [
        (GPU, "pycuda is not installed", "export PATH=/usr/local/cuda/bin:$PATH CUDA_ROOT="),
        ({}, "pycuda is not installed; it is for NVIDIA GPUs, and there is none", ""),
    ],
)
def test_extra_of_tensorrt_names_a_command_or_why_there_is_none(files, detail, fix):
    machine = faked(files, requirements=('pycuda>=2025.1; extra == "tensorrt"',))
    finding = found(machine, check_extras)["extra tensorrt"]
    assert (finding.detail, finding.fix[: len(fix) or None]) == (detail, fix)


def test_extra_of_another_python():
    wanted = ('mediapipe==0.10.14; python_version < "3.13" and extra == "video"',)
    older = found(faked(requirements=wanted, python=(3, 12, 1)), check_extras)["extra video"]
    assert (older.status, older.detail) == ("missing", "mediapipe is not installed")
    newer = found(faked(requirements=wanted, python=(3, 13, 0)), check_extras)["extra video"]
    assert newer.status == "ok"
    assert newer.detail.endswith("but for mediapipe, which does not exist for Python 3.13")


def test_extras_of_this_installation():
    machine = this_machine()
    if not machine.requirements:
        pytest.skip("the package is not installed")
    by_name = found(machine, check_extras)
    assert by_name["extra export"].status == "ok"
    assert "extra dev" not in by_name


@pytest.mark.parametrize("version", ["1.17", "1.17.0", "1.17.0rc1", "1.100", "2"])
def test_versions_are_compared_as_numbers(version):
    machine = faked(distributions={"onnx": version, "torch": "2.10"}, requirements=REQUIREMENTS)
    assert found(machine, check_extras)["extra export"].status == "ok"


@pytest.mark.parametrize(
    ("builds", "files", "keep"),
    [
        (("onnxruntime", "onnxruntime-gpu"), GPU, '"onnxruntime-gpu[cuda,cudnn]"'),
        (("onnxruntime", "onnxruntime-gpu"), {}, "onnxruntime"),
        (("onnxruntime", "onnxruntime-openvino"), {}, "onnxruntime-openvino"),
        (("onnxruntime", "onnxruntime-directml"), GPU, "onnxruntime-directml"),
    ],
)
def test_two_builds_overwrite_each_other(builds, files, keep):
    machine = faked(files, distributions=dict.fromkeys(builds, "1.23.2"))
    finding = only(machine, check_onnxruntime_builds)
    assert finding.status == "wrong"
    assert all(f"{build} 1.23.2" in finding.detail for build in builds)
    uninstall, install = finding.fix.split(" && ")
    assert uninstall == f"pip uninstall -y {' '.join(builds)}"
    assert install == f"pip install {keep}"


@pytest.mark.parametrize("build", ["onnxruntime", "onnxruntime-gpu"])
def test_one_build_is_no_finding(build):
    assert found(faked(distributions={build: "1.23.2"}), check_onnxruntime_builds) == {}


def test_model_of_the_probe_doubles_its_input():
    model = onnx.load_from_string(ADD_MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Add"]
    session = onnxruntime.InferenceSession(ADD_MODEL, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.arange(4, dtype=np.float32)})
    assert y.tolist() == [0.0, 2.0, 4.0, 6.0]


def test_onnxruntime_of_this_machine():
    by_name = found(this_machine(), check_onnxruntime)
    assert by_name["onnxruntime"].detail.startswith(onnxruntime.__version__)
    assert by_name["provider CPUExecutionProvider"].status == "ok"


def runtime(provider, *, listed=("CUDAExecutionProvider",)):
    return programs(
        onnxruntime=answers({"version": "1.31.1", "providers": list(listed)}),
        provider_CUDAExecutionProvider=provider,
        provider_TensorrtExecutionProvider=provider,
    )


FELL_BACK = {"providers": ["CPUExecutionProvider"], "result": TWO}


def fallen(library):
    said = (
        "[E:onnxruntime:Default] TryGetProviderInfo_CUDA Failed to load library "
        "libonnxruntime_providers_cuda.so with error: "
        f"{library}: cannot open shared object file: No such file or directory\n"
        "[W:onnxruntime:Default] Failed to create CUDAExecutionProvider.\n"
    )
    return answers(FELL_BACK, said)


@pytest.mark.parametrize(
    ("library", "fix"),
    [
        ("libcublasLt.so.13", 'pip install "onnxruntime-gpu[cuda,cudnn]"'),
        ("libcudnn.so.9", 'pip install "onnxruntime-gpu[cuda,cudnn]"'),
        ("libcuda.so.1", "Install NVIDIA's driver"),
    ],
)
def test_silent_fallback_is_wrong_and_explained(library, fix):
    cuda = found(faked(GPU, run=runtime(fallen(library))), check_onnxruntime)[CUDA]
    assert cuda.status == "wrong"
    assert f"falls back to the CPU: {library} is not found" in cuda.detail
    assert cuda.fix.startswith(fix)


OLD_DRIVER = {**GPU, "proc/driver/nvidia/version": "NVRM version: x  550.163.01  y"}
FOR_CUDA_12 = '"onnxruntime-gpu[cuda,cudnn]<1.27"'


def test_older_drivers_need_a_build_for_cuda_12():
    """1.27 and newer are built for CUDA 13, which needs driver 580."""
    run = runtime(fallen("libcublasLt.so.13"))
    have = {"onnxruntime-gpu": "1.31.1"}
    cuda = found(faked(OLD_DRIVER, distributions=have, run=run), check_onnxruntime)[CUDA]
    assert cuda.fix == f"pip install {FOR_CUDA_12}"
    old = answers({"error": "RuntimeError: CUDA failure 35: CUDA driver version is insufficient"})
    cuda = found(faked(OLD_DRIVER, distributions=have, run=runtime(old)), check_onnxruntime)[CUDA]
    assert cuda.fix == f"pip uninstall -y onnxruntime-gpu && pip install {FOR_CUDA_12}"
    cuda = found(faked(OLD_DRIVER, run=runtime(None, listed=())), check_onnxruntime)[CUDA]
    assert cuda.fix == f"pip uninstall -y onnxruntime && pip install {FOR_CUDA_12}"
    both = {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.26.0"}
    finding = only(faked(OLD_DRIVER, distributions=both), check_onnxruntime_builds)
    assert finding.fix.endswith(f"&& pip install {FOR_CUDA_12}")


def test_fallback_without_a_gpu_is_not_wrong():
    cuda = found(faked(run=runtime(fallen("libcuda.so.1"))), check_onnxruntime)[CUDA]
    assert cuda.status == "missing"
    assert "no NVIDIA GPU is visible" in cuda.detail


def test_tensorrt_provider_without_tensorrt_is_not_wrong():
    run = runtime(fallen("libnvinfer.so.10"), listed=("TensorrtExecutionProvider",))
    by_name = found(faked(GPU, run=run), check_onnxruntime)
    assert by_name["provider TensorrtExecutionProvider"].status == "missing"


def test_a_provider_that_works():
    works = answers({"providers": ["CUDAExecutionProvider"], "result": TWO})
    assert found(faked(GPU, run=runtime(works)), check_onnxruntime)[CUDA].status == "ok"


def test_a_provider_that_miscalculates():
    wrong = answers({"providers": ["CUDAExecutionProvider"], "result": [0.0] * 4})
    assert found(faked(GPU, run=runtime(wrong)), check_onnxruntime)[CUDA].status == "wrong"


def test_a_gpu_and_a_build_without_cuda():
    by_name = found(faked(GPU, run=runtime(None, listed=())), check_onnxruntime)
    assert by_name[CUDA].status == "missing"
    assert by_name[CUDA].fix == (
        'pip uninstall -y onnxruntime && pip install "onnxruntime-gpu[cuda,cudnn]"'
    )


def test_onnxruntime_that_is_absent():
    finding = only(faked(), check_onnxruntime)
    assert (finding.status, finding.detail) == ("wrong", "not installed")


def test_onnxruntime_without_what_it_needs():
    error = "ModuleNotFoundError: No module named 'flatbuffers'"
    run = programs(onnxruntime=answers({"error": error}))
    assert only(faked(run=run), check_onnxruntime).fix == "pip install onnxruntime"
    have = {"onnxruntime-gpu": "1.23.0"}
    finding = only(jetson("36.4.3", distributions=have, run=run), check_onnxruntime)
    assert finding.fix == 'pip install onnxruntime-gpu "numpy<2"'


@pytest.mark.parametrize(
    ("numpy", "fix"),
    [
        ("2.2.6", 'pip install "numpy<2"'),
        # Ubuntu's: there pip would find nothing to do.
        ("1.21.5", 'pip install --force-reinstall "numpy<2"'),
    ],
)
def test_onnxruntime_built_for_another_numpy(numpy, fix):
    run = programs(
        onnxruntime=answers({"error": "ImportError: numpy.core.multiarray failed to import"})
    )
    have = {"onnxruntime-gpu": "1.23.0", "numpy": numpy}
    assert only(jetson("36.4.3", distributions=have, run=run), check_onnxruntime).fix == fix


def test_libraries_that_a_jetson_lacks_come_with_apt():
    have = {"onnxruntime-gpu": "1.23.0"}
    run = runtime(fallen("libcudnn.so.9"))
    cuda = found(jetson("36.4.3", distributions=have, run=run), check_onnxruntime)[CUDA]
    assert cuda.status == "wrong"
    assert cuda.fix.startswith("sudo apt install nvidia-jetpack python3-libnvinfer; if it is still")
    assert "'jp6/cu126'" in cuda.fix
    run = runtime(fallen("libcuda.so.1"))
    cuda = found(jetson("36.4.3", distributions=have, run=run), check_onnxruntime)[CUDA]
    assert "--runtime nvidia" in cuda.fix


def test_onnxruntime_that_was_half_uninstalled(monkeypatch):
    # A real package folder without its code, imported by a real child process.
    (Path("site") / "onnxruntime" / "capi").mkdir(parents=True)
    (Path("site") / "onnxruntime" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(Path("site").resolve()))
    finding = only(this_machine(), check_onnxruntime)
    assert finding.status == "wrong"
    assert "has no attribute" in finding.detail
    assert "--force-reinstall" in finding.fix


def test_openvino():
    assert only(faked(), check_openvino).status == "missing"
    run = programs(openvino=answers({"version": "2025.3.0", "devices": ["CPU", "GPU"]}))
    finding = only(faked(run=run), check_openvino)
    assert (finding.status, finding.detail) == ("ok", "2025.3.0, on CPU, GPU")

"""Check the engines: ONNX Runtime with each of its providers, OpenVINO, and TensorRT.

TensorRT may come from pip or from the system, and may be hidden from a virtual environment.
"""

from __future__ import annotations

import re
import shlex

from hot_sdk.doctor.nvidia import gpu_fix, has_nvidia_gpu
from hot_sdk.doctor.packages import ONNXRUNTIME_GPU, installed_builds, reinstall_onnxruntime
from hot_sdk.doctor.probe import Answer, ask_child
from hot_sdk.errors import EngineError
from hot_sdk.host import Finding, one_line
from hot_sdk.host.jetson import installed_jetpack, is_jetson
from hot_sdk.host.machine import Machine

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_DOUBLED = [2.0, 2.0, 2.0, 2.0]
_NVIDIA_PROVIDERS = (CUDA, "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
# Sends tensors to a remote service and runs nothing here.
_REMOTE_PROVIDERS = ("AzureExecutionProvider",)
_MISSING_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
_NO_KERNEL = "no kernel image is available"
_SYSTEM_COPIES = (
    "/usr/lib/python3*/dist-packages/tensorrt",
    "/usr/local/lib/python3*/dist-packages/tensorrt",
)
_PIP_PACKAGES = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")


def check_onnxruntime(machine: Machine) -> list[Finding]:
    """Check ONNX Runtime and the providers that a session really gets."""
    answer = ask_child(machine, "onnxruntime")
    if answer.not_installed:
        fix = "pip install --upgrade onnxruntime"
        return [Finding("onnxruntime", "wrong", "not installed", fix)]
    if answer.problem:
        # What remains after one of two builds was uninstalled is a folder without its code.
        detail = f"it cannot be imported: {answer.problem}"
        return [Finding("onnxruntime", "wrong", detail, _reinstall(machine))]
    listed = [name for name in answer.values["providers"] if name not in _REMOTE_PROVIDERS]
    detail = f"{answer.values['version']}, built with {', '.join(listed)}"
    findings = [Finding("onnxruntime", "ok", one_line(detail))]
    findings += [_provider(machine, name) for name in listed]
    if CUDA not in listed and has_nvidia_gpu(machine):
        detail = "there is an NVIDIA GPU, but this ONNX Runtime is built without CUDA"
        findings.append(Finding(f"provider {CUDA}", "missing", detail, _gpu_build(machine)))
    return findings


def check_openvino(machine: Machine) -> Finding:
    """Check OpenVINO, and the devices that it runs on."""
    answer = ask_child(machine, "openvino")
    if answer.not_installed:
        return Finding("openvino", "missing", "not installed", "pip install openvino")
    if answer.problem:
        fix = "pip install --force-reinstall openvino"
        return Finding("openvino", "wrong", f"it cannot be imported: {answer.problem}", fix)
    devices = ", ".join(answer.values["devices"]) or "no device"
    return Finding("openvino", "ok", one_line(f"{answer.values['version']}, on {devices}"))


def check_tensorrt(machine: Machine) -> Finding:
    """Check whether TensorRT can be imported and can build a plan, and if not, why."""
    answer = ask_child(machine, "tensorrt")
    if not answer.problem:
        return _imported_tensorrt(machine, answer)
    if not answer.not_installed:
        return _broken_tensorrt(machine, answer)
    copies = [path for pattern in _SYSTEM_COPIES for path in machine.matching(pattern)]
    if copies:
        folders = [f"/{copy.relative_to(machine.root)}" for copy in copies]
        return Finding("tensorrt", "wrong", *_hidden_tensorrt(machine, folders))
    if is_jetson(machine):
        fix = "sudo apt install nvidia-jetpack python3-libnvinfer"
        return Finding("tensorrt", "missing", "not installed", fix)
    if not has_nvidia_gpu(machine):
        return Finding("tensorrt", "missing", "not installed, and there is no NVIDIA GPU")
    return Finding("tensorrt", "missing", "not installed", "pip install tensorrt")


def _provider(machine: Machine, name: str) -> Finding:
    title = f"provider {name}"
    answer = ask_child(machine, "provider", name)
    if not answer.problem and name in answer.values["providers"]:
        if answer.values["result"] == _DOUBLED:
            return Finding(title, "ok", "a session opens on it and computes")
        return Finding(
            title,
            "wrong",
            f"a session on it computes {one_line(str(answer.values['result']))} for 1 + 1",
            "Do not use this device; reinstall its driver and ONNX Runtime.",
        )
    reason, missing = _why(answer)
    if name not in _NVIDIA_PROVIDERS:
        return Finding(title, "wrong", f"no session opens on it: {reason}", _reinstall(machine))
    if not has_nvidia_gpu(machine):
        return Finding(
            title,
            "missing",
            f"ONNX Runtime is built with it, but no NVIDIA GPU is visible ({reason})",
            "In a container, start it with access to the GPU; else nothing is lost.",
        )
    detail = f"listed, but a session falls back to the CPU: {reason}"
    fix = _gpu_build(machine)
    if _NO_KERNEL in reason:
        detail = f"it holds no kernels for this GPU: {reason}"
    elif missing.startswith(("libnvinfer", "libnvonnxparser", "libtensorrt")):
        fix = "Install TensorRT of the major version that this library belongs to, if you want it."
        return Finding(title, "missing", detail, fix)
    elif missing.startswith("libcuda.so"):
        fix = "Install NVIDIA's driver; in a container, start it with access to the GPU."
    elif missing.startswith(("libcudnn", "libcu", "libnvrtc", "libnv")) and not is_jetson(machine):
        fix = f"pip install {ONNXRUNTIME_GPU}"
    return Finding(title, "wrong", detail, fix)


def _why(answer: Answer) -> tuple[str, str]:
    """Return why a provider gave no session, and the library that it lacks, if it reports one."""
    match = _MISSING_LIBRARY.search(f"{answer.problem}\n{answer.stderr}")
    if match is not None:
        return f"{match[1]} is not found", match[1]
    if answer.problem:
        return answer.problem, ""
    last = one_line(answer.stderr.strip().rpartition("\n")[2])
    return last or f"it gives {', '.join(answer.values['providers'])} without a reason", ""


def _reinstall(machine: Machine) -> str:
    return f"pip install --force-reinstall --no-deps {installed_builds(machine)[0]}"


def _gpu_build(machine: Machine) -> str:
    """Return the command, or the instruction, that brings a build for this machine's GPU."""
    if is_jetson(machine) or machine.interpreter.architecture in ("x86_64", "AMD64"):
        return reinstall_onnxruntime(machine, ONNXRUNTIME_GPU)
    return "Install an onnxruntime-gpu wheel that was built for this machine's GPU."


def _imported_tensorrt(machine: Machine, answer: Answer) -> Finding:
    # Imports numpy; hot-doctor has to start if that is broken.
    from hot_sdk.engines.tensorrt.bindings import require_supported

    version, problem = answer.values["version"], answer.values["problem"]
    detail = one_line(f"{version}, {answer.values['file']}")
    jetpack = installed_jetpack(machine)
    brought = jetpack.tensorrt if jetpack else None
    pip = _pip_packages(machine)
    if brought is not None and pip and not f"{version}.".startswith(f"{brought}."):
        detail += f"; it comes from pip and hides {brought}, which this JetPack brings"
        return Finding("tensorrt", "wrong", detail, f"pip uninstall -y {' '.join(pip)}")
    try:
        require_supported(version)
    except EngineError as error:
        return Finding("tensorrt", "wrong", f"{detail}; {error.message}", error.hint)
    if problem:
        detail = one_line(f"{detail}; {problem}")
        return Finding("tensorrt", "wrong", detail, gpu_fix(machine))
    return Finding("tensorrt", "ok", detail)


def _broken_tensorrt(machine: Machine, answer: Answer) -> Finding:
    pip = _pip_packages(machine)
    if is_jetson(machine) and pip:
        fix = f"pip uninstall -y {' '.join(pip)}, and use the one that JetPack brings."
    elif is_jetson(machine):
        fix = "sudo apt install --reinstall python3-libnvinfer"
    elif pip:
        fix = f"pip install --force-reinstall {' '.join(pip)}"
    else:
        fix = "Reinstall TensorRT."
    return Finding("tensorrt", "wrong", f"it cannot be imported: {answer.problem}", fix)


def _hidden_tensorrt(machine: Machine, folders: list[str]) -> tuple[str, str]:
    """Return why the system's copies are not imported, and what to do about it."""
    python = machine.interpreter
    # 'python3' without a minor version is that of the distribution's default Python.
    series = {match[1] for folder in folders if (match := re.search(r"python(3\.\d+)/", folder))}
    where = f"it is in {folders[0]}"
    if series and python.series not in series:
        wanted = sorted(series)[0]
        detail = f"{where}, for Python {wanted}, and this is {python.series}"
        return detail, f"/usr/bin/python{wanted} -m venv --system-site-packages FOLDER"
    new_environment = f"/usr/bin/python{python.series} -m venv --system-site-packages FOLDER"
    if not python.in_virtual_environment:
        detail = f"{where}, which {python.executable} does not search"
        return detail, f"Use the system's Python: {new_environment}"
    file = f"{python.prefix}/pyvenv.cfg"
    closed = r"^include-system-site-packages\s*=\s*false\b"
    if re.search(closed, machine.text(file) or "", re.M | re.I) is None:
        detail = f"{where}, which the virtual environment of {python.base_prefix} does not search"
        return detail, f"Make it from the system's Python: {new_environment}"
    fix = new_environment
    if python.base_prefix == "/usr":
        fix = f"sed -i 's/^\\(include-system-site-packages\\) *=.*/\\1 = true/' {shlex.quote(file)}"
    return f"{where}, hidden from the virtual environment {python.prefix}", fix


def _pip_packages(machine: Machine) -> list[str]:
    return [name for name in _PIP_PACKAGES if name in machine.distributions]

"""Check ONNX Runtime with each of its providers, and OpenVINO."""

from __future__ import annotations

import re

from hot_sdk._base.optional import onnxruntime_gpu
from hot_sdk.doctor.nvidia import driver_fix, driver_version, has_nvidia_gpu
from hot_sdk.doctor.packages import installed_builds, reinstall_onnxruntime
from hot_sdk.doctor.probe import Answer, ask_child
from hot_sdk.host import Finding, one_line
from hot_sdk.host.jetson import INSTALL_JETPACK, installed_jetpack, is_jetson
from hot_sdk.host.machine import Machine

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_DOUBLED = [2.0, 2.0, 2.0, 2.0]
_NVIDIA_PROVIDERS = (CUDA, "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
# Sends tensors to a remote service and runs nothing here.
_REMOTE_PROVIDERS = ("AzureExecutionProvider",)
_MISSING_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
# As of the onnxruntime-gpu for JetPack 6.
_BUILT_FOR_NUMPY_1 = ("NumPy 1.x", "_ARRAY_API", "numpy.core.multiarray")
_MISSING_MODULE = re.compile(r"No module named '(?!onnxruntime\b)")
_NO_KERNEL = "no kernel image is available"


def check_onnxruntime(machine: Machine) -> list[Finding]:
    """Check ONNX Runtime and the providers that a session really gets."""
    answer = ask_child(machine, "onnxruntime")
    if answer.not_installed:
        fix = "pip install --upgrade onnxruntime"
        return [Finding("onnxruntime", "wrong", "not installed", fix)]
    if answer.problem:
        # What remains after one of two builds was uninstalled is a folder without its code.
        detail = f"it cannot be imported: {answer.problem}"
        return [Finding("onnxruntime", "wrong", detail, _reinstall(machine, answer))]
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
        fix = driver_fix(machine)
    elif missing.startswith(("libcu", "libnv")) and is_jetson(machine):
        fix = f"{INSTALL_JETPACK}; if it is still not found, the wheel is of another JetPack: {fix}"
    elif missing.startswith(("libcu", "libnv")):
        fix = f"pip install {onnxruntime_gpu(driver_version(machine))}"
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


def _reinstall(machine: Machine, answer: Answer | None = None) -> str:
    """Return how to repair an ONNX Runtime that does not import or open a session."""
    said = f"{answer.problem}\n{answer.stderr}" if answer is not None else ""
    jetson, build = is_jetson(machine), installed_builds(machine)[0]
    if any(text in said for text in _BUILT_FOR_NUMPY_1):
        numpy = machine.distributions.get("numpy", "2")
        # Without --force-reinstall pip leaves a NumPy 1 alone that is too old, or broken.
        again = "--force-reinstall " if numpy.startswith(("0.", "1.")) else ""
        return f'pip install {again}"numpy<2"'
    if _MISSING_MODULE.search(said):
        jetpack = installed_jetpack(machine)
        # Installed as it is; pip adds what it needs.
        return f"pip install {build}" + (' "numpy<2"' if jetpack and jetpack.numpy_1 else "")
    if jetson and "onnxruntime-gpu" in installed_builds(machine):
        return _gpu_build(machine)
    if build == "onnxruntime-gpu":
        build = onnxruntime_gpu(driver_version(machine))
    return f"pip install --force-reinstall --no-deps {build}"


def _gpu_build(machine: Machine) -> str:
    """Return the command, or the instruction, that brings a build for this machine's GPU."""
    if is_jetson(machine) or machine.interpreter.architecture in ("x86_64", "AMD64"):
        return reinstall_onnxruntime(machine, onnxruntime_gpu(driver_version(machine)))
    return "Install an onnxruntime-gpu wheel that was built for this machine's GPU."

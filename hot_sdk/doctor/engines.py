"""The engines: ONNX Runtime with each of its providers, and OpenVINO.

TensorRT: from pip or from the system, hidden from a virtual environment or not.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from hot_sdk.doctor.nvidia import has_nvidia_gpu
from hot_sdk.doctor.packages import ONNXRUNTIME_BUILDS
from hot_sdk.doctor.probe import Answer, ask_child
from hot_sdk.engines import list_engines
from hot_sdk.engines.tensorrt.bindings import require_supported
from hot_sdk.errors import EngineError
from hot_sdk.host.finding import Finding, one_line
from hot_sdk.host.jetson import JetPack, installed_jetpack, is_jetson
from hot_sdk.host.machine import Machine

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_DOUBLED = [2.0, 2.0, 2.0, 2.0]
_NVIDIA_PROVIDERS = (CUDA, "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
# Sends tensors to a remote service and runs nothing here.
_REMOTE_PROVIDERS = ("AzureExecutionProvider",)
_MISSING_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
_NO_KERNEL = "no kernel image is available"


def check_onnxruntime(machine: Machine) -> tuple[Finding, ...]:
    """ONNX Runtime and the providers that a session really gets."""
    answer = ask_child(machine, "onnxruntime")
    if answer.problem:
        if answer.not_installed:
            return (
                Finding(
                    "onnxruntime", "wrong", "not installed", "pip install --upgrade onnxruntime"
                ),
            )
        # What remains after one of two builds was uninstalled is a folder without its code.
        fix = f"pip install --force-reinstall --no-deps {_builds(machine)[0]}"
        return (Finding("onnxruntime", "wrong", f"it cannot be imported: {answer.problem}", fix),)
    listed = [name for name in answer.values["providers"] if name not in _REMOTE_PROVIDERS]
    detail = f"{answer.values['version']}, built with {', '.join(listed)}"
    findings = [Finding("onnxruntime", "ok", one_line(detail))]
    findings += [_provider(machine, name) for name in listed]
    if CUDA not in listed and has_nvidia_gpu(machine):
        findings.append(
            Finding(
                f"provider {CUDA}",
                "missing",
                "there is an NVIDIA GPU, but this ONNX Runtime is built without CUDA",
                gpu_build(machine),
            )
        )
    return tuple(findings)


def check_openvino(machine: Machine) -> tuple[Finding, ...]:
    """OpenVINO, and the devices that it runs on."""
    answer = ask_child(machine, "openvino")
    used = "openvino" in list_engines()
    note = "" if used else "; this version of the SDK does not use it"
    if not answer.problem:
        devices = ", ".join(answer.values["devices"]) or "no device"
        return (
            Finding(
                "openvino",
                "ok" if used else "info",
                one_line(f"{answer.values['version']}, on {devices}{note}"),
            ),
        )
    if answer.not_installed:
        fix = "pip install openvino" if used else ""
        return (Finding("openvino", "missing", f"not installed{note}", fix),)
    fix = "pip install --force-reinstall openvino"
    detail = f"it cannot be imported: {answer.problem}{note}"
    return (Finding("openvino", "wrong" if used else "info", detail, fix if used else ""),)


def gpu_build(machine: Machine) -> str:
    """The command, or the instruction, that brings an ONNX Runtime for this machine's GPU."""
    # Builds share a folder, so removing one takes files from the others: all go.
    remove = f"pip uninstall -y {' '.join(_builds(machine))}"
    if is_jetson(machine):
        jetpack = installed_jetpack(machine)
        if jetpack is None:
            return "Install the onnxruntime-gpu that was built for this JetPack."
        return f"{remove}, then: {jetpack.onnxruntime_gpu}"
    if machine.interpreter.architecture in ("x86_64", "AMD64"):
        return f'{remove} && pip install "onnxruntime-gpu[cuda,cudnn]"'
    return "Install an onnxruntime-gpu wheel that was built for this machine's GPU."


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
    if name in _NVIDIA_PROVIDERS:
        if not has_nvidia_gpu(machine):
            return Finding(
                title,
                "missing",
                f"ONNX Runtime is built with it, but no NVIDIA GPU is visible ({reason})",
                "In a container, start it with access to the GPU; else nothing is lost.",
            )
        return _nvidia_problem(machine, title, reason, missing)
    fix = f"pip install --force-reinstall --no-deps {_builds(machine)[0]}"
    return Finding(title, "wrong", f"no session opens on it: {reason}", fix)


def _builds(machine: Machine) -> list[str]:
    return [name for name in ONNXRUNTIME_BUILDS if name in machine.distributions] or ["onnxruntime"]


def _nvidia_problem(machine: Machine, title: str, reason: str, missing: str) -> Finding:
    detail = f"listed, but a session falls back to the CPU: {reason}"
    if _NO_KERNEL in reason:
        detail = f"it holds no kernels for this GPU: {reason}"
        return Finding(title, "wrong", detail, gpu_build(machine))
    if missing.startswith(("libnvinfer", "libnvonnxparser", "libtensorrt")):
        fix = "Install TensorRT of the major version that this library belongs to, if you want it."
        return Finding(title, "missing", detail, fix)
    if missing.startswith("libcuda.so"):
        fix = "Install NVIDIA's driver; in a container, start it with access to the GPU."
        return Finding(title, "wrong", detail, fix)
    if missing.startswith(("libcudnn", "libcu", "libnvrtc", "libnv")) and not is_jetson(machine):
        fix = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
        return Finding(title, "wrong", detail, fix)
    return Finding(title, "wrong", detail, gpu_build(machine))


def _why(answer: Answer) -> tuple[str, str]:
    """Why a provider gave no session, and the library that it lacks, where it says so."""
    said = f"{answer.problem}\n{answer.said}"
    match = _MISSING_LIBRARY.search(said)
    if match is not None:
        return f"{match[1]} is not found", match[1]
    if answer.problem:
        return answer.problem, ""
    last = one_line(answer.said.strip().rpartition("\n")[2])
    return last or f"it gives {', '.join(answer.values['providers'])} without a word", ""


_SYSTEM_COPIES = (
    "/usr/lib/python3*/dist-packages/tensorrt",
    "/usr/local/lib/python3*/dist-packages/tensorrt",
)
_PIP_PACKAGES = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")


def check_tensorrt(machine: Machine) -> tuple[Finding, ...]:
    """Whether TensorRT can be imported and can build an engine, and why not."""
    answer = ask_child(machine, "tensorrt")
    jetpack = installed_jetpack(machine)
    if not answer.problem:
        return (_imported(machine, answer, jetpack),)
    if not answer.not_installed:
        return (_broken(machine, answer),)
    copies = machine.matching(_SYSTEM_COPIES[0]) + machine.matching(_SYSTEM_COPIES[1])
    if copies:
        return (_hidden(machine, copies),)
    if is_jetson(machine):
        fix = "sudo apt install nvidia-jetpack python3-libnvinfer"
        return (Finding("tensorrt", "missing", "not installed", fix),)
    if not has_nvidia_gpu(machine):
        return (Finding("tensorrt", "missing", "not installed, and there is no NVIDIA GPU"),)
    return (Finding("tensorrt", "missing", "not installed", "pip install tensorrt"),)


def _imported(machine: Machine, answer: Answer, jetpack: JetPack | None) -> Finding:
    version, file = answer.values["version"], answer.values["file"]
    detail = one_line(f"{version}, {file}")
    brought = jetpack.tensorrt if jetpack else None
    pip = [name for name in _PIP_PACKAGES if name in machine.distributions]
    if brought is not None and pip and not f"{version}.".startswith(f"{brought}."):
        return Finding(
            "tensorrt",
            "wrong",
            f"{detail}; it comes from pip and hides {brought}, which this JetPack brings",
            f"pip uninstall -y {' '.join(pip)}",
        )
    try:
        require_supported(version)
    except EngineError as error:
        return Finding("tensorrt", "wrong", f"{detail}; {error.message}", error.hint)
    if answer.values["problem"]:
        return Finding(
            "tensorrt",
            "wrong",
            one_line(f"{detail}; {answer.values['problem']}"),
            "See the finding on the GPU.",
        )
    return Finding("tensorrt", "ok", detail)


def _broken(machine: Machine, answer: Answer) -> Finding:
    pip = [name for name in _PIP_PACKAGES if name in machine.distributions]
    fix = "Reinstall TensorRT."
    if is_jetson(machine):
        fix = "sudo apt install --reinstall python3-libnvinfer"
        if pip:
            fix = f"pip uninstall -y {' '.join(pip)}, and use the one that JetPack brings."
    elif pip:
        fix = f"pip install --force-reinstall {' '.join(pip)}"
    return Finding("tensorrt", "wrong", f"it cannot be imported: {answer.problem}", fix)


def _hidden(machine: Machine, copies: list[Path]) -> Finding:
    python = machine.interpreter
    folders = [f"/{copy.relative_to(machine.root)}" for copy in copies]
    # 'python3' without a minor version is that of the distribution's default Python.
    series = {match[1] for folder in folders if (match := re.search(r"python(3\.\d+)/", folder))}
    where = f"it is in {folders[0]}"
    if series and python.series not in series:
        wanted = sorted(series)[0]
        return Finding(
            "tensorrt",
            "wrong",
            f"{where}, for Python {wanted}, and this is {python.series}",
            f"/usr/bin/python{wanted} -m venv --system-site-packages FOLDER",
        )
    again = f"/usr/bin/python{python.series} -m venv --system-site-packages FOLDER"
    if not python.in_virtual_environment:
        return Finding(
            "tensorrt",
            "wrong",
            f"{where}, which {python.executable} does not look into",
            f"Use the system's Python: {again}",
        )
    file = f"{python.prefix}/pyvenv.cfg"
    settings = machine.text(file) or ""
    closed = re.search(r"^include-system-site-packages\s*=\s*false\b", settings, re.M | re.I)
    if closed is None:
        return Finding(
            "tensorrt",
            "wrong",
            f"{where}, which the virtual environment of {python.base_prefix} does not look into",
            f"Make it from the system's Python: {again}",
        )
    fix = again
    if python.base_prefix == "/usr":
        fix = f"sed -i 's/^\\(include-system-site-packages\\) *=.*/\\1 = true/' {shlex.quote(file)}"
    return Finding(
        "tensorrt",
        "wrong",
        f"{where}, hidden from the virtual environment {python.prefix}",
        fix,
    )

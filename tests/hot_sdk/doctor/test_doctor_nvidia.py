"""GPUs in PCs and containers, TensorRT and PyCUDA, on faked machines."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faked_machines import absent, answers, faked, found, jetson, only, programs

from hot_sdk.doctor.diagnosis import CHECKS, capabilities, diagnose
from hot_sdk.doctor.nvidia import check_gpus, check_pycuda, check_visible_devices
from hot_sdk.doctor.probe import ask_child
from hot_sdk.doctor.tensorrt import check_tensorrt
from hot_sdk.host.machine import ProgramResult, this_machine

DRIVER = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue"
    " Apr  8 12:41:17 UTC 2025\nGCC version:  gcc version 12.2.0\n",
    "dev/nvidia0": "",
}
CARD = {
    "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
    "sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
    "sys/bus/pci/devices/0000:02:00.0/vendor": "0x8086\n",
    "sys/bus/pci/devices/0000:02:00.0/class": "0x030000\n",
}


def smi(status, out, said=""):
    return programs(nvidia_smi=ProgramResult(status, out, said))


def test_gpus_in_order():
    run = smi(
        0,
        "0, NVIDIA RTX A4000, 550.163.01, 16376, 15900\n"
        "1, NVIDIA GeForce RTX 3060, 550.163.01, 12288, 100\n",
    )
    by_name = found(faked(DRIVER, run=run), check_gpus)
    assert {name: finding.status for name, finding in by_name.items()} == {
        "gpu 0": "ok",
        "gpu 1": "ok",
    }
    assert by_name["gpu 0"].detail == (
        "NVIDIA RTX A4000, driver 550.163.01, 15900 of 16376 MiB free"
    )


@pytest.mark.parametrize(
    ("out", "fix"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch\n", "Restart:"),
        ("No devices were found\n", "--gpus all"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the driver.", "Reinstall"),
    ],
)
def test_a_broken_driver(out, fix):
    finding = only(faked({**DRIVER, **CARD}, run=smi(9, out)), check_gpus)
    assert (finding.name, finding.status) == ("gpu", "wrong")
    assert out.split("\n")[0] in finding.detail
    assert fix in finding.fix


def test_output_of_another_form_lists_no_gpus():
    assert only(faked(DRIVER, run=smi(0, "No devices were found\n")), check_gpus).status == "wrong"


def test_a_driver_without_its_programs():
    finding = only(faked(DRIVER), check_gpus)
    assert finding.status == "wrong"
    assert "550.163.01 loaded, but nvidia-smi" in finding.detail


def test_a_card_without_a_driver():
    finding = only(faked(CARD), check_gpus)
    assert finding.status == "missing"
    assert "1 NVIDIA card on the bus, but no driver" in finding.detail


def test_without_a_gpu():
    finding = only(faked(), check_gpus)
    assert (finding.status, finding.fix) == ("missing", "")


@pytest.mark.parametrize(
    ("value", "status"), [("", "wrong"), ("-1", "wrong"), ("1", "info"), (None, None)]
)
def test_hidden_devices(value, status):
    environment = {"HOME": "/root"} | ({} if value is None else {"CUDA_VISIBLE_DEVICES": value})
    by_name = found(faked(DRIVER, environment=environment), check_visible_devices)
    assert [finding.status for finding in by_name.values()] == ([status] if status else [])


def test_hidden_devices_do_not_matter_without_a_gpu():
    machine = faked(environment={"CUDA_VISIBLE_DEVICES": ""})
    assert found(machine, check_visible_devices) == {}


class TestPycuda:
    def test_in_order(self):
        run = programs(pycuda=answers({"version": "2026.1", "devices": ["Orin"]}))
        finding = only(jetson("36.4.3", run=run), check_pycuda)
        assert (finding.status, finding.detail) == ("ok", "2026.1, sees Orin")

    @pytest.mark.parametrize(
        ("environment", "fix"),
        [({"CUDA_VISIBLE_DEVICES": ""}, "unset CUDA_VISIBLE"), ({}, "Restart the machine;")],
    )
    def test_that_sees_no_gpu_has_a_fix_that_can_be_followed(self, environment, fix):
        run = programs(
            pycuda=answers({"version": "2026.1", "devices": []}),
            nvidia_smi=ProgramResult(0, "0, NVIDIA RTX A4000, 550.163.01, 16376, 15900\n", ""),
        )
        finding = only(faked(DRIVER, run=run, environment=environment), check_pycuda)
        assert finding.status == "wrong"
        assert finding.fix.startswith(fix)

    def test_not_installed(self):
        finding = only(jetson("36.4.3"), check_pycuda)
        assert finding.status == "missing"
        assert "CUDA_ROOT=/usr/local/cuda" in finding.fix
        # The SDK's extra would bring onnxruntime back over an onnxruntime-gpu.
        assert finding.fix.endswith("pip install pycuda")

    def test_without_a_driver(self):
        error = "ImportError: libcuda.so.1: cannot open shared object file"
        run = programs(pycuda=answers({"error": error}))
        no_gpu = only(faked(distributions={"pycuda": "2026.1"}, run=run), check_pycuda)
        assert no_gpu.status == "missing"
        gpu = only(faked(CARD, distributions={"pycuda": "2026.1"}, run=run), check_pycuda)
        assert gpu.status == "wrong"
        assert "Install NVIDIA's driver" in gpu.fix

    @pytest.mark.parametrize(
        ("problem", "fix"),
        [
            ("ImportError: x.so: undefined symbol: cuCtxCreate_v4", "newer than the driver"),
            ("ModuleNotFoundError: No module named 'pytools'", "&& pip install pycuda"),
            ("ModuleNotFoundError: No module named 'pycuda._driver'", "--no-deps pycuda"),
            ("ImportError: libcurand.so.10: cannot open shared object file", "--no-deps pycuda"),
            ("LogicError: cuInit failed: system not yet initialized", "Restart the machine;"),
            ("ImportError: libcuda.so.1: cannot open shared object file", "nvidia-l4t-cuda"),
        ],
    )
    def test_what_breaks_it_decides_what_repairs_it(self, problem, fix):
        have = {"pycuda": "2026.1"}
        run = programs(pycuda=answers({"error": problem}))
        finding = only(jetson("36.4.3", distributions=have, run=run), check_pycuda)
        assert finding.status == "wrong"
        assert problem in finding.detail
        assert fix in finding.fix
        # A build finds neither nvcc nor cuda.h without them, as a Jetson is flashed.
        assert ("pip install" in finding.fix) == ("CUDA_ROOT=/usr/local/cuda" in finding.fix)

    def test_without_a_gpu_nothing_is_tried(self):
        def run(command, seconds):
            raise AssertionError(command)

        finding = only(faked(run=run), check_pycuda)
        assert (finding.status, finding.fix) == ("missing", "")


SYSTEM_COPY = {"usr/lib/python3.10/dist-packages/tensorrt/__init__.py": ""}
VENV = {"home/robot/venv/pyvenv.cfg": "home = /usr/bin\ninclude-system-site-packages = false\n"}
IN_VENV = {"prefix": "/home/robot/venv", "base_prefix": "/usr"}


class TestTensorRT:
    def test_hidden_from_a_virtual_environment(self):
        finding = only(jetson("36.4.3", {**SYSTEM_COPY, **VENV}, **IN_VENV), check_tensorrt)
        assert finding.status == "wrong"
        assert "hidden from the virtual environment /home/robot/venv" in finding.detail
        assert finding.fix.endswith("/home/robot/venv/pyvenv.cfg")

    def test_suggested_command_opens_the_environment(self):
        machine = jetson("36.4.3", {**SYSTEM_COPY, **VENV}, **IN_VENV)
        fix = only(machine, check_tensorrt).fix
        file = machine.at("/home/robot/venv/pyvenv.cfg")
        shell = fix.replace("/home/robot/venv/pyvenv.cfg", str(file))
        subprocess.run(shell, shell=True, check=True)
        assert file.read_text() == "home = /usr/bin\ninclude-system-site-packages = true\n"

    def test_an_environment_of_another_python_cannot_be_opened(self):
        options = IN_VENV | {"base_prefix": "/opt/pyenv/versions/3.10.13"}
        finding = only(jetson("36.4.3", {**SYSTEM_COPY, **VENV}, **options), check_tensorrt)
        assert finding.fix == "/usr/bin/python3.10 -m venv --system-site-packages FOLDER"

    def test_built_for_another_python(self):
        machine = jetson("36.4.3", {**SYSTEM_COPY, **VENV}, python=(3, 11, 7), **IN_VENV)
        finding = only(machine, check_tensorrt)
        assert "for Python 3.10, and this is 3.11" in finding.detail
        assert finding.fix.startswith("/usr/bin/python3.10 -m venv")

    def test_of_the_distributions_default_python(self):
        files = {"usr/lib/python3/dist-packages/tensorrt/__init__.py": "", **VENV}
        finding = only(faked(files, python=(3, 11, 7), **IN_VENV), check_tensorrt)
        assert finding.status == "wrong"
        assert "hidden from" in finding.detail

    def test_absent(self):
        assert "apt install" in only(jetson("36.4.3"), check_tensorrt).fix
        finding = only(faked(VENV, **IN_VENV), check_tensorrt)
        assert (finding.status, finding.fix) == ("missing", "")
        assert "no NVIDIA GPU" in finding.detail
        finding = only(faked({**VENV, "dev/nvidia0": ""}, **IN_VENV), check_tensorrt)
        assert (finding.status, finding.fix) == ("missing", "pip install tensorrt")

    def test_a_release_that_is_too_old(self):
        values = {"version": "8.6.2.3", "file": "/usr/lib/x.py", "problem": ""}
        machine = jetson("36.3.0", run=programs(tensorrt=answers(values)))
        finding = only(machine, check_tensorrt)
        assert finding.status == "wrong"
        assert "TensorRT 8.6.2.3 is too old" in finding.detail
        assert "JetPack 6.1" in finding.fix

    def test_pip_package_on_a_jetson(self):
        values = {"version": "11.4.0.106", "file": "/v/tensorrt/__init__.py", "problem": ""}
        run = programs(tensorrt=answers(values))
        machine = jetson("36.4.3", distributions={"tensorrt": "11.4.0.106"}, run=run)
        finding = only(machine, check_tensorrt)
        assert finding.status == "wrong"
        assert "hides 10.3.0" in finding.detail
        assert finding.fix == "pip uninstall -y tensorrt"

    def test_upgraded_by_apt_on_a_jetson(self):
        # JetPack's package has a dist-info, which looks like pip's.
        file = "/usr/lib/python3.10/dist-packages/tensorrt/__init__.py"
        run = programs(tensorrt=answers({"version": "10.7.0", "file": file, "problem": ""}))
        machine = jetson("36.4.3", distributions={"tensorrt": "10.7.0"}, run=run)
        finding = only(machine, check_tensorrt)
        assert (finding.status, finding.fix) == ("ok", "")
        assert "apt installed it, and this JetPack brought 10.3.0" in finding.detail

    @pytest.mark.parametrize(
        ("files", "fix"),
        [
            ({"home/robot/venv/lib/python3.10/site-packages/tensorrt/x": ""}, "pip uninstall -y"),
            ({"home/robot/.local/lib/python3.10/site-packages/tensorrt_libs/x": ""}, "pip uninst"),
            ({}, "sudo apt install --reinstall python3-libnvinfer"),
        ],
    )
    def test_broken_on_a_jetson(self, files, fix):
        run = programs(tensorrt=answers({"error": "ImportError: libnvinfer.so.10: no such file"}))
        machine = jetson(
            "36.4.3", {**VENV, **files}, distributions={"tensorrt": "10.3.0"}, run=run, **IN_VENV
        )
        assert only(machine, check_tensorrt).fix.startswith(fix)

    @pytest.mark.parametrize(
        ("driver", "package"),
        [("550.163.01", "tensorrt-cu12"), ("580.82.07", "tensorrt"), ("610.1", "tensorrt")],
    )
    def test_package_follows_from_the_driver(self, driver, package):
        files = {"proc/driver/nvidia/version": f"NVRM version: x  {driver}  y", "dev/nvidia0": ""}
        finding = only(faked(files), check_tensorrt)
        assert finding.fix == f"pip install {package}"

    def test_package_that_is_too_new_for_the_driver(self):
        values = {"version": "11.4.0", "file": "/v/x.py", "problem": "it creates no builder: 35"}
        run = programs(tensorrt=answers(values))
        have = {"tensorrt": "11.4.0", "tensorrt-cu13": "11.4.0"}
        finding = only(faked(DRIVER, distributions=have, run=run), check_tensorrt)
        assert finding.status == "wrong"
        assert finding.fix == (
            "pip uninstall -y tensorrt tensorrt-cu13 && pip install tensorrt-cu12"
        )

    @pytest.mark.parametrize(
        ("release", "file", "fix"),
        [
            ("38.2.0", "/v/tensorrt/__init__.py", "pip uninstall -y tensorrt; then: sudo apt"),
            ("99.1.0", "/v/tensorrt/__init__.py", "pip uninstall -y tensorrt; then: sudo apt"),
            ("38.2.0", "/usr/lib/python3.12/dist-packages/tensorrt/__init__.py", "Restart"),
        ],
    )
    def test_origin_follows_from_the_file_where_the_jetpacks_version_is_unknown(
        self, release, file, fix
    ):
        values = {"version": "11.4.0", "file": file, "problem": "it creates no builder: null"}
        run = programs(tensorrt=answers(values))
        machine = jetson(release, distributions={"tensorrt": "11.4.0"}, run=run)
        finding = only(machine, check_tensorrt)
        assert finding.status == "wrong"
        assert fix in finding.fix

    def test_package_of_apt_is_not_uninstalled_by_pip(self):
        file = "/usr/lib/python3.12/dist-packages/tensorrt/__init__.py"
        values = {"version": "10.14.1", "file": file, "problem": "it creates no builder: 35"}
        run = programs(tensorrt=answers(values))
        finding = only(
            faked(DRIVER, distributions={"tensorrt": "10.14.1"}, run=run), check_tensorrt
        )
        assert finding.status == "wrong"
        assert "pip uninstall" not in finding.fix

    @pytest.mark.parametrize(
        ("pycuda", "usable", "reason"),
        [
            (answers({"version": "2026.1", "devices": ["Orin"]}), True, ""),
            (absent("pycuda"), False, "pycuda: not installed"),
            (answers({"error": "ImportError: _driver.so"}), False, "pycuda: installed, but fails"),
        ],
    )
    def test_usable_with_a_pycuda_that_works_only(self, pycuda, usable, reason):
        file = "/usr/lib/python3.10/dist-packages/tensorrt/__init__.py"
        values = {"version": "10.3.0", "file": file, "problem": ""}
        run = programs(tensorrt=answers(values), pycuda=pycuda)
        found = {
            each.name: each for each in capabilities(diagnose(jetson("36.4.3", run=run), CHECKS))
        }
        assert found["TensorRT"].usable == usable
        assert found["TensorRT"].reason.startswith(reason)

    def test_package_of_the_jetpack(self):
        values = {"version": "10.3.0.30", "file": "/usr/lib/x.py", "problem": ""}
        run = programs(tensorrt=answers(values))
        machine = jetson("36.4.3", distributions={"tensorrt": "10.3.0"}, run=run)
        assert only(machine, check_tensorrt).status == "ok"

    def test_import_without_a_builder_is_wrong(self):
        values = {"version": "10.3.0", "file": "/x.py", "problem": "it creates no builder: null"}
        finding = only(faked(run=programs(tensorrt=answers(values))), check_tensorrt)
        assert finding.status == "wrong"
        assert "creates no builder" in finding.detail

    def test_without_its_libraries(self):
        error = "ImportError: libnvinfer.so.10: cannot open shared object file"
        machine = faked(
            distributions={"tensorrt-cu12": "10.3.0"},
            run=programs(tensorrt=answers({"error": error})),
        )
        finding = only(machine, check_tensorrt)
        assert finding.status == "wrong"
        assert finding.fix == "pip install --force-reinstall tensorrt-cu12"

    def test_a_dependency_that_is_absent_is_not_the_package(self):
        finding = only(faked(run=programs(tensorrt=absent("numpy"))), check_tensorrt)
        assert finding.status == "wrong"


class TestChildProcesses:
    """With real processes, and vendor packages written for the purpose."""

    def package(self, monkeypatch, name, source):
        folder = Path("site") / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(Path("site").resolve()))

    def test_crash_of_a_child_is_reported(self, monkeypatch):
        source = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
        self.package(monkeypatch, "tensorrt", source)
        answer = ask_child(this_machine(), "tensorrt")
        assert answer.problem == "it crashed with SIGSEGV"

    def test_what_the_libraries_print_does_not_matter(self, monkeypatch):
        source = (
            "__version__ = '10.3.0'\nprint('{', end='')\n"
            "class Logger:\n    ERROR = 1\n    def __init__(self, level): pass\n"
            "def Builder(logger): return None\n"
        )
        self.package(monkeypatch, "tensorrt", source)
        answer = ask_child(this_machine(), "tensorrt")
        assert answer.values["version"] == "10.3.0"
        assert answer.values["problem"] == "it creates no builder"

    def test_an_early_exit(self, monkeypatch):
        self.package(monkeypatch, "pycuda", "import sys; sys.exit('no license')")
        assert ask_child(this_machine(), "pycuda").problem == "no license"

    def test_a_folder_of_the_same_name_is_not_the_package(self):
        Path("onnxruntime").mkdir()
        Path("onnxruntime/__init__.py").write_text("raise RuntimeError('taken for the package')")
        assert ask_child(this_machine(), "onnxruntime").problem == ""

    def test_a_program_that_hangs(self):
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        assert this_machine().run(command, 0.2) == ProgramResult(None, "", "no answer within 0.2 s")

    def test_program_that_does_not_exist(self):
        assert this_machine().run(["no-such-program"], 1).status is None
        os.mkdir("folder")
        assert this_machine().run([str(Path("folder").resolve())], 1).status is None

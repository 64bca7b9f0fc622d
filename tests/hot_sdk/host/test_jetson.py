"""Jetsons, as their files describe them."""

import json
import re

import pytest
from faked_machines import ABSENT, ORIN_DEVICES, answers, faked, found, jetson, only, programs

from hot_sdk.doctor.diagnosis import diagnose
from hot_sdk.doctor.engines import check_onnxruntime
from hot_sdk.doctor.nvidia import check_gpus
from hot_sdk.doctor.packages import check_onnxruntime_builds, check_python
from hot_sdk.doctor.resources import check_memory, check_swap
from hot_sdk.host import jetson as jetpack_module
from hot_sdk.host.jetson import (
    check_gpu_clock,
    check_jetpack,
    check_power_mode,
    check_throttling,
    installed_jetpack,
)
from hot_sdk.host.machine import ProgramResult

GPU = "sys/class/devfreq/17000000.gpu"


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("35.4.1", ("5.1.2", "3.8", "11.4", "8.5.2", None)),
        ("36.3.0", ("6.0", "3.10", "12.2", "8.6.2", None)),
        ("36.3", ("6.0", "3.10", "12.2", "8.6.2", None)),
        ("36.4.0", ("6.1", "3.10", "12.6", "10.3.0", "jp6/cu126")),
        ("36.4.3", ("6.2", "3.10", "12.6", "10.3.0", "jp6/cu126")),
        ("36.4.7", ("6.2.1", "3.10", "12.6", "10.3.0", "jp6/cu126")),
        ("38.2.0", ("7.0", "3.12", "13.0", None, "sbsa/cu130")),
        ("38.4.0", ("7.1", "3.12", "13.0", "10.13.3", "sbsa/cu130")),
        ("39.2.0", ("7.2", "3.12", "13.2", "10.16.2", "jp7/cu132")),
        ("39.2.2", ("7.2.2", "3.12", None, None, "jp7/cu132")),
        ("99.1.0", (None, None, None, None, None)),
    ],
)
def test_jetpack_follows_from_the_release_file(release, expected):
    pack = installed_jetpack(jetson(release))
    assert (pack.version, pack.python, pack.cuda, pack.tensorrt, pack.onnxruntime) == expected
    assert pack.l4t == (release if release.count(".") == 2 else f"{release}.0")


def test_every_release_of_the_table_has_contents():
    table = jetpack_module._table()
    for version in table["releases"].values():
        assert jetpack_module._contents(table["contents"], version)["python"], version


def test_jetpack_6_2_is_in_order():
    finding = only(jetson("36.4.3"), check_jetpack)
    assert (finding.status, finding.fix) == ("ok", "")
    assert "JetPack 6.2 (L4T 36.4.3), CUDA 12.6, TensorRT 10.3.0, Python 3.10" in finding.detail
    assert "'jp6/cu126'" in finding.detail


@pytest.mark.parametrize(
    ("release", "capped"),
    [("36.4.3", False), ("36.4.7", True), ("36.5.0", False), ("38.2.2", True)],
)
def test_a_kernel_that_refuses_free_memory_is_named(release, capped):
    finding = only(jetson(release), check_jetpack)
    assert finding.status == "ok"
    assert ("refuses some memory that is free" in finding.detail) == capped
    assert ("NvMapMemAlloc error 12" in finding.fix) == capped


def test_the_gpu_build_of_jetpack_6_needs_numpy_1():
    assert 'pip install "numpy<2"' in installed_jetpack(jetson("36.4.3")).onnxruntime_gpu
    assert "numpy" not in installed_jetpack(jetson("39.2.0")).onnxruntime_gpu


def test_jetpack_6_0_needs_older_models():
    finding = only(jetson("36.3.0"), check_jetpack)
    assert finding.status == "ok"
    assert "hot-export --opset 17" in finding.fix
    assert "no onnxruntime-gpu is known" in finding.detail


def test_jetpack_5_is_too_old():
    by_name = found(jetson("35.4.1"), check_jetpack, check_python)
    assert (by_name["jetpack"].status, by_name["python"].status) == ("wrong", "wrong")
    assert "Flash JetPack 6.2" in by_name["python"].fix


def test_unknown_release_is_not_guessed():
    finding = only(jetson("36.9.9"), check_jetpack)
    assert finding.status == "info"
    assert "L4T 36.9.9" in finding.detail


@pytest.mark.parametrize("text", ["", "R36, REVISION 4.3", "# R (release), REVISION: x"])
def test_a_broken_release_file(text):
    machine = jetson("36.4.3", {"etc/nv_tegra_release": text})
    assert only(machine, check_jetpack).status == "wrong"


def test_a_container_on_a_jetson_without_its_files():
    machine = faked({"proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"})
    by_name = found(machine, check_jetpack, check_gpus)
    assert "--volume /etc/nv_tegra_release:" in by_name["jetpack"].fix
    assert by_name["gpu 0"].status == "wrong"
    assert "--runtime nvidia" in by_name["gpu 0"].fix


def test_a_container_with_the_gpu_of_a_jetson():
    """Docker hides the device tree, and NVIDIA's runtime does not bring the release file."""
    by_name = found(faked(dict.fromkeys(ORIN_DEVICES, "")), check_jetpack, check_gpus)
    assert by_name["jetpack"].status == "wrong"
    assert "--volume /etc/nv_tegra_release:" in by_name["jetpack"].fix
    assert by_name["gpu 0"].status == "ok"
    assert "an unnamed Jetson" in by_name["gpu 0"].detail


def test_the_board_is_named():
    finding = only(jetson("36.4.3"), check_gpus)
    assert finding.status == "ok"
    assert "NVIDIA Jetson Orin Nano Developer Kit, memory shared" in finding.detail


def test_python_of_another_series_is_wrong():
    finding = only(jetson("38.4.0", python=(3, 10, 12)), check_python)
    assert finding.status == "wrong"
    assert "/usr/bin/python3.12 -m venv --system-site-packages" in finding.fix
    assert only(jetson("38.4.0", python=(3, 12, 3)), check_python).status == "ok"


def test_onnxruntime_without_cuda_names_the_matching_wheel():
    run = programs(
        onnxruntime=answers({"version": "1.23.0", "providers": ["CPUExecutionProvider"]}),
        provider_CPUExecutionProvider=answers(
            {"providers": ["CPUExecutionProvider"], "result": [2.0, 2.0, 2.0, 2.0]}
        ),
    )
    by_name = found(jetson("36.4.3", run=run), check_onnxruntime)
    cuda = by_name["provider CUDAExecutionProvider"]
    assert cuda.status == "missing"
    assert "pip uninstall -y onnxruntime" in cuda.fix
    assert "'jp6/cu126'" in cuda.fix


def test_pypi_wheel_without_kernels_for_the_gpu():
    problem = "Fail: CUDA error 209: no kernel image is available for execution on the device"
    run = programs(
        onnxruntime=answers({"version": "1.31.1", "providers": ["CUDAExecutionProvider"]}),
        provider_CUDAExecutionProvider=answers({"error": problem}),
    )
    cuda = found(jetson("38.4.0", run=run), check_onnxruntime)["provider CUDAExecutionProvider"]
    assert cuda.status == "wrong"
    assert "no kernels for this GPU" in cuda.detail
    assert "'sbsa/cu130'" in cuda.fix


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("AttributeError: _ARRAY_API not found", 'pip install "numpy<2"'),
        ("ImportError: numpy.core.multiarray failed to import", 'pip install "numpy<2"'),
        ("ImportError: libcudart.so.12: cannot open", "'jp6/cu126'"),
    ],
)
def test_a_gpu_build_that_does_not_import_is_not_replaced_by_that_of_pypi(said, fix):
    run = programs(onnxruntime=answers({"error": said}))
    machine = jetson("36.4.3", distributions={"onnxruntime-gpu": "1.23.0"}, run=run)
    finding = only(machine, check_onnxruntime)
    assert finding.status == "wrong"
    assert fix in finding.fix
    assert "--force-reinstall" not in finding.fix


def test_both_builds_on_a_jetson():
    both = {"onnxruntime": "1.23.0", "onnxruntime-gpu": "1.23.0"}
    finding = only(jetson("36.4.3", distributions=both), check_onnxruntime_builds)
    assert finding.status == "wrong"
    assert finding.fix.startswith("pip uninstall -y onnxruntime onnxruntime-gpu, then: ")
    assert "'jp6/cu126'" in finding.fix


CONF = "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"


@pytest.mark.parametrize(
    ("answer", "files", "status", "said"),
    [
        (ProgramResult(0, "NV Power Mode: MAXN_SUPER\n2\n", ""), {}, "ok", "MAXN_SUPER (mode 2)"),
        (
            ProgramResult(0, "NV Power Mode: 15W\n0\n", ""),
            {},
            "info",
            "15W (mode 0); others: 2 MAXN_S",
        ),
        (ABSENT, {"var/lib/nvpmodel/status": "pmode:0002\n"}, "ok", "MAXN_SUPER (mode 2)"),
        (ABSENT, {"var/lib/nvpmodel/status": "pmode:0000 fmode:quiet"}, "info", "15W (mode 0)"),
        (ABSENT, {}, "info", "unknown: nvpmodel: No such file"),
    ],
)
def test_the_power_mode(answer, files, status, said):
    machine = jetson("36.4.3", {"etc/nvpmodel.conf": CONF, **files}, run=programs(nvpmodel=answer))
    finding = only(machine, check_power_mode)
    assert finding.status == status
    assert said in finding.detail
    assert (finding.fix == "") == (status == "ok")


def clock(low, high):
    steps = "306000000 624750000 1020000000"
    return {
        f"{GPU}/min_freq": f"{low}\n",
        f"{GPU}/max_freq": f"{high}\n",
        f"{GPU}/available_frequencies": f"{steps}\n",
        "sys/class/devfreq/15340000.vic/min_freq": "1",
        "sys/class/devfreq/15340000.vic/max_freq": "2",
    }


def test_the_clock_of_the_gpu():
    locked = only(jetson("36.4.3", clock(1020000000, 1020000000)), check_gpu_clock)
    assert (locked.status, locked.fix) == ("ok", "")
    free = only(jetson("36.4.3", clock(306000000, 1020000000)), check_gpu_clock)
    assert (free.status, free.fix) == ("info", "For steady latency: sudo jetson_clocks")
    capped = only(jetson("36.4.3", clock(624750000, 624750000)), check_gpu_clock)
    assert capped.status == "info"
    assert "capped by the power mode (the hardware has 1020)" in capped.detail
    assert "nvpmodel -m" in capped.fix


def test_throttling():
    counter = "sys/class/hwmon/hwmon0/oc1_event_cnt"
    assert only(jetson("36.4.3", {counter: "0\n"}), check_throttling).status == "ok"
    finding = only(jetson("36.4.3", {counter: "7\n"}), check_throttling)
    assert finding.status == "wrong"
    assert "7 times" in finding.detail
    assert diagnose(jetson("36.4.3"), [check_throttling]) == ()


def test_memory_is_unified_and_zram_is_memory():
    zram = "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 635000 0 5\n"
    by_name = found(jetson("36.4.3", {"proc/swaps": zram}), check_memory, check_swap)
    assert by_name["memory"].detail == "5.0 GiB of 7.4 GiB free (shared by CPU and GPU)"
    assert "zram (compressed, in memory)" in by_name["swap"].detail


@pytest.mark.parametrize(
    "check", [check_jetpack, check_power_mode, check_gpu_clock, check_throttling]
)
def test_checks_of_jetsons_find_nothing_elsewhere(check):
    assert diagnose(faked(clock(1, 2)), [check]) == ()


def test_table_has_no_urls():
    text = json.dumps(jetpack_module._table())
    assert not re.search(r"https?://|\.io\b|\.com\b", text)

"""Readers of power, on trees of files and lines of text in the documented forms."""

import shutil
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
from faked_machines import faked

from hot_sdk.benchmarks.power import PowerSampler, PowerSamples, UnavailableError, open_source
from hot_sdk.benchmarks.power.jetson_tools import JtopPower, TegrastatsPower, parse_tegrastats
from hot_sdk.benchmarks.power.nvml import Nvml, NvmlPower
from hot_sdk.benchmarks.power.sysfs import HwmonPower, RaplPower
from hot_sdk.errors import EngineError, UsageError

INA3221 = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
INA238 = "sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon3"
RAPL = "sys/class/powercap/intel-rapl:0"

ORIN_NANO = {
    f"{INA3221}/in1_label": "VDD_IN\n",
    f"{INA3221}/in1_input": "5000\n",
    f"{INA3221}/curr1_input": "1200\n",
    f"{INA3221}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{INA3221}/in2_input": "5000\n",
    f"{INA3221}/curr2_input": "400\n",
    f"{INA3221}/in3_label": "VDD_SOC\n",
    f"{INA3221}/in3_input": "5000\n",
    f"{INA3221}/curr3_input": "300\n",
    f"{INA3221}/in7_label": "sum of shunt voltages\n",
    f"{INA3221}/in7_input": "12\n",
}
AGX_ORIN = {name: content.replace("VDD_IN", "VDD_GPU_SOC") for name, content in ORIN_NANO.items()}


def test_board_power_is_that_of_the_main_rail():
    power = HwmonPower(faked(ORIN_NANO))
    assert (power.rail, power.read()) == ("VDD_IN", pytest.approx(6.0))


def test_rails_are_summed_without_a_main_rail():
    power = HwmonPower(faked(AGX_ORIN))
    assert power.rail == "VDD_GPU_SOC + VDD_CPU_GPU_CV + VDD_SOC"
    assert power.read() == pytest.approx(9.5)


def test_ina238_reports_microwatts():
    files = {
        f"{INA238}/in1_input": "19000\n",
        f"{INA238}/curr1_input": "2000\n",
        f"{INA238}/power1_input": "37500000\n",
        f"{INA238}/label": "VIN\n",
    }
    power = HwmonPower(faked(files))
    assert (power.rail, power.read()) == ("VIN", pytest.approx(37.5))


def test_machine_without_monitors_is_refused():
    with pytest.raises(UnavailableError, match="INA3221"):
        HwmonPower(faked())


# Made after the forms that jetson-stats parses, as NVIDIA's boards print them.
JETPACK_5 = (
    "RAM 2722/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [12%@729,0%@729,off,off]"
    " EMC_FREQ 0% GR3D_FREQ 61%@305 GR3D2_FREQ 0% VIC_FREQ 115 APE 150 CV0@-256C CPU@48.2C"
    " GPU@47.5C VDD_IN 4967mW/4932mW VDD_CPU_GPU_CV 650mW/640mW VDD_SOC 1456mW/1450mW"
)
JETPACK_7 = "CPU [1%@1984,2%@1984] GR3D_FREQ 0%@[1300,1300] gpu@48.2C VDD_GPU 900mW/880mW"
THOR = "RAM 9000/125772MB (lfb 1x4MB) CPU [0%@972] GR3D_FREQ @[1000,1000,1000] cpu@41.0C"


def test_parses_a_line_of_jetpack_5():
    found = parse_tegrastats(JETPACK_5)
    assert found.ram_mib == (2722, 7620)
    assert found.cpus == ((12, 729), (0, 729), None, None)
    assert (found.gpu_load, found.gpu_mhz) == (61, (305,))
    assert found.celsius["GPU"] == 47.5
    assert found.celsius["CV0"] == -256.0
    assert found.milliwatts == {"VDD_IN": 4967, "VDD_CPU_GPU_CV": 650, "VDD_SOC": 1456}
    assert found.watts == pytest.approx(4.967)


def test_parses_lines_of_jetpack_7():
    orin, thor = parse_tegrastats(JETPACK_7), parse_tegrastats(THOR)
    assert (orin.gpu_load, orin.gpu_mhz, orin.watts) == (0, (1300, 1300), pytest.approx(0.9))
    assert orin.celsius == {"gpu": 48.2}
    assert (thor.gpu_load, thor.gpu_mhz, thor.watts) == (None, (1000, 1000, 1000), None)


def test_parses_a_load_without_a_clock_and_an_empty_line():
    assert parse_tegrastats("GR3D_FREQ 61%").gpu_load == 61
    assert parse_tegrastats("GR3D_FREQ 61%").gpu_mhz == ()
    assert parse_tegrastats("").watts is None


def test_tegrastats_is_followed():
    ended = []
    power = TegrastatsPower(lambda: ([JETPACK_5], lambda: ended.append(True)))
    assert (power.rail, power.read()) == ("VDD_IN", pytest.approx(4.967))
    power.close()
    assert ended


def test_tegrastats_without_power_is_refused():
    with pytest.raises(UnavailableError, match="reports no power"):
        TegrastatsPower(lambda: ([THOR], lambda: None))


def test_reads_a_tegrastats_program(tmp_path, monkeypatch):
    program = tmp_path / "tegrastats"
    program.write_text(f"#!/bin/sh\necho '{JETPACK_5}'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    power = TegrastatsPower()
    assert power.read() == pytest.approx(4.967)
    power.close()


def rapl(uj, dram=7_000_000):
    return {
        f"{RAPL}/name": "package-0\n",
        f"{RAPL}/energy_uj": f"{uj}\n",
        f"{RAPL}/max_energy_range_uj": "1000000000\n",
        f"{RAPL}:0/name": "core\n",
        f"{RAPL}:0/energy_uj": "5\n",
        f"{RAPL}:1/name": "dram\n",
        f"{RAPL}:1/energy_uj": f"{dram}\n",
        f"{RAPL}:1/max_energy_range_uj": "1000000000\n",
    }


def test_rapl_counts_packages_and_memory_and_wraps():
    machine = faked(rapl(999_000_000))
    power = RaplPower(machine)
    assert power.rail == "package-0 + dram"
    assert power.read() == 0.0
    (machine.root / RAPL / "energy_uj").write_text("2000000\n")
    (machine.root / f"{RAPL}:1" / "energy_uj").write_text("7500000\n")
    assert power.read() == pytest.approx(3.5)


def test_unreadable_counters_are_refused_with_the_cure():
    machine = faked(rapl(1))
    (machine.root / RAPL / "energy_uj").unlink()
    with pytest.raises(UnavailableError, match="run as root"):
        RaplPower(machine)


def test_reads_jtop_if_it_is_installed(monkeypatch):
    class Jtop:
        power = types.MappingProxyType({"tot": {"power": 6120}})

        def __init__(self, interval):
            self.interval = interval

        def start(self):
            pass

        def close(self):
            pass

    monkeypatch.setitem(sys.modules, "jtop", types.SimpleNamespace(jtop=Jtop))
    power = JtopPower()
    assert power.read() == pytest.approx(6.12)
    power.close()


def test_jtop_is_not_a_dependency(monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)
    with pytest.raises(UnavailableError, match="not installed"):
        JtopPower()


NVML = """
#include <string.h>
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } info;
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = h; return i == 0 ? 0 : 2; }
int nvmlDeviceGetPowerUsage(void *h, unsigned *mw) { *mw = 71500; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj)
{ if (COUNTS) { *mj = 12500; return 0; } return 3; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, info *p)
{ *n = 2; memset(p, 0, 2 * sizeof *p); p[0].pid = 41; p[0].used = ~0ull; p[1].pid = 42;
  p[1].used = 300ull << 20; return 0; }
"""


def nvml_library(folder, counts):
    """A library with NVML's functions, compiled here."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to compile a fake NVML")
    source, target = folder / "nvml.c", folder / f"libnvml{counts}.so"
    source.write_text(textwrap.dedent(NVML))
    command = ["gcc", "-shared", "-fPIC", f"-DCOUNTS={counts}", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return str(target)


def test_nvml_counts_energy_or_measures_power(tmp_path):
    counting = NvmlPower(library=nvml_library(tmp_path, 1))
    assert (counting.counts_energy, counting.read()) == (True, pytest.approx(12.5))
    counting.close()
    measuring = NvmlPower(library=nvml_library(tmp_path, 0))
    assert (measuring.counts_energy, measuring.read()) == (False, pytest.approx(71.5))


def test_nvml_reports_the_memory_of_a_process(tmp_path):
    nvml = Nvml(library=nvml_library(tmp_path, 1))
    assert nvml.memory_of(42) == 300 << 20
    assert nvml.memory_of(41) is None
    assert nvml.memory_of(40) is None


def test_missing_card_or_library_is_refused(tmp_path):
    with pytest.raises(UnavailableError, match="failed with 2"):
        Nvml(1, nvml_library(tmp_path, 1))
    with pytest.raises(UnavailableError, match="cannot be loaded"):
        Nvml(library="libnvidia-ml-that-is-not-there.so.1")


def test_auto_uses_a_boards_own_monitors():
    machine = faked({**ORIN_NANO, "proc/device-tree/model": "NVIDIA Jetson Orin Nano\0"})
    source, problem = open_source("auto", machine, "cpu")
    assert (source.name, problem) == ("ina3221", "")


def test_auto_uses_the_processors_counters():
    source, _ = open_source("auto", faked(rapl(1)), "cpu")
    assert source.name == "rapl"


def test_auto_gives_the_reason_if_there_is_no_source():
    source, problem = open_source("auto", faked(), "cpu")
    assert source is None
    assert "rapl: there are no counters" in problem
    assert open_source("off", faked(), "cpu")[0] is None


@pytest.mark.parametrize("name", ["ina3221", "tegrastats", "rapl"])
def test_requested_source_that_is_missing_is_an_error(name, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineError, match=name):
        open_source(name, faked(), "cpu")


def test_an_unknown_source_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'rapl'"):
        open_source("rpal", faked(), "cpu")


def test_energy_between_two_moments():
    times = np.arange(0.0, 10.0, 0.5)
    power = PowerSamples.from_readings(times, np.where(times < 5.0, 4.0, 8.0), energy=False)
    assert power.joules(1.0, 3.0) == pytest.approx(8.0)
    assert power.joules(4.0, 6.0) == pytest.approx(12.0)
    assert power.joules(-1.0, 2.0) is None
    assert power.mean_watts([(1.0, 2.0), (6.0, 9.0)]) == pytest.approx(7.0)
    assert power.mean_watts([(20.0, 21.0)]) is None


def test_counted_energy_is_power_between_samples():
    times = np.arange(0.0, 5.0)
    power = PowerSamples.from_readings(times, 3.0 * times, energy=True)
    assert power.joules(0.25, 3.75) == pytest.approx(10.5)


def test_sampler_keeps_its_samples_when_a_source_fails():
    machine = faked(rapl(0))
    with PowerSampler(RaplPower(machine)) as sampler:
        while len(sampler.samples().times) < 3:
            pass
        (machine.root / RAPL / "energy_uj").unlink()
        while not sampler.problem:
            pass
    assert len(sampler.samples().times) >= 3
    assert "may not be read" in sampler.problem

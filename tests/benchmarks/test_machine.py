"""What a measurement ran on, read from fake machines."""

import dataclasses
import os

import pytest
from faked_machines import ABSENT, faked, programs

from hot_sdk.benchmarks import machine as module
from hot_sdk.benchmarks.machine import (
    busy_cpu_seconds,
    busy_cpus,
    process_cpu_seconds,
    read_conditions,
    stamp_machine,
    throttled_between,
)
from hot_sdk.benchmarks.roofline.bound import cpu_roof
from hot_sdk.benchmarks.speed import measure as measuring
from hot_sdk.host.machine import ProgramResult, this_machine

ORIN = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n",
    "proc/cpuinfo": "processor : 0\nFeatures : fp asimd sve\n",
    "proc/meminfo": "MemTotal:        7800000 kB\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1510400\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48500\n",
    "sys/class/hwmon/hwmon4/oc1_event_cnt": "2\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "624750000\n",
    "sys/class/devfreq/17000000.gpu/available_frequencies": "306000000 624750000 1020000000\n",
}


def orin(**files):
    mode = ProgramResult(0, "NV Power Mode: 15W\n0\n", "")
    return faked({**ORIN, **files}, run=programs(nvpmodel=mode))


def test_stamp_of_a_jetson_has_board_and_releases():
    stamp = stamp_machine(orin())
    assert stamp.board == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (stamp.l4t, stamp.jetpack) == ("36.4.3", "6.2")
    assert stamp.instructions == ("asimd", "sve")
    assert (stamp.cpu_mhz, stamp.memory_mib) == (pytest.approx(1510.4), 7617)
    assert (stamp.gpus, stamp.driver) == ((), None)


def test_conditions_of_a_jetson():
    found = read_conditions(orin())
    assert found.governors == ("schedutil",)
    assert found.cpu_mhz == (pytest.approx(729.6),)
    assert "capped by the power mode" in found.gpu_clocks[0]
    assert found.power_mode.startswith("15W (mode 0)")
    assert [(zone.zone, zone.celsius) for zone in found.temperatures] == [("cpu-thermal", 48.5)]
    assert found.throttled == 2


def test_throttling_between_two_moments():
    before = read_conditions(orin())
    assert throttled_between(before, dataclasses.replace(before, throttled=3)) is True
    assert throttled_between(before, before) is False
    unknown = dataclasses.replace(before, throttled=None)
    assert throttled_between(unknown, before) is None
    assert throttled_between(unknown, dataclasses.replace(unknown, throttling=True)) is True


def test_busy_cpus_are_counted_from_ticks(monkeypatch):
    machine = faked({"proc/stat": "cpu  100 0 20 800 30 0 0 10 50 0\ncpu0 1\ncpu1 2\nintr 3\n"})
    later = "cpu  130 5 25 840 30 3 2 15 99 0\ncpu0 1\ncpu1 2\n"
    stat = machine.at("/proc/stat")
    monkeypatch.setattr(module.time, "sleep", lambda _: stat.write_text(later))
    # 50 of 90 ticks of two CPUs; the guest's are among the first 30.
    assert busy_cpus(machine) == pytest.approx(2 * 50 / 90)
    assert busy_cpus(machine) is None
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    assert busy_cpus(faked()) is None


def test_busy_cpus_of_this_machine():
    busy = busy_cpus(this_machine())
    assert busy is None or 0.0 <= busy <= (os.cpu_count() or 1) * 1.01


def test_nvidia_card_reports_clock_temperature_and_throttling():
    answers = iter(["NVIDIA X, 580.1\n", "71, 1410, 0x0000000000000004\n"])
    machine = faked(run=lambda command, _: ProgramResult(0, next(answers), ""))
    stamp = stamp_machine(machine)
    assert (stamp.gpus, stamp.driver) == (("NVIDIA X",), "580.1")
    found = read_conditions(machine)
    assert found.temperatures[0].celsius == 71.0
    assert found.gpu_clocks == ("gpu 0: 1410 MHz now",)
    assert found.throttling is True


def test_silent_machine_is_stamped_with_none():
    machine = faked(run=lambda *_: ABSENT)
    stamp, found = stamp_machine(machine), read_conditions(machine)
    assert stamp.instructions == ()
    assert stamp.cpu_mhz is None
    assert stamp.memory_mib is None
    assert (found.temperatures, found.throttled, found.power_mode) == ((), None, None)
    assert cpu_roof(stamp) is None


def test_identity_is_the_hardware():
    stamp = stamp_machine(orin())
    assert dataclasses.replace(stamp, python="3.99.0").identity == stamp.identity
    assert dataclasses.replace(stamp, processors=99).identity != stamp.identity


def test_roof_grows_with_clock_width_and_cpus():
    stamp = dataclasses.replace(
        stamp_machine(orin()), instructions=("avx2", "fma"), cpu_mhz=3000.0, processors=4
    )
    roof = cpu_roof(stamp)
    # Twice the clock, 8 lanes, 2 units, 2 operations each, 4 CPUs.
    assert roof.flops_per_s == pytest.approx(2 * 3e9 * 8 * 2 * 2 * 4)
    wider = cpu_roof(dataclasses.replace(stamp, instructions=("avx2", "avx512f")))
    assert wider.flops_per_s == pytest.approx(2 * roof.flops_per_s)
    assert cpu_roof(stamp, "int8-dynamic").flops_per_s == pytest.approx(4 * roof.flops_per_s)


def test_description_has_hardware_load_and_versions(monkeypatch):
    machine = faked(
        {"proc/cpuinfo": "model name : A CPU\nflags : avx2 fma\n"},
        distributions={"numpy": "2.1", "torch": "3.0"},
        processors=4,
    )
    monkeypatch.setattr(module, "this_machine", lambda: machine)
    monkeypatch.setattr(module, "busy_cpus", lambda _: 0.25)
    first, second = module.describe_machine("numpy", "absent").splitlines()
    assert first == "A CPU, 4 CPUs, avx2, fma, 0.25 CPUs busy before the start"
    assert second.startswith("hot-sdk ")
    assert second.endswith(", numpy 2.1")


def test_cpu_seconds_of_all_and_of_a_process():
    stat = "cpu 100 20 30 5000 400 5 5 40 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n"
    # A process may have any name.
    one = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 5 0 100 1 1\n"
    machine = faked({"proc/stat": stat, "proc/7/stat": one})
    assert busy_cpu_seconds(machine) == pytest.approx(2.0)
    assert process_cpu_seconds(machine, 7) == pytest.approx(3.0)
    assert process_cpu_seconds(machine, 8) is None
    assert busy_cpu_seconds(faked({})) is None
    assert process_cpu_seconds(this_machine(), os.getpid()) >= 0.0


def test_cpus_that_others_keep_busy_leave_our_own_out(monkeypatch):
    stat = "cpu {} 0 0 5000 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n"
    worker = "7 (python) S 1 7 7 0 -1 4194560 1 0 0 0 {} 0 0 0 20 0 5 0 100 1 1\n"
    machine = faked({"proc/stat": stat.format(1000), "proc/7/stat": worker.format(100)})
    clock = iter([10.0, 20.0])
    monkeypatch.setattr(measuring.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(measuring, "_own_cpu_seconds", lambda: 1.0)
    watch = measuring.OthersWatch(machine, [7])
    # 17 seconds in 10, of which the worker took 12.
    (machine.root / "proc/stat").write_text(stat.format(2700))
    (machine.root / "proc/7/stat").write_text(worker.format(1300))
    assert watch.busy() == pytest.approx(0.5)


def test_others_are_unknown_without_their_times():
    assert measuring.OthersWatch(faked({}), []).busy() is None

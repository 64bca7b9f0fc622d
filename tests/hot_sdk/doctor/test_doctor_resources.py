"""Memory, CPUs, clocks and disk, bare and in containers."""

import pytest
from faked_machines import GIB, faked, found, only

from hot_sdk.doctor.resources import (
    check_cpus,
    check_disk,
    check_governor,
    check_memory,
    check_swap,
)
from hot_sdk.host.machine import this_machine

MEMINFO = {"proc/meminfo": "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n"}
V2 = "sys/fs/cgroup"


def test_memory():
    finding = only(faked(MEMINFO), check_memory)
    assert (finding.status, finding.detail) == ("ok", "8.0 GiB of 16.0 GiB free")
    short = {"proc/meminfo": "MemTotal: 4194304 kB\nMemAvailable: 400000 kB\n"}
    assert only(faked(short), check_memory).status == "wrong"
    assert only(faked(), check_memory).status == "info"


@pytest.mark.parametrize(
    "group",
    ["0::/\n", "0::/system.slice/robot.service\n", "0::/../../elsewhere\n", ""],
)
def test_a_container_of_version_2(group):
    files = {
        **MEMINFO,
        "proc/self/cgroup": group,
        f"{V2}/memory.max": f"{GIB}\n",
        f"{V2}/memory.current": f"{GIB * 3 // 4}\n",
        f"{V2}/memory.stat": f"anon 5\ninactive_file {GIB // 8}\n",
        f"{V2}/cpu.max": "150000 100000\n",
    }
    by_name = found(faked(files), check_memory, check_cpus)
    assert by_name["memory"].status == "wrong"
    assert "may use 1.0 GiB, of which 384 MiB are left" in by_name["memory"].detail
    assert "docker run --memory" in by_name["memory"].fix
    assert by_name["cpus"].detail == "8 seen, but a quota of 1.5"
    assert "threads=1" in by_name["cpus"].fix


def test_a_limit_of_an_outer_group_counts():
    files = {
        **MEMINFO,
        "proc/self/cgroup": "0::/user.slice/session.scope\n",
        f"{V2}/user.slice/session.scope/memory.max": "max\n",
        f"{V2}/user.slice/session.scope/cpu.max": "max 100000\n",
        f"{V2}/user.slice/memory.max": f"{2 * GIB}\n",
        f"{V2}/user.slice/cpu.max": "400000 100000\n",
    }
    by_name = found(faked(files), check_memory, check_cpus)
    assert "may use 2.0 GiB" in by_name["memory"].detail
    assert by_name["memory"].status == "ok"
    assert "quota of 4" in by_name["cpus"].detail


def test_a_container_of_version_1():
    files = {
        **MEMINFO,
        "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
        f"{V2}/memory/memory.limit_in_bytes": f"{GIB}\n",
        f"{V2}/memory/memory.usage_in_bytes": "0\n",
        f"{V2}/cpu/cpu.cfs_quota_us": "200000\n",
        f"{V2}/cpu/cpu.cfs_period_us": "100000\n",
    }
    by_name = found(faked(files), check_memory, check_cpus)
    assert "may use 1.0 GiB, of which 1.0 GiB are left" in by_name["memory"].detail
    assert "quota of 2" in by_name["cpus"].detail


def test_no_limits():
    files = {
        **MEMINFO,
        "proc/self/cgroup": "4:memory:/\n3:cpu:/\n0::/\n",
        f"{V2}/memory/memory.limit_in_bytes": "9223372036854771712\n",
        f"{V2}/cpu/cpu.cfs_quota_us": "-1\n",
        f"{V2}/cpu/cpu.cfs_period_us": "100000\n",
        f"{V2}/cpu.max": "max 100000\n",
    }
    by_name = found(faked(files), check_memory, check_cpus)
    assert "container" not in by_name["memory"].detail
    assert (by_name["cpus"].status, by_name["cpus"].detail) == ("ok", "8")


def test_swap():
    swaps = "Filename Type Size Used Priority\n/swapfile file 2097148 0 -2\n"
    assert only(faked({"proc/swaps": swaps}), check_swap).detail == "2.0 GiB on disk"
    assert only(faked(), check_swap).detail == "none"


@pytest.mark.parametrize(
    ("governors", "status"),
    [(["performance"] * 2, "ok"), (["performance", "schedutil"], "info"), ([], "info")],
)
def test_governor(governors, status):
    files = {
        f"sys/devices/system/cpu/cpu{index}/cpufreq/scaling_governor": f"{name}\n"
        for index, name in enumerate(governors)
    }
    assert only(faked(files), check_governor).status == status


def test_disk():
    finding = only(faked(), check_disk)
    assert (finding.status, finding.detail) == (
        "ok",
        "20.0 GiB free for a cache in /home/robot/.cache",
    )
    environment = {"HOME": "/home/robot", "XDG_CACHE_HOME": "/data/cache"}
    full = only(faked(free_disk=GIB // 4, environment=environment), check_disk)
    assert full.status == "wrong"
    assert "/data/cache" in full.detail


def test_this_machine_answers():
    checks = (check_memory, check_cpus, check_disk, check_swap, check_governor)
    by_name = found(this_machine(), *checks)
    assert set(by_name) == {"memory", "cpus", "disk", "swap", "cpu clock"}
    assert "the check itself failed" not in str(by_name)

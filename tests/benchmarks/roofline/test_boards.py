"""The table of boards, and bounds by it."""

import importlib.resources
import json

import pytest

from hot_sdk.benchmarks.roofline import Roof, board, bound, list_boards
from hot_sdk.benchmarks.roofline.boards import derating
from hot_sdk.errors import UsageError


def figures(value):
    if isinstance(value, dict):
        if "mark" in value:
            yield value
        else:
            for part in value.values():
                yield from figures(part)


def table():
    file = importlib.resources.files("hot_sdk.benchmarks.roofline") / "data" / "boards.json"
    return json.loads(file.read_text())


def test_every_figure_has_a_source_and_a_mark():
    found = list(figures(table()))
    assert len(found) > 50
    for figure in found:
        assert figure["mark"] in ("S", "R")
        assert len(figure["source"]) > 10
        assert figure["value"] > 0


@pytest.mark.parametrize("key", [key for key in list_boards() if "orin" in key])
def test_peaks_follow_from_units_and_clock(key):
    entry = table()["boards"][key]
    expected = entry["sm"]["value"] * entry["gpu_mhz"]["value"] * 2.048e-3
    assert entry["tflops"]["fp16"]["value"] == pytest.approx(expected, rel=0.01)
    assert entry["tops"]["int8"]["value"] == pytest.approx(2 * expected, rel=0.03)


@pytest.mark.parametrize("key", list_boards())
def test_every_board_has_a_roof_for_every_precision(key):
    one = board(key)
    for precision in ("fp32", "fp16", "int8", "int8-dynamic", "mixed"):
        roof, taken = one.roof(precision)
        assert roof.flops_per_s > 1e11
        assert 2e10 < roof.bytes_per_s < 1e12
        assert taken in ("fp32", "fp16", "int8")
    assert one.roof("fp64") is None


def test_unknown_board_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="orin-nano-8gb"):
        board("orin-nano-8g")


def test_derating_shares_are_below_one():
    shares = derating()
    assert 0.5 < shares["compute"] <= 1.0
    assert 0.5 < shares["memory"] <= 1.0


def test_bound_is_the_larger_of_compute_and_memory_time():
    roof = Roof(flops_per_s=1e12, bytes_per_s=1e11)
    compute = bound(roof, flops=10**12, least_bytes=1, kernels=[(10**12, 1)])
    assert (compute.seconds, compute.limited_by) == (pytest.approx(1.0), "compute")
    memory = bound(roof, flops=1, least_bytes=10**11, kernels=[(1, 10**11)])
    assert (memory.seconds, memory.limited_by) == (pytest.approx(1.0), "memory")
    narrow = bound(roof, flops=1, least_bytes=10**11, kernels=[], precision="fp16")
    assert narrow.seconds == pytest.approx(0.5)


def test_derated_bound_counts_launches_and_is_never_faster():
    roof = Roof(1e12, 1e11, compute_share=0.5, memory_share=0.5, launch_s=1e-5)
    found = bound(roof, flops=10**9, least_bytes=0, kernels=[(10**7, 0)] * 100)
    assert found.derated_seconds == pytest.approx(2e-3 + 1e-3)
    assert found.derated_seconds >= found.seconds


def test_machine_is_recognized_by_name_and_memory():
    nano, half = board("orin-nano-8gb"), board("orin-nano-4gb")
    name = "NVIDIA Jetson Orin Nano Developer Kit"
    assert nano.may_be(name, 7620)
    assert not half.may_be(name, 7620)
    assert half.may_be(name, 3800)
    assert not board("orin-nx-8gb").may_be(name, 7620)
    assert not nano.may_be(None, 7620)
    assert board("agx-orin-64gb").may_be("NVIDIA Jetson AGX Orin Developer Kit", 62800)

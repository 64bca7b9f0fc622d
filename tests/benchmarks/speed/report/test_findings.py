"""What a record shows, in sentences."""

import dataclasses

from benchmark_records import CONDITIONS, in_turn, record, result

from hot_sdk.benchmarks.speed.report.findings import decision_lines, findings, findings_section
from hot_sdk.benchmarks.speed.result import Ceiling
from hot_sdk.benchmarks.speed.series import Interval


def test_the_fastest_is_named_with_its_interval():
    text = "\n".join(findings(in_turn(1.5, 1.4, 1.6)))
    assert "Fastest: new, 1.50 (1.40 to 1.60) times old; one window end to end takes 6.6" in text
    assert "Slower" not in text
    slower = findings(in_turn(0.8, 0.7, 0.9))
    assert slower[0].startswith("None is faster than old beyond noise. Nearest: new, 0.80 (")
    assert "Slower than old: new." in slower
    noise = findings(in_turn(1.0, 0.9, 1.1))
    assert "Not told apart from old: new." in noise
    assert not [line for line in noise if line.startswith("Fastest")]
    busy = dataclasses.replace(CONDITIONS, load=2.0)
    assert "Not told apart from old: new." in findings(in_turn(1.1, 1.05, 1.15, before=busy))
    assert "Too few rounds to say which is faster." in findings(in_turn(1.5, 1.4, 1.6, rounds=3))


def test_a_busy_machine_is_said_first():
    busy = in_turn(1.5, 1.4, 1.6, before=dataclasses.replace(CONDITIONS, load=2.0))
    assert findings(busy)[0].startswith("Do not rely on these times: the machine was busy")


def test_shares_of_the_ceiling_and_errors_are_ranges():
    ceiling = Ceiling(
        product_shape=None,
        product_form=None,
        product_flops_per_s=None,
        best_flops_per_s=None,
        forms=(),
        shapes=(),
        shapes_ms=9.0,
        copy_bytes_per_s=None,
        achieved_flops_per_s=None,
        share_of_product=None,
        share_of_shapes=Interval(0.9, 0.88, 0.92, 7),
        explanations=(),
        problems=(),
    )
    first = dataclasses.replace(result("a", 10.0, mpjpe=30.0), ceiling=ceiling)
    found = findings(record(first, result("b", 8.0, mpjpe=31.5)))
    assert "MPJPE on starter-val: 30.00 mm (a) to 31.50 mm (b)." in found
    assert found[-1].endswith("this share of a run's time: 90% (a).")
    assert decision_lines(record(first), ()) == findings(record(first))


def test_a_study_is_a_section_with_its_question():
    section = findings_section("One", "How fast?", record(result("a", 10.0)))
    assert section.startswith("### One\n\nHow fast? (2026-01-01, A CPU, 4 CPUs, avx2)\n\n- a: one ")

"""Budgets and limits, as users write them."""

import pytest

from hot_sdk.benchmarks.speed.metrics import parse_limit
from hot_sdk.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("latency<33ms", "latency", 33.0),
        ("latency <= 0.033 s", "latency", 33.0),
        ("memory<0.5GiB", "memory", 512.0),
        ("power<=7500mW", "power", 7.5),
        ("frames_per_s>30", "frames_per_s", 30.0),
        ("mpjpe<60mm", "mpjpe", 60.0),
    ],
)
def test_units_are_converted_to_the_metrics(text, name, number):
    limit = parse_limit(text, allow_baseline=False)
    assert (limit.metric.name, limit.number) == (name, pytest.approx(number))


def test_factor_of_the_old_value():
    limit = parse_limit("frames_per_s<0.95*old", allow_baseline=True)
    assert limit.is_relative
    assert limit.is_met(90.0, old=100.0)
    assert not limit.is_met(96.0, old=100.0)


@pytest.mark.parametrize(
    ("text", "allow_baseline", "said"),
    [
        ("latency", False, "is not of the form"),
        ("latency<fast", False, "is not of the form"),
        ("latencey<3ms", False, "Did you mean 'latency'?"),
        ("latency<3mm", False, "not measured in mm"),
        ("frames_per_s>3ms", False, "It has no unit"),
        ("latency<1.1*old", False, "cannot refer to 'old'"),
        ("__import__('os')<1", True, "is not of the form"),
    ],
)
def test_rejects_what_is_no_limit(text, allow_baseline, said):
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        parse_limit(text, allow_baseline=allow_baseline)

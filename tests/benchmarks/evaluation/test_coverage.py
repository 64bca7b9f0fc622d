"""Coverage of errors that are drawn from the distributions for which it is meant."""

import math

import numpy as np
import pytest

from hot_sdk.benchmarks.evaluation.clip_errors import measure_clip
from hot_sdk.benchmarks.evaluation.coverage import (
    DISTRIBUTION,
    LEVELS,
    coverage,
    interval_width,
)
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.benchmarks.evaluation.metrics import mean_of, summarize
from hot_sdk.errors import ResultError

SPREAD = np.array([10.0, 20.0, 60.0])


@pytest.fixture(scope="module")
def truth():
    return load_starter_val(views=1)[4].truth_mm


def drawn(distribution, shape):
    """Errors of which 68 % lie within 1 to either side."""
    random = np.random.default_rng(8)
    if distribution == "laplace":
        return random.laplace(size=shape) / -math.log(0.32)
    return random.normal(size=shape) / 0.99446


def measured(truth, errors, spread=SPREAD, **options):
    predicted = truth + errors
    predicted[:, 0] = truth[:, 0]
    return measure_clip(predicted, truth, spread_mm=np.broadcast_to(spread, truth.shape), **options)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [("normal", (0.678, 1.0, 1.971)), ("laplace", (0.608, 1.0, 2.629))],
)
def test_widths_of_intervals(distribution, expected):
    found = [interval_width(level, distribution) for level in LEVELS]
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("distribution", ["normal", "laplace"])
def test_calibrated_errors_are_covered_as_often_as_said(truth, distribution):
    one = measured(truth, SPREAD * drawn(distribution, truth.shape))
    found = coverage([one.spread_ratio], [one.spread], distribution=distribution)
    assert found.percent.keys() == {"50", "68", "95"}
    for level in LEVELS:
        for share in found.percent[str(level)].values():
            assert share == pytest.approx(level, abs=1.5)
    assert found.spread_mm == pytest.approx({"x": 10.0, "y": 20.0, "z": 60.0, "all": 30.0})


def test_axes_are_counted_by_themselves(truth):
    errors = SPREAD * drawn(DISTRIBUTION, truth.shape) * [1.0, 0.0, 1e6]
    found = summarize([measured(truth, errors)]).coverage.percent["68"]
    assert found["x"] == pytest.approx(68.0, abs=1.5)
    assert (found["y"], found["z"]) == (100.0, pytest.approx(0.0, abs=0.1))
    assert found["all"] == pytest.approx((found["x"] + 100.0 + found["z"]) / 3)


def test_pelvis_has_no_error_and_does_not_count(truth):
    found = measured(truth, np.full(truth.shape, 1e3))
    assert found.spread_ratio.shape == (len(truth), 16, 3)
    assert summarize([found]).coverage.percent["95"]["all"] == 0.0
    assert measured(truth, np.zeros(truth.shape), joints=14).spread.shape[1] == 14


def test_frames_that_are_not_scored_need_no_spread(truth):
    errors, spread = np.zeros(truth.shape), np.broadcast_to(SPREAD, truth.shape).copy()
    errors[3] = spread[3] = np.nan
    found = measured(truth, errors, spread)
    assert len(found.spread) == len(truth) - 1
    spread[5, 2, 1] = np.nan
    with pytest.raises(ResultError, match="not finite in a frame that has a pose"):
        measured(truth, errors, spread)
    with pytest.raises(ResultError, match="spread is float64 of shape"):
        measure_clip(truth, truth, spread_mm=spread[1:])


def test_nothing_is_said_without_a_spread(truth):
    stated, silent = measured(truth, np.ones(truth.shape)), measure_clip(truth, truth)
    assert summarize([silent]).coverage is None
    # Part of the clips would be another set of frames.
    assert summarize([stated, silent]).coverage is None
    assert summarize([stated]).to_dict()["coverage"]["percent"]["50"]["x"] == 100.0
    assert mean_of([summarize([stated]), summarize([silent])]).coverage is None
    halves = [summarize([measured(truth, np.full(truth.shape, far))]) for far in (1.0, 1e4)]
    assert mean_of(halves).coverage.percent["95"]["z"] == 50.0
    # Without a metric unit there is nothing to compare.
    assert measured(truth, np.ones(truth.shape), metric=False).spread_ratio is None

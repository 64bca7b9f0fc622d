"""Frames that tie may be chosen either way; others may not."""

import numpy as np
import pytest
import torch
from small_networks import small_size

from hot_sdk.engines import open_session
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import build, resolve
from hot_sdk.export.models.frame_selection import density_peak_scores, squared_distances
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.export.verification.compare import FP32, WindowResult, compare, require_parity
from hot_sdk.export.verification.ties import density_peak_bounds, find_ties

ROUNDING = 2.0**-24


def fresh(**options):
    """A network as its constructor leaves it, whose features are nearly linear in the keypoints."""
    settings = {"frames": 81, "tokens": 27, "prune_at": 1, **small_size("mixste"), **options}
    flip = settings.pop("flip", False)
    spec = resolve("mixste", **settings)
    torch.manual_seed(2)
    return spec, build_lifter(spec, build(spec).state_dict(), flip=flip)


def slow(spec):
    """Windows of 5 frames a second, resampled to 50: nine of ten frames lie between two others."""
    return [window for window in verification_windows(spec) if "squats" in window.name]


def given(window):
    return {"keypoints_2d": window.keypoints[None]}


def chosen(lifter, keypoints):
    with torch.inference_mode():
        return lifter(torch.from_numpy(keypoints[None]))[1].numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flip": True},
        {"variant": "tpc", "flip": True},
        {"selector": "motion"},
        {"tokens": (40, 20), "prune_at": (1, 2), "selector": ("tpc", "attention")},
    ],
)
def test_rounding_of_the_input_is_within_rounding(options):
    spec, lifter = fresh(**options)
    random = np.random.default_rng(0)
    for window in slow(spec):
        moved = 1.0 + ROUNDING * random.standard_normal(window.keypoints.shape)
        index = chosen(lifter, (window.keypoints * moved).astype(np.float32))
        ties = find_ties(lifter, given(window), {"token_index": index})
        assert ties.within_rounding
        assert 0.5 < ties.own_shared <= 1.0


def test_finds_frames_that_do_not_tie():
    spec, lifter = fresh()
    (window,) = (each for each in verification_windows(spec) if each.name == "smooth")
    index = chosen(lifter, window.keypoints)
    assert find_ties(
        lifter, {"keypoints_2d": window.keypoints[None]}, {"token_index": index}
    ).within_rounding
    others = [frame for frame in range(81) if frame not in index]
    for frame in others[::18]:
        wrong = np.sort(np.append(index[0, 1:], frame))[None]
        assert not find_ties(
            lifter, {"keypoints_2d": window.keypoints[None]}, {"token_index": wrong}
        ).within_rounding


def test_bounds_hold_the_scores_and_meet_without_rounding():
    features = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 30, 8)))
    distance = squared_distances(features).sqrt()
    low, high = density_peak_bounds(distance, distance)
    torch.testing.assert_close(low, density_peak_scores(features))
    torch.testing.assert_close(high, density_peak_scores(features))
    low, high = density_peak_bounds(distance - 0.01, distance + 0.01)
    assert (low <= density_peak_scores(features)).all()
    assert (high >= density_peak_scores(features)).all()


def test_a_fresh_network_passes_on_a_slow_clip():
    spec, lifter = fresh(width=64)
    graph = trace(fold_constants(lifter), spec, batch=1, opset=20).SerializeToString()
    with open_session(graph) as session:
        results = compare(lifter, session, spec, verification_windows(spec), excuse_ties=True)
    require_parity(results)
    assert all(result.max_difference < 1e-5 for result in results)
    for result in results:
        assert result.tied == (result.own_frames_shared is not None)


def test_a_tie_excuses_frames_and_their_poses_but_no_other_pose():
    result = WindowResult("w", 1e-6, "", 2e-3, 1e-2, "", 0.9, own_frames_shared=0.91, tied=True)
    require_parity([result])
    assert [check.statistic for check in result.checks(FP32)] == ["largest coordinate difference"]

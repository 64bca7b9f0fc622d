"""A live network: the same poses frame by frame as over a clip at once, whatever it remembers."""

import numpy as np
import pytest
import torch
from live_networks import live_lifter, live_spec

from hot_sdk.engines.caches import HostCaches
from hot_sdk.errors import VerificationError
from hot_sdk.export.graph.wrapper import StepLifter, fold_constants
from hot_sdk.export.models import create_model
from hot_sdk.export.verification import step_runs
from hot_sdk.export.verification.clips import live_windows
from hot_sdk.export.verification.step_runs import (
    in_pytorch,
    lift_by_steps,
    require_same_both_ways,
)

FRAMES = 45


@pytest.fixture(autouse=True)
def few_frames(one_thread, monkeypatch):
    monkeypatch.setattr(step_runs, "_FRAMES_AT_ONCE", FRAMES)


def at_once(network, window, dtype):
    known = None if window.conditions is None else torch.from_numpy(window.conditions[None])
    with torch.inference_mode():
        return network.lift_clip(
            torch.from_numpy(window.keypoints[None]).to(dtype),
            torch.from_numpy(window.times).to(dtype),
            None if known is None else known.to(dtype),
            lookahead=network.spec.live.lookahead,
            memory=network.spec.live.memory,
        )


def shortened(window, frames=FRAMES):
    known = window.conditions
    return step_runs.Window(
        window.name,
        window.keypoints[:frames],
        None if known is None else known[:frames],
        window.times[:frames],
    )


@pytest.mark.parametrize("lookahead", range(17))
def test_same_poses_frame_by_frame_as_at_once(lookahead):
    # Anchors with an even lookahead, so that both memories meet layers that do not look ahead.
    spec = live_spec(lookahead=lookahead, memory="12" if lookahead % 2 else "5+3x4")
    lifter, windows = live_lifter(spec), live_windows(spec)
    assert isinstance(lifter, StepLifter)
    assert require_same_both_ways(lifter, spec, windows[1:]) < 1e-9
    window = shortened(windows[2])
    steps = lift_by_steps(in_pytorch(lifter, spec), spec, [window])
    poses, spread = at_once(lifter.network, window, torch.float32)
    np.testing.assert_allclose(steps["poses_3d"], poses.numpy(), atol=1e-5, rtol=0)
    np.testing.assert_allclose(steps["spread"], spread.numpy(), atol=1e-5, rtol=0)


def test_another_function_is_found_out(monkeypatch):
    spec = live_spec(lookahead=1, memory="8")
    lifter = live_lifter(spec)
    inputs = HostCaches.inputs

    def forgetful(caches, rows):
        made = inputs(caches, rows)
        return {**made, "keys_1": made["keys_1"] * 0.999}

    monkeypatch.setattr(HostCaches, "inputs", forgetful)
    with pytest.raises(VerificationError, match="otherwise frame by frame than at once"):
        require_same_both_ways(lifter, spec, live_windows(spec)[:1])


@pytest.mark.parametrize("lookahead", [0, 4])
def test_folded_constants_change_nothing(lookahead):
    spec = live_spec(lookahead=lookahead, memory="5+3x4")
    lifter = live_lifter(spec).double()
    windows = [shortened(live_windows(spec)[1])]
    plain, folded = (
        lift_by_steps(in_pytorch(each, spec), spec, windows, dtype=np.float64)
        for each in (lifter, fold_constants(lifter))
    )
    np.testing.assert_allclose(folded["poses_3d"], plain["poses_3d"], atol=1e-12, rtol=0)


def test_people_in_one_run_do_not_touch_each_other():
    spec = live_spec(lookahead=2, memory="6")
    run, windows = in_pytorch(live_lifter(spec), spec), live_windows(spec)
    windows = [shortened(window) for window in windows]
    together = lift_by_steps(run, spec, windows)["poses_3d"]
    for place, window in enumerate(windows):
        alone = lift_by_steps(run, spec, [window])["poses_3d"][0]
        np.testing.assert_allclose(together[place], alone, atol=1e-5, rtol=0)


def test_later_frames_than_the_lookahead_count_for_nothing():
    spec = live_spec(lookahead=3, memory="20")
    network, window = live_lifter(spec).network, shortened(live_windows(spec)[2])
    poses, _ = at_once(network, window, torch.float32)
    window.keypoints[30:] *= -0.5
    window.keypoints[30:, 3] += 0.1
    changed, _ = at_once(network, window, torch.float32)
    np.testing.assert_array_equal(changed[:, :27], poses[:, :27])
    assert (changed[:, 27] - poses[:, 27]).abs().max() > 1e-4


def test_a_module_lifts_whole_clips():
    made = create_model("mixste", variant="live", width=16, depth=2, heads=2, mlp_hidden=16)
    poses, kept = made(torch.randn(2, 9, 17, 2))
    assert (poses.shape, kept) == ((2, 9, 17, 3), None)

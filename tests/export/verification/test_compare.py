"""Verification finds what is wrong, and says where."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hot_sdk.engines import open_session
from hot_sdk.errors import VerificationError
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import build
from hot_sdk.export.options import resolve_request
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.export.verification.compare import (
    END_TO_END,
    FP32,
    SAME_FRAMES,
    Check,
    WindowResult,
    compare,
    require_parity,
)


def compared(exported, model, *, flip=False, excuse_ties=False):
    spec = resolve_request(exported.request)
    network = build(spec)
    network.load_state_dict(random_state_dict(network))
    reference = build_lifter(spec, network.state_dict(), flip=flip)
    with open_session(model.SerializeToString()) as session:
        windows = verification_windows(spec)
        return compare(reference, session, spec, windows, excuse_ties=excuse_ties)


def changed(model, name, change):
    for tensor in model.graph.initializer:
        if tensor.name.endswith(name):
            tensor.CopyFrom(
                numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), tensor.name)
            )
            return model
    raise AssertionError(name)


@pytest.fixture
def model(hot_export):
    return onnx.load(hot_export.path)


def test_exported_file_passes(hot_export, model):
    results = compared(hot_export, model)
    require_parity(results)
    assert all(result.frames_shared == 1.0 for result in results)
    assert max(result.max_difference for result in results) < 1e-5


def test_finds_another_head_with_the_same_frames(hot_export, model):
    def nudge(bias):
        bias[1] += 0.01
        return bias

    results = compared(hot_export, changed(model, "head.1.bias", nudge))
    with pytest.raises(VerificationError) as caught:
        require_parity(results)
    assert SAME_FRAMES in caught.value.message
    assert "largest coordinate difference of window" in caught.value.message
    assert "is 0.01, above 0.0001, at frame " in caught.value.message
    assert all(result.max_difference == pytest.approx(0.01, abs=1e-5) for result in results)
    assert all(result.frames_shared == 1.0 for result in results)


def test_finds_other_frames_only_end_to_end(hot_export, model):
    # The selector negated: the least instead of the most telling frames.
    score = next(
        node
        for node in model.graph.node
        if node.name.startswith("selectors.0/mul")
        and any(
            "unsqueeze" in other.name and node.output[0] in other.input
            for other in model.graph.node
        )
    )
    negated = onnx.helper.make_node("Neg", [score.output[0]], ["negated"], name="negate")
    position = list(model.graph.node).index(score)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == score.output[0]:
                node.input[place] = "negated"
    model.graph.node.insert(position + 1, negated)
    results = compared(hot_export, model, excuse_ties=True)
    for result in results:
        assert not result.tied
        stages = {check.statistic: check.passed for check in result.checks(FP32)}
        assert stages["largest coordinate difference"]
        assert not stages["frames shared"]
    with pytest.raises(VerificationError, match=END_TO_END) as caught:
        require_parity(results)
    assert "PyTorch's own float32 and float64 share 1)" in caught.value.message


def test_nan_never_passes(hot_export, model):
    def spoil(bias):
        bias[0] = np.nan
        return bias

    results = compared(hot_export, changed(model, "head.1.bias", spoil))
    assert not any(check.passed for result in results for check in result.checks(FP32)[:2])
    with pytest.raises(VerificationError, match="is nan, above"):
        require_parity(results)


def test_limits_are_inclusive_and_a_share_is_a_lower_one():
    assert Check("s", "x", "w", 1.0, 1.0).passed
    assert not Check("s", "x", "w", 1.1, 1.0).passed
    assert Check("s", "x", "w", 0.95, 0.95, at_most=False).passed
    assert not Check("s", "x", "w", 0.9, 0.95, at_most=False).passed


def test_message_counts_what_it_does_not_list():
    good = WindowResult("w", 1e-6, "frame 0, joint pelvis", 1e-6, 1e-6, "", 1.0)
    bad = dataclasses.replace(good, max_difference=1.0)
    require_parity([good])
    with pytest.raises(VerificationError, match="; and 2 more"):
        require_parity([bad] * 5 + [good])

"""Cleaning frames as they arrive: filled from the past, jumps doubted, nothing known in advance."""

import numpy as np
import pytest

from hot_sdk.preprocessing.causal import CausalCleaner
from hot_sdk.preprocessing.policies import PUBLISHED, InputPolicies

WRIST = 16
FPS = 30.0


@pytest.fixture
def body():
    """(17, 2), pixels, with a spread of about 100."""
    return np.random.default_rng(0).normal(400.0, 70.0, (17, 2)).astype(np.float32)


def cleaned(frames, scores=None, *, fps=FPS, policies=None):
    cleaner = CausalCleaner(policies or InputPolicies())
    rows = [None] * len(frames) if scores is None else scores
    return [cleaner.add(one, row, fps=fps) for one, row in zip(frames, rows, strict=True)]


def test_what_is_seen_passes_as_it_is(body):
    moving = [body + np.float32(step) for step in range(5)]
    for one, frame in zip(cleaned(moving), moving, strict=True):
        np.testing.assert_array_equal(one.cleaned.points[0], frame)
        assert one.cleaned.valid.all()
        assert (one.cleaned.scores == 1.0).all()
        assert (one.missing, one.outliers) == (0, 0)


@pytest.mark.parametrize("fps", [15.0, FPS])
def test_frames_without_a_jump_take_a_shorter_way_to_the_same(body, fps, monkeypatch):
    """Of someone who moves, some joints of whom jump or are missing, in some frames."""
    chance = np.random.default_rng(3)
    frames = body + np.cumsum(chance.normal(0.0, 4.0, (300, 17, 2)), axis=0).astype(np.float32)
    frames[chance.random((300, 17)) < 0.004] += np.float32(150.0)
    frames[chance.random((300, 17)) < 0.004] = np.nan
    scores = np.where(chance.random((300, 17)) < 0.004, 0.1, 0.9).astype(np.float32)
    shorter = cleaned(frames, scores, fps=fps)
    taken = [one.cleaned.valid.flags.writeable for one in shorter]
    assert 100 < taken.count(False) < 280
    monkeypatch.setattr(CausalCleaner, "_is_near", lambda *_: False)
    longer = cleaned(frames, scores, fps=fps)
    for one, other in zip(shorter, longer, strict=True):
        assert one[1:] == other[1:]
        for name in ("points", "scores", "valid"):
            got, expected = (getattr(each.cleaned, name) for each in (one, other))
            np.testing.assert_array_equal(got, expected)


def test_a_missing_joint_moves_with_the_body_and_is_then_invalid(body):
    frames = [body + np.float32(10.0 * step) for step in range(21)]
    for gone in frames[1:]:
        gone[WRIST] = np.nan
    found = cleaned(frames)
    for step, one in enumerate(found):
        np.testing.assert_allclose(
            one.cleaned.points[0, WRIST], body[WRIST] + 10.0 * step, rtol=1e-4
        )
        assert one.cleaned.valid[0, WRIST] == (step <= InputPolicies().hold_frames)
        assert one.cleaned.valid.sum() >= 16


def test_low_scores_are_missing_and_get_the_least_that_counts(body):
    scores = [np.full(17, 0.9, np.float32) for _ in range(2)]
    scores[1][WRIST] = 0.1
    moved = body + np.float32(5.0)
    _, one = cleaned([body, moved], scores)
    np.testing.assert_allclose(one.cleaned.points[0, WRIST], body[WRIST] + 5.0, rtol=1e-4)
    assert one.cleaned.scores[0, WRIST] == np.float32(0.3)
    assert one.missing == 1


def test_a_missing_joint_follows_those_next_to_it(body):
    turned = body.copy()
    turned[[14, 15]] += np.float32(40.0)
    turned[[0, WRIST]] = np.nan
    _, one = cleaned([body, turned])
    moved = one.cleaned.points[0] - body
    # The elbow is one bone from the wrist, the thorax, the nearest that stays, three.
    assert (moved[WRIST] > 38.0).all()
    assert (moved[0] < 1.0).all()


def test_a_joint_that_comes_back_moves_no_other(body):
    hidden, back = body.copy(), body.copy()
    hidden[[15, WRIST]] = np.nan
    back[15] += np.float32(30.0)
    back[WRIST] = np.nan
    found = cleaned([body, hidden, back, back + np.float32(1.0)])
    np.testing.assert_array_equal(found[2].cleaned.points[0, WRIST], body[WRIST])
    np.testing.assert_allclose(found[3].cleaned.points[0, WRIST], body[WRIST] + 1.0, rtol=1e-4)


def test_nobody_moves_while_no_joint_is_seen_twice(body):
    first, second = body.copy(), body + np.float32(20.0)
    first[::2], second[1::2] = np.nan, np.nan
    _, one = cleaned([first, second])
    np.testing.assert_array_equal(one.cleaned.points[0, 1::2], first[1::2])
    np.testing.assert_array_equal(one.cleaned.points[0, ::2], second[::2])


def test_a_joint_that_was_never_seen_is_at_its_ancestor_and_invalid(body):
    unseen = body.copy()
    unseen[[15, WRIST]] = np.nan
    (one,) = cleaned([unseen])
    np.testing.assert_array_equal(one.cleaned.points[0, WRIST], body[14])
    assert not one.cleaned.valid[0, [15, WRIST]].any()
    assert one.cleaned.valid.sum() == 15


def test_nothing_before_the_first_joint(body):
    nothing = np.full((17, 2), np.nan, np.float32)
    found = cleaned([nothing, nothing, body, nothing])
    assert found[:2] == [None, None]
    np.testing.assert_array_equal(found[3].cleaned.points[0], body)


def jumping(body, *away):
    frames = [body.copy() for _ in away]
    for frame, far in zip(frames, away, strict=True):
        frame[WRIST] += np.float32(far)
    return frames


def test_a_jump_is_doubted_until_it_stays(body):
    found = cleaned(jumping(body, 0.0, 0.0, 400.0, 0.0, 400.0, 400.0, 400.0))
    held = [bool((one.cleaned.points[0, WRIST] == body[WRIST]).all()) for one in found]
    assert held == [True, True, True, True, True, False, False]
    assert [one.outliers for one in found] == [0, 0, 1, 0, 1, 0, 0]
    assert all(one.cleaned.valid.all() for one in found)


@pytest.mark.parametrize(("fps", "doubted"), [(30.0, 2), (15.0, 1)])
def test_a_joint_is_doubted_for_few_frames_only(body, fps, doubted):
    found = cleaned(jumping(body, 0.0, 400.0, -400.0, 800.0, -800.0), fps=fps)
    assert [one.outliers for one in found[1:]][:doubted] == [1] * doubted
    assert found[doubted + 1].outliers == 0


def test_policies_that_accept_every_jump(body):
    found = cleaned(jumping(body, 0.0, 400.0, 0.0), policies=PUBLISHED)
    assert sum(one.outliers for one in found) == 0
    assert (found[1].cleaned.points[0, WRIST] == body[WRIST] + np.float32(400.0)).all()


def test_a_later_frame_changes_no_earlier_one(body):
    chance = np.random.default_rng(1)
    frames = [body + chance.normal(0, 30, body.shape).astype(np.float32) for _ in range(30)]
    for frame in frames:
        frame[chance.random(17) < 0.2] = np.nan
    whole, part = cleaned(frames), cleaned(frames[:20])
    for one, other in zip(whole, part, strict=False):
        np.testing.assert_array_equal(one.cleaned.points, other.cleaned.points)
        np.testing.assert_array_equal(one.cleaned.valid, other.cleaned.valid)

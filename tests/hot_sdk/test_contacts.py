"""Feet of one who walks over a floor, whose contacts are known by construction."""

import numpy as np
import pytest

from hot_sdk.contacts import ANKLE_HEIGHT_M, FEET, foot_contacts, hold_standing_feet
from hot_sdk.errors import UsageError
from hot_sdk.root.standing import standing_velocity

FPS = 30.0
UP = np.array([0.0, 0.0, 1.0])


def walker(seconds=6.0, floor=0.0, stride=0.6, stand=0.6):
    """Joints with z up, meters, and whether each foot stands: steps of one second, half in turn."""
    times = np.arange(round(seconds * FPS)) / FPS
    joints = np.zeros((len(times), 17, 3))
    joints[:] = np.random.default_rng(5).normal(size=(17, 3)) * 0.3 + [0, 0, 1.0]
    joints[..., 0] += stride * times[:, None]
    standing = np.zeros((len(times), 2), dtype=bool)
    for foot, ankle in enumerate(FEET):
        phase = times + 0.5 * foot
        share = np.clip((phase % 1.0 - stand) / (1.0 - stand), 0.0, 1.0)
        standing[:, foot] = share == 0.0
        ahead = np.floor(phase) + 0.5 - 0.5 * np.cos(np.pi * share)
        joints[:, ankle] = np.stack(
            [
                stride * (ahead - 0.5 * foot),
                np.full(len(times), 0.1 - 0.2 * foot),
                ANKLE_HEIGHT_M + 0.12 * np.sin(np.pi * share) ** 2,
            ],
            axis=-1,
        )
    return joints + floor * UP, times, standing


def shaken(joints, sideways=0.02, seed=0):
    """The same with an error of the root that changes within a third of a second."""
    generator = np.random.default_rng(seed)
    kept = np.exp(-1.0 / FPS / 0.3)
    off = np.zeros((len(joints), 3))
    for frame in range(1, len(off)):
        off[frame] = kept * off[frame - 1]
        off[frame] += generator.normal(size=3) * sideways * np.sqrt(1.0 - kept**2)
    return joints + off[:, None], off


def with_legs(joints):
    """The same with hips above the feet, and knees bent forward."""
    made = joints.copy()
    for hip, knee, ankle in ((1, 2, 3), (4, 5, 6)):
        made[:, hip] = (joints[:, 3] + joints[:, 6]) / 2.0
        made[:, hip, 1:] = made[:, ankle, 1:] * [1.0, 0.0] + [0.0, 0.85]
        made[:, knee] = (made[:, hip] + made[:, ankle]) / 2.0 + [0.12, 0.0, 0.0]
    return made


def slides(joints, standing):
    both = standing[1:] & standing[:-1]
    steps = np.linalg.norm(np.diff(joints[:, FEET], axis=0), axis=-1)
    return steps[both].mean() * FPS


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("floor", [0.0, -1.1])
def test_steps_are_found(causal, floor):
    joints, times, standing = walker(floor=floor)
    found = foot_contacts(joints, times, up=UP, causal=causal)
    assert ((found.probability > 0.5) == standing).mean() > (0.85 if causal else 0.93)
    # In the middle of what each foot does, it is certain.
    inner = np.minimum.reduce([standing[shift : len(standing) - 6 + shift] for shift in range(7)])
    outer = np.maximum.reduce([standing[shift : len(standing) - 6 + shift] for shift in range(7)])
    assert found.probability[3:-3][inner].min() > 0.9
    assert found.probability[3:-3][~outer].max() < 0.1
    assert found.floor_m == pytest.approx(floor, abs=0.005)
    assert found.height[standing] == pytest.approx(0.0, abs=0.006)


def test_axes_and_a_floor_that_is_known():
    joints, times, _ = walker(floor=0.4)
    found = foot_contacts(joints, times, up=UP, floor_m=0.4, noise_m=0.005)
    # x right, y down and z forward.
    camera = joints[..., [1, 2, 0]] * [-1.0, -1.0, 1.0]
    other = foot_contacts(camera, times, up=(0.0, -2.0, 0.0), floor_m=0.4, noise_m=0.005)
    np.testing.assert_allclose(other.probability, found.probability, atol=1e-9)
    assert (found.floor_m, found.noise_m) == (0.4, 0.005)


def test_no_foot_stands_in_a_jump_and_both_do_at_rest():
    joints, times, _ = walker(seconds=3.0)
    joints[:, FEET] = [[0.0, 0.1, ANKLE_HEIGHT_M], [0.0, -0.1, ANKLE_HEIGHT_M]]
    flight = (times > 1.0) & (times < 1.5)
    rise = 0.3 * np.sin(np.pi * (times[flight] - 1.0) / 0.5)
    joints[flight] += rise[:, None, None] * UP
    found = foot_contacts(joints, times, up=UP).probability
    assert (found[times < 0.8] > 0.95).all()
    assert (found[(times > 1.1) & (times < 1.4)] < 0.1).all()
    assert (found[times > 1.7] > 0.95).all()


def test_a_foot_that_is_raised_and_still_is_less_certain_than_one_on_the_floor():
    joints, times, _ = walker(seconds=3.0)
    joints[:, FEET] = [[0.0, 0.1, ANKLE_HEIGHT_M], [0.0, -0.1, ANKLE_HEIGHT_M + 0.5]]
    found = foot_contacts(joints, times, up=UP).probability
    assert (found[:, 0] > 0.99).all()
    assert (found[:, 1] < found[:, 0]).all()


def test_noise_makes_judgments_less_certain():
    joints, times, standing = walker()
    sure = []
    for noise in (0.0, 0.01, 0.1):
        noisy = joints + np.random.default_rng(1).normal(size=joints.shape) * noise
        found = foot_contacts(noisy, times, up=UP)
        assert 0.5 * noise <= found.noise_m < 1.5 * noise + 0.02
        sure.append(np.abs(found.probability - 0.5).mean())
        if noise < 0.05:
            assert ((found.probability > 0.5) == standing).mean() > 0.85
    assert sure[0] > sure[1] > sure[2]


def test_unknown_ankles():
    joints, times, _ = walker()
    joints[50:60, FEET[0]] = np.nan
    joints[100] = np.nan
    found = foot_contacts(joints, times, up=UP)
    assert np.isnan(found.probability[50:60, 0]).all()
    assert np.isnan(found.probability[100]).all()
    assert np.isfinite(found.probability[:50]).all()
    assert np.isfinite(found.probability[50:60, 1]).all()
    held = hold_standing_feet(joints, times, found, up=UP)
    np.testing.assert_array_equal(np.isnan(held), np.isnan(joints))
    np.testing.assert_array_equal(held[50:60, :3], joints[50:60, :3])
    nothing = foot_contacts(np.full_like(joints, np.nan), times, up=UP)
    assert np.isnan(nothing.probability).all()


def test_standing_feet_stay_and_are_nearer_to_where_they_are():
    joints, times, standing = walker()
    joints = with_legs(joints)
    seen, _ = shaken(joints)
    found = foot_contacts(seen, times, up=UP)
    after = hold_standing_feet(seen, times, found, up=UP)
    assert slides(after, standing) < 0.3 * slides(seen, standing)
    errors = [
        np.linalg.norm((each - joints)[:, FEET], axis=-1)[standing].mean() for each in (seen, after)
    ]
    assert errors[1] < 0.85 * errors[0]
    sunk = [np.abs((each - joints)[:, FEET, 2])[standing].mean() for each in (seen, after)]
    assert sunk[1] < 0.7 * sunk[0]
    legs = [1, 2, 3, 4, 5, 6]
    for upper, lower in ((1, 2), (2, 3), (4, 5), (5, 6)):
        lengths = [
            np.linalg.norm(each[:, upper] - each[:, lower], axis=-1) for each in (seen, after)
        ]
        np.testing.assert_allclose(lengths[1], lengths[0], atol=1e-9)
    np.testing.assert_array_equal(
        np.delete(after, [2, 3, 5, 6], axis=1), np.delete(seen, [2, 3, 5, 6], axis=1)
    )
    # Knees stay on their side of the leg: ahead.
    for hip, knee, ankle in (legs[:3], legs[3:]):
        middle = (after[:, hip] + after[:, ankle]) / 2.0
        assert (after[:, knee, 0] > middle[:, 0] - 0.02).all()


def test_feet_that_stand_well_are_left_where_they_are():
    joints, times, _ = walker()
    joints = with_legs(joints)
    found = foot_contacts(joints, times, up=UP, floor_m=0.0)
    assert np.abs(hold_standing_feet(joints, times, found, up=UP) - joints).max() < 0.01


def test_an_ankle_goes_no_farther_than_the_leg_is_long():
    joints, times, _ = walker(seconds=1.0)
    joints[:, [1, 2, 3]] = [[0.0, -0.1, 0.9], [0.0, -0.1, 0.5], [0.0, -0.1, 0.1]]
    found = foot_contacts(joints, times, up=UP, floor_m=-0.05)
    after = hold_standing_feet(joints, times, found, up=UP)
    np.testing.assert_allclose(after[:, 1:4], joints[:, 1:4], atol=1e-6)


def test_moves_are_those_of_the_whole_system_of_equations():
    joints, times, _ = walker(seconds=1.0)
    seen, _ = shaken(joints, seed=3)
    found = foot_contacts(seen, times, up=UP, floor_m=0.0)
    seen[:, [1, 4], 2] = 0.75  # Near enough for a leg of this length to reach anywhere.
    seen[:, [2, 5]] = (seen[:, [1, 4]] + seen[:, [3, 6]]) / 2.0 + [0.3, 0.0, 0.0]
    after = hold_standing_feet(seen, times, found, up=UP, spread_m=0.05, drift_m=0.1)
    standing = np.where(found.probability >= 0.5, found.probability, 0.0)
    for foot, ankle in enumerate(FEET):
        rows, values = [], []
        for frame in range(len(times)):
            one = np.eye(len(times))[frame]
            rows.append(one / 0.05)
            values.append(0.0)
            if frame == 0:
                continue
            change, step = one - np.eye(len(times))[frame - 1], times[frame] - times[frame - 1]
            rows.append(change / (0.1 * np.sqrt(step)))
            values.append(0.0)
            weight = np.sqrt(standing[frame, foot] * standing[frame - 1, foot]) / (0.05 * step)
            rows.append(change * weight)
            values.append(-weight * (seen[frame, ankle, 0] - seen[frame - 1, ankle, 0]))
        expected = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
        np.testing.assert_allclose((after - seen)[:, ankle, 0], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": np.zeros((4, 16, 3))}, r"shape \(4, 16, 3\)"),
        ({"timestamps": np.zeros(4)}, "each after the one before"),
        ({"timestamps": np.arange(5.0)}, r"shape \(5,\)"),
        ({"up": (0.0, 0.0, 0.0)}, "three numbers"),
        ({"up": (0.0, 1.0)}, "three numbers"),
    ],
)
def test_other_input_is_refused(changes, message):
    given = {"joints": np.zeros((4, 17, 3)), "timestamps": np.arange(4.0), "up": UP, **changes}
    with pytest.raises(UsageError, match=message):
        foot_contacts(**given)


def test_other_contacts_are_refused():
    joints, times, _ = walker(seconds=1.0)
    found = foot_contacts(joints, times, up=UP)
    with pytest.raises(UsageError, match="of 30 frames; expected 20"):
        hold_standing_feet(joints[:20], times[:20], found, up=UP)
    with pytest.raises(UsageError, match="more than 0"):
        hold_standing_feet(joints, times, found, up=UP, drift_m=0.0)


def test_a_foot_that_is_kept_in_place_does_not_move():
    joints, times, standing = walker()
    seen, _ = shaken(joints)
    found = foot_contacts(seen, times, up=UP).probability
    found[50] = np.nan
    velocity = np.gradient(seen, 1.0 / FPS, axis=0)
    unsure = np.broadcast_to(np.eye(3) * 0.5**2, (len(times), 17, 3, 3))
    held, after = standing_velocity(velocity, unsure, found)
    certain = found > 0.999
    assert certain.sum() > 50
    assert np.abs(held[:, FEET][certain]).max() < 0.01
    assert np.abs(after[:, FEET][certain] - np.eye(3) * 0.12**2).max() < 1e-3
    # A foot that may move is said to do so by that much.
    between = (found > 0.5) & (found < 0.9)
    assert (np.trace(after[:, FEET][between], axis1=1, axis2=2) > 3 * 0.12**2).all()
    true = np.gradient(joints, 1.0 / FPS, axis=0)[:, FEET]
    inner = standing & certain
    apart = [np.linalg.norm(one[:, FEET] - true, axis=-1)[inner].mean() for one in (velocity, held)]
    assert apart[1] < 0.2 * apart[0]
    for before, one in ((velocity, held), (unsure, after)):
        np.testing.assert_array_equal(np.delete(one, FEET, 1), np.delete(before, FEET, 1))
        np.testing.assert_array_equal(one[50], before[50])
        np.testing.assert_array_equal(one[:, FEET][found < 0.5], before[:, FEET][found < 0.5])
    millimeters = standing_velocity(velocity * 1e3, unsure * 1e6, found, 1e3)
    np.testing.assert_allclose(millimeters[0], held * 1e3)
    np.testing.assert_allclose(millimeters[1], after * 1e6, rtol=1e-9)

"""States of a live network: ages by the frames' own times, rows without gaps, caches in place."""

import numpy as np
import pytest

from hot_sdk.live.state import StepStates
from hot_sdk.step_graph import AGES, DELAYED_GUESS, DELAYED_TOKENS, KEYS, StepGraph
from hot_sdk.step_memory import EMPTY_AGE

FRAMES = 23


def graph(lookahead=0, recent=7, anchors=0, stride=1):
    return StepGraph(lookahead, recent, anchors, stride, layers=3, heads=2, width=8, guess=True)


def outputs_of(states, people, value):
    """Outputs of a run that say which frame of whom they are of."""
    shapes = states.graph.updates(17)
    return {name: np.full((people, *shape), value, np.float32) for name, shape in shapes.items()}


def fed_with(states, rows, times):
    """All that the network is fed with besides keypoints and conditions."""
    return {**states.feeds(rows, times), **states.caches.inputs(rows)}


@pytest.mark.parametrize("lookahead", [0, 1, 3, 5])
@pytest.mark.parametrize("memory", [(7, 0, 1), (4, 3, 4), (3, 2, 2)])
def test_every_age_is_that_of_the_frame_in_the_slot(lookahead, memory):
    """What the caches hold tells which frame each slot is of, so that its age is known."""
    states = StepStates(graph(lookahead, *memory), 17, 2)
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.06, FRAMES))
    ahead = np.array(states.graph.lookaheads)
    reach = np.cumsum(ahead) - ahead
    row = states.add()
    for step in range(FRAMES + lookahead):
        time = times[step] if step < FRAMES else np.nan
        fed = fed_with(states, slice(0, 1), np.array([time]))
        # The frame of layer 0 that was written there.
        written = [int(value) - 1 for value in fed[KEYS.format(0)][0, 0, 0]]
        for layer in range(3):
            asks = step - reach[layer] - ahead[layer]
            for slot, taken in enumerate([*written, step]):
                frame = taken - reach[layer]
                known = taken >= 0 and 0 <= frame < FRAMES and 0 <= asks < FRAMES
                expected = times[asks] - times[frame] if known else EMPTY_AGE
                assert fed[AGES][0, layer, slot] == pytest.approx(expected, abs=1e-6)
        for place, layer in enumerate(states.graph.delayed):
            earlier = max(step - ahead[layer] + 1, 0)
            assert (fed[DELAYED_TOKENS][0, place] == earlier).all()
        if lookahead:
            assert (fed[DELAYED_GUESS][0] == max(step - lookahead + 1, 0)).all()
        assert states.frame(row) == (step - lookahead if step >= lookahead else None)
        states.store(
            slice(0, 1), np.array([time]), outputs_of(states, 1, step + 1), np.array([True])
        )


def test_remembered_frames_are_those_of_the_memory():
    states = StepStates(graph(0, 4, 3, 4), 17, 1)
    states.add()
    remembered = states.graph.memory.remembered(FRAMES)
    for step in range(FRAMES):
        time = np.array([float(step)])
        fed = fed_with(states, slice(0, 1), time)
        ages = fed[AGES][0, 0]
        found = sorted(step - age for age in ages[ages < EMPTY_AGE])
        assert found == np.flatnonzero(remembered[step]).tolist()
        states.store(slice(0, 1), time, outputs_of(states, 1, step), np.array([True]))


def test_caches_are_fed_in_place_and_one_column_is_written():
    states = StepStates(graph(recent=5), 17, 4)
    for _ in range(4):
        states.add()
    rows = slice(1, 3)
    fed = fed_with(states, rows, np.zeros(2))
    again = fed_with(states, rows, np.zeros(2))
    for name in (KEYS.format(0), "values_2"):
        assert fed[name].flags.c_contiguous
        assert np.shares_memory(fed[name], again[name])
    states.store(rows, np.zeros(2), outputs_of(states, 2, 1.0), np.array([True, False]))
    everyone = fed_with(states, slice(0, 4), np.full(4, np.nan))
    changed = everyone[KEYS.format(1)] == 1.0
    assert changed[1, ..., 0].all()
    assert changed.sum() == changed[1, ..., 0].size


def test_the_last_fills_the_row_of_one_who_leaves():
    states = StepStates(graph(2), 17, 3)
    rows = [states.add() for _ in range(3)]
    assert rows == [0, 1, 2]
    for step in range(4):
        for row in rows:
            one, time = slice(row, row + 1), np.array([step + 10.0 * row])
            states.feeds(one, time)
            states.store(one, time, outputs_of(states, 1, 1 + row + 10 * step), np.array([True]))
    before = {
        name: array.copy()
        for name, array in fed_with(states, slice(2, 3), np.array([24.0])).items()
    }
    assert states.remove(0) == 2
    assert len(states) == 2
    after = fed_with(states, slice(0, 1), np.array([24.0]))
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(states.times(0, 3), [21.0, 22.0, 23.0])


def test_whoever_is_new_in_a_row_has_no_past():
    states = StepStates(graph(2), 17, 1)
    new = {name: array.copy() for name, array in _fed(states).items()}
    for step in range(9):
        time = np.array([float(step)])
        states.feeds(slice(0, 1), time)
        states.store(slice(0, 1), time, outputs_of(states, 1, 7.0), np.array([True]))
    states.remove(0)
    for name, array in _fed(states).items():
        np.testing.assert_array_equal(array, new[name])


def _fed(states):
    states.add()
    return fed_with(states, slice(0, 1), np.array([0.5]))


def test_rows_are_a_multiple_of_a_fixed_batch():
    states = StepStates(graph(), 17, 5, batch=4)
    for _ in range(8):
        states.add()
    with pytest.raises(IndexError, match="all 8 rows"):
        states.add()


def test_times_can_be_corrected():
    states = StepStates(graph(), 17, 1)
    states.add()
    for step in range(4):
        time = np.array([float(step)])
        states.feeds(slice(0, 1), time)
        states.store(slice(0, 1), time, outputs_of(states, 1, 0.0), np.array([True]))
    states.retime(0, np.array([1.5, 2.75]))
    np.testing.assert_array_equal(states.times(0, 9), [0.0, 1.0, 1.5, 2.75])
    ages = states.feeds(slice(0, 1), np.array([4.0]))[AGES][0, 0]
    np.testing.assert_array_equal(np.sort(ages[ages < EMPTY_AGE]), [0.0, 1.25, 2.5, 3.0, 4.0])


def test_a_person_takes_less_than_six_megabytes():
    """At the size of the starter, a memory of 63 frames and a lookahead of 5."""
    size = StepGraph(5, 63, 0, 1, layers=4, heads=4, width=96, guess=True)
    assert 3e6 < StepStates(size, 17, 2).bytes_per_person < 6e6

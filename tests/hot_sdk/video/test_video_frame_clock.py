"""Indices and times of decoded frames."""

import math

import pytest

from hot_sdk.video.reader import FrameClock


def placed(clock, times):
    return [clock.place(time) for time in times]


def test_lost_frames_do_not_shift_the_frames_after_them():
    clock = FrameClock(30.0)
    indices = [index for index, _ in placed(clock, [0.0, 1 / 30, 4 / 30, 5 / 30])]
    assert indices == [0, 1, 4, 5]
    assert clock.lost == 2


def test_times_rounded_to_milliseconds_are_still_regular():
    clock = FrameClock(30.0)
    times = [round(index / 30, 3) for index in range(300) if index not in (7, 8, 200)]
    assert [index for index, _ in placed(clock, times)] == [
        index for index in range(300) if index not in (7, 8, 200)
    ]
    assert clock.lost == 3


def test_in_a_variable_rate_a_long_step_is_no_loss():
    clock = FrameClock(30.0)
    times = [0.0, 0.02, 0.05, 0.15, 0.15 + 3 / 30]
    assert placed(clock, times) == list(enumerate(times))
    assert clock.lost == 0


@pytest.mark.parametrize("doubtful", [None, math.nan, -1.0, 0.1, 0.05])
def test_a_time_that_cannot_be_is_replaced_by_the_nominal_one(doubtful):
    clock = FrameClock(10.0)
    (first, second, third) = placed(clock, [0.0, 0.1, doubtful])
    assert (first, second) == ((0, 0.0), (1, 0.1))
    assert third == (2, pytest.approx(0.2))


def test_a_video_whose_container_states_no_times_is_evenly_spaced():
    assert placed(FrameClock(50.0), [0.0, 0.0, 0.0]) == [(0, 0.0), (1, 0.02), (2, 0.04)]


def test_what_the_decoder_failed_at_keeps_its_place():
    clock = FrameClock(10.0)
    assert clock.place(0.2, failures=2) == (2, 0.2)
    # Times decide where they are regular: one of these failures was no frame.
    assert clock.place(0.4, failures=2) == (4, 0.4)
    assert clock.place(None, failures=1) == (6, pytest.approx(0.6))
    assert clock.lost == 4
    # From here on the rate is variable, and only failures count.
    assert clock.place(0.75) == (7, 0.75)
    assert clock.place(1.75, failures=1) == (9, 1.75)
    assert clock.lost == 5
    assert FrameClock(10.0).place(None, failures=3) == (3, pytest.approx(0.3))


def test_with_neither_rate_nor_times_the_second_frame_has_no_place():
    clock = FrameClock(None)
    assert clock.place(0.0) == (0, 0.0)
    assert clock.place(0.0) is None


def test_without_a_nominal_rate_frames_are_counted():
    assert placed(FrameClock(None), [0.0, 0.5, 0.6]) == [(0, 0.0), (1, 0.5), (2, 0.6)]

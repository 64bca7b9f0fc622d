"""Indices and times of decoded frames."""

from fractions import Fraction

import pytest

from hot_sdk.video.files import Timeline


def placed(timeline, packets, frames):
    """Send packets to the decoder, of which it returns some frames, in order of presentation."""
    for pts in packets:
        timeline.expect(pts)
    return [timeline.place(pts) for pts in frames]


def timeline(fps=10.0, start=0):
    return Timeline(Fraction(1, 1000), start, fps)


def test_times_are_those_of_the_container_from_its_start():
    times = [7000, 7020, 7050, 7150, 7151]
    assert placed(timeline(start=7000), times, times) == [
        (0, 0.0),
        (1, 0.02),
        (2, 0.05),
        (3, 0.15),
        (4, 0.151),
    ]


def test_lost_frames_do_not_shift_the_frames_after_them():
    given = timeline()
    found = placed(given, [0, 200, 100, 350, 300, 400], [100, 200, 400])
    assert found == [(1, 0.1), (2, 0.2), (5, 0.4)]


def test_long_step_without_a_packet_is_not_a_loss():
    times = [0, 100, 5000, 5100]
    assert [index for index, _ in placed(timeline(), times, times)] == [0, 1, 2, 3]


@pytest.mark.parametrize("doubtful", [None, -100, 100, 50])
def test_time_that_is_missing_or_not_after_the_one_before_is_repaired(doubtful):
    given = timeline()
    found = [placed(given, [pts], [pts])[0] for pts in (0, 100, doubtful, 300)]
    assert found == [(0, 0.0), (1, 0.1), (2, pytest.approx(0.2)), (3, 0.3)]
    assert given.repaired == 1


def test_times_that_begin_again_go_on_at_the_nominal_rate():
    given = timeline()
    # Of files that were joined: the decoder returns a frame late, when the next packets are in.
    given.expect(900)
    given.expect(1000)
    assert given.place(900) == (0, 0.9)
    given.expect(0)
    assert given.place(1000) == (1, 1.0)
    given.expect(100)
    assert given.place(0) == (2, pytest.approx(1.1))
    assert given.place(100) == (3, pytest.approx(1.2))


def test_container_without_times_is_evenly_spaced():
    found = placed(timeline(50.0), [None] * 3, [None] * 3)
    assert found == [(0, 0.0), (1, pytest.approx(0.02)), (2, pytest.approx(0.04))]


def test_first_frames_without_time_and_rate():
    assert timeline(None).place(None) == (0, 0.0)
    given = timeline(None)
    assert placed(given, [0, 500, 600], [0, 500, 600]) == [(0, 0.0), (1, 0.5), (2, 0.6)]
    assert given.place(600) is None
    assert given.place(None) is None

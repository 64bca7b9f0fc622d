from itertools import count

import pytest

from hot_sdk._base import timing
from hot_sdk._base.timing import interleaved_medians, interleaved_times


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by what the timed functions add to it, in seconds."""
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    return clock


def taking(clock, name, calls, seconds):
    """A function that takes the next of some times at each call."""
    times = iter(seconds)

    def run():
        calls.append(name)
        clock[0] += next(times)

    return run


def test_each_timed_call_follows_an_untimed_one(clock):
    calls = []
    one = taking(clock, "one", calls, [9.0, 0.001, 9.0, 0.003])
    other = taking(clock, "other", calls, [9.0, 0.5, 9.0, 0.25])
    times = interleaved_times([one, other], 2)
    assert calls == ["one", "one", "other", "other"] * 2
    assert times == [pytest.approx([1.0, 3.0]), pytest.approx([500.0, 250.0])]


def test_medians_are_those_of_the_timed_calls(clock):
    run = taking(clock, "run", [], [9.0, 0.001, 9.0, 0.002, 9.0, 0.007])
    assert interleaved_medians([run], 3) == [pytest.approx(2.0)]


@pytest.mark.parametrize(
    ("least", "limit_s", "rounds"),
    [(None, 3.0, 5), (1, 3.0, 2), (4, 3.0, 4), (1, None, 5), (0, 0.0, 0)],
)
def test_limit_ends_the_rounds(clock, least, limit_s, rounds):
    run = taking(clock, "run", [], (1.0 for _ in count()))
    (times,) = interleaved_times([run], 5, least=least, limit_s=limit_s)
    assert len(times) == rounds


def test_nothing_to_time_gives_nothing():
    assert interleaved_times([], 3) == []

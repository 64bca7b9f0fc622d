import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot_sdk.streams.observations import ObservationBuffer


def filled(capacity, count):
    buffer = ObservationBuffer(capacity)
    for number in range(count):
        buffer.append(
            float(number),
            100.0 + number,
            np.full((17, 2), number, np.float32),
            np.full(17, number % 2, np.float32),
        )
    return buffer


@given(capacity=st.integers(1, 12), count=st.integers(1, 40), most=st.integers(1, 15))
def test_newest_are_in_order(capacity, count, most):
    seen = filled(capacity, count).newest(most, since=-1.0)
    kept = min(count, capacity, most)
    expected = np.arange(count - kept, count)
    np.testing.assert_array_equal(seen.times, expected)
    np.testing.assert_array_equal(seen.arrivals, expected + 100)
    np.testing.assert_array_equal(seen.points[:, 16, 1], expected)
    np.testing.assert_array_equal(seen.scores[:, 3], expected % 2)


def test_older_ones_are_left_out_but_never_all():
    buffer = filled(8, 20)
    assert buffer.newest(8, since=17.0).times.tolist() == [17.0, 18.0, 19.0]
    assert buffer.newest(8, since=99.0).times.tolist() == [19.0]


def test_returned_arrays_are_not_overwritten():
    buffer = filled(4, 4)
    seen = buffer.newest(4, since=-1.0)
    for number in range(4):
        buffer.append(50.0 + number, 0.0, np.zeros((17, 2), np.float32), None)
    assert seen.times.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert (buffer.newest(1, since=-1.0).scores == 1.0).all()


@pytest.mark.parametrize("pushes", [20_000])
def test_memory_is_flat(pushes):
    buffer = filled(243, 300)
    points, scores = np.zeros((17, 2), np.float32), np.ones(17, np.float32)
    tracemalloc.start()
    for number in range(pushes):
        buffer.append(300.0 + number, 0.0, points, scores)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 2_000

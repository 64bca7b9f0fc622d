"""Which frames count, against the published code's own way of counting."""

import numpy as np
import pytest

from hot_sdk import windows
from hot_sdk.benchmarks.evaluation.protocols import PROTOCOLS, protocol
from hot_sdk.errors import UsageError

SIZES = [(frames, length) for length in (1, 4, 27) for frames in (1, 3, 4, 5, 26, 27, 28, 54, 83)]


@pytest.mark.parametrize(("frames", "length"), SIZES)
def test_hot_counts_as_its_generator_does(frames, length):
    """Bounds of HoT's chunks, and what np.pad's 'edge' puts beyond the clip's ends."""
    chunks = int(np.ceil((frames - length) / length + 1))
    offset = ((chunks - 1) * length + length - frames) // 2
    expected = []
    for bound in np.arange(chunks) * length - offset:
        low, high = max(bound, 0), min(bound + length, frames)
        inside = np.arange(low, high)
        expected.append(np.pad(inside, (low - bound, bound + length - high), "edge"))
    (piece,) = protocol("hot").pieces(frames, length)
    np.testing.assert_array_equal(piece, np.concatenate(expected))


@pytest.mark.parametrize(("frames", "length"), SIZES)
def test_mixste_counts_whole_windows_and_the_last_ends_with_the_clip(frames, length):
    count = -(-frames // length)
    padded = np.pad(np.arange(frames), (0, max(length - frames, 0)), "edge")
    expected = [padded[n * length : (n + 1) * length] for n in range(count - 1)]
    expected.append(padded[-length:])
    found = np.concatenate(protocol("mixste").pieces(frames, length))
    np.testing.assert_array_equal(found, np.concatenate(expected))


@pytest.mark.parametrize(("frames", "length"), SIZES)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_frame_counts_and_windows_add_nothing(name, frames, length):
    counted = protocol(name)
    pieces = counted.pieces(frames, length)
    assert set(np.concatenate(pieces).tolist()) == set(range(frames))
    if counted.windows is None:
        np.testing.assert_array_equal(np.concatenate(pieces), np.arange(frames))
        return
    for piece in pieces:
        plan = windows.plan(len(piece), length, counted.windows)
        starts = [window.start for window in plan.windows]
        assert starts == list(range(0, len(piece), length))
        assert all(window.length == length for window in plan.windows)


def test_unknown_protocol_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'mixste'"):
        protocol("mixte")

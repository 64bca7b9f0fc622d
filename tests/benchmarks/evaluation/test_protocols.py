"""Which frames count, against the published code's own way of counting."""

import numpy as np
import pytest

from hot_sdk import windows
from hot_sdk.benchmarks.evaluation.protocols import PROTOCOLS, protocol
from hot_sdk.errors import UsageError

SIZES = [(frames, length) for length in (1, 4, 27) for frames in (1, 3, 4, 5, 26, 27, 28, 54, 83)]


def pieces(name, frames, length, valid=None):
    valid = np.ones(frames, dtype=bool) if valid is None else valid
    return protocol(name).pieces(frames, length, valid)


def counted(name, frames, length, valid=None):
    """The frames that count, in order."""
    found = [piece.counted_frames for piece in pieces(name, frames, length, valid)]
    return np.concatenate([np.zeros(0, dtype=int), *found])


def test_hot_counts_as_its_generator_does():
    """Bounds of HoT's chunks, and what np.pad's 'edge' puts beyond the clip's ends."""
    for frames, length in SIZES:
        chunks = int(np.ceil((frames - length) / length + 1))
        offset = ((chunks - 1) * length + length - frames) // 2
        expected = []
        for bound in np.arange(chunks) * length - offset:
            low, high = max(bound, 0), min(bound + length, frames)
            inside = np.arange(low, high)
            expected.append(np.pad(inside, (low - bound, bound + length - high), "edge"))
        (piece,) = pieces("hot", frames, length)
        np.testing.assert_array_equal(piece.frames, np.concatenate(expected))


def test_mixste_counts_whole_windows_and_the_last_ends_with_the_clip():
    for frames, length in SIZES:
        count = -(-frames // length)
        padded = np.pad(np.arange(frames), (0, max(length - frames, 0)), "edge")
        expected = [padded[n * length : (n + 1) * length] for n in range(count - 1)]
        expected.append(padded[-length:])
        np.testing.assert_array_equal(counted("mixste", frames, length), np.concatenate(expected))


def split_clips(sources, length):
    """Windows of MotionBERT's reader over the frames of all clips, without its random choices.

    Short clips are resampled as ``resample(..., randomness=False)`` of the same code does, and the
    last clip of the file, which it drops if it is short, is here never the last.
    """
    found, start = [], 0
    for end in range(1, len(sources) + 1):
        if end - start == length:
            found.append(np.arange(start, end))
            start = end
        if end == len(sources) or sources[end] == sources[end - 1]:
            continue
        clip = sources.index(sources[end - 1])
        if not any(clip <= window[0] < end for window in found):
            found.append(start + np.linspace(0, end - start, length, endpoint=False, dtype=int))
        start = end
    return found


def test_motionbert_counts_as_its_reader_does():
    """Every clip's windows in one pass over all, and sums by frame, of which the last one stays."""
    for length in (1, 4, 27):
        sizes = [frames for frames, other in SIZES if other == length]
        sources = [f"clip {size}" for size in sizes for _ in range(size)] + ["end"] * length
        starts = np.cumsum([0, *sizes])
        for size, start in zip(sizes, starts, strict=False):
            windows_ = [w - start for w in split_clips(sources, length) if 0 <= w[0] - start < size]
            found = pieces("motionbert", size, length)
            np.testing.assert_array_equal(
                np.concatenate([piece.frames for piece in found]), np.concatenate(windows_)
            )
            # ``sum[frames] += error`` adds once for each frame, the error of its last position.
            position = np.full(size, -1)
            position[np.concatenate(windows_)] = np.arange(sum(map(len, windows_)))
            (piece,) = found
            kept = np.arange(len(piece.frames)) if piece.counted is None else piece.counted
            np.testing.assert_array_equal(kept, position[position >= 0])


def test_center_sees_every_valid_frame_in_the_middle_of_its_window():
    """Windows of P-STMO's generator: one chunk for each frame, padded by half a window."""
    for frames, length in SIZES:
        if length % 2 == 0:
            continue
        valid = np.arange(frames) % 3 != 1
        pad = (length - 1) // 2
        padded = np.pad(np.arange(frames), pad, "edge")
        expected = [padded[frame : frame + length] for frame in np.flatnonzero(valid)]
        found = pieces("center", frames, length, valid)
        np.testing.assert_array_equal([piece.frames for piece in found], expected)
        np.testing.assert_array_equal(
            counted("center", frames, length, valid), np.flatnonzero(valid)
        )
    assert pieces("center", 5, 3, np.zeros(5, dtype=bool)) == []


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_frame_counts_and_windows_add_nothing(name):
    one = protocol(name)
    for frames, length in SIZES:
        seen = set(counted(name, frames, length).tolist())
        whole = name != "motionbert" or frames <= length
        assert seen == set(range(frames if whole else frames // length * length))
        if one.windows is None:
            np.testing.assert_array_equal(counted(name, frames, length), np.arange(frames))
            continue
        for piece in pieces(name, frames, length):
            plan = windows.plan(len(piece.frames), length, one.windows)
            starts = [window.start for window in plan.windows]
            assert starts == list(range(0, len(piece.frames), length))
            assert all(window.length == length for window in plan.windows)


def test_unknown_protocol_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'mixste'"):
        protocol("mixte")

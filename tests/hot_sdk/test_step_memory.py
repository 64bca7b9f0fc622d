"""What a live network's memory holds, found by filling its slots."""

import pytest

from hot_sdk.step_memory import StepMemory

LONGEST = 24


def frames_left(memory, clip, empty):
    """Count the slots that hold a frame of a clip after steps without any."""
    held = {}
    for step in range(clip + empty):
        held[memory.slot(step)] = step < clip
    return sum(held.values())


@pytest.mark.parametrize(
    "memory",
    [
        StepMemory(1),
        StepMemory(5),
        StepMemory(1, 1, 2),
        StepMemory(5, 1, 2),
        StepMemory(5, 3, 4),
        StepMemory(3, 2, 2),
        StepMemory(2, 4, 3),
        StepMemory(12, 2, 5),
    ],
)
def test_how_long_a_memory_outlasts_a_clip(memory):
    assert memory.outlasts(0)
    for ahead in range(1, LONGEST):
        # The last of the steps finds what those before it left.
        left = [frames_left(memory, clip, ahead - 1) for clip in range(1, 2 * LONGEST)]
        assert memory.outlasts(ahead) == (min(left) > 0), ahead

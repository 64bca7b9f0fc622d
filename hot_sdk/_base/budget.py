"""The budget of an untrusted input: how many bytes, values and seconds reading it may take.

A small file can stand for any amount of memory or time: zeros are compressed a thousandfold, and a
header may claim any shape. Every reader of the SDK checks its input against one budget before it
allocates anything.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

from hot_sdk.errors import UsageError

VARIABLE = "HOT_SDK_INPUT_BUDGET"
"""The environment variable that holds the factor by which the budget is multiplied."""

_SMALLEST_FACTOR, _LARGEST_FACTOR = 0.001, 1000.0


@dataclass(frozen=True)
class Budget:
    """Limits of one input. The defaults keep the process below 1 GB.

    Attributes:
        file_bytes: Bytes of a keypoint file, or of all files of a folder.
        unpacked_bytes: Bytes to which a compressed archive may unpack.
        parsed_bytes: Memory that parsed text may take, as estimated from the text.
        record_bytes: Bytes of a record or a description, such as those of hot-benchmark.
        values: Numbers in one array.
        steps: Steps of a pickle.
        directory_bytes: Bytes of an archive's table of contents.
        depth: How deep JSON may be nested; the factor does not change it.
        seconds: Time of the processor for reading.
        unpacked_share: How many times its own size the content of a checkpoint may take.
    """

    file_bytes: int = 512 << 20
    unpacked_bytes: int = 256 << 20
    parsed_bytes: int = 640 << 20
    record_bytes: int = 16 << 20
    values: int = 36_000_000
    steps: int = 1 << 20
    directory_bytes: int = 4 << 20
    depth: int = 100
    seconds: float = 60.0
    unpacked_share: float = 1.5

    def times(self, factor: float) -> Budget:
        """Return the budget with every limit but the depth and the share multiplied."""
        return Budget(
            file_bytes=int(self.file_bytes * factor),
            unpacked_bytes=int(self.unpacked_bytes * factor),
            parsed_bytes=int(self.parsed_bytes * factor),
            record_bytes=int(self.record_bytes * factor),
            values=int(self.values * factor),
            steps=int(self.steps * factor),
            directory_bytes=int(self.directory_bytes * factor),
            depth=self.depth,
            seconds=self.seconds * factor,
            unpacked_share=self.unpacked_share,
        )


class OverBudgetError(ValueError):
    """An input would become more than the budget allows."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; if you trust its origin, {VARIABLE}=4 allows four times this")


class Clock:
    """Measures the time that the reading of one input takes in this thread.

    Of the processor, so that a busy machine refuses no file that an idle one reads.
    """

    def __init__(self, budget: Budget) -> None:
        self._seconds = budget.seconds
        self._end = time.thread_time() + budget.seconds

    def check(self) -> None:
        """Raise if the time is up.

        Raises:
            OverBudgetError: Reading took longer than the budget allows.
        """
        if time.thread_time() > self._end:
            raise OverBudgetError(f"reading it takes longer than {self._seconds:g} s")


def input_budget() -> Budget:
    """Return the budget: the default one times the factor in the environment.

    Raises:
        UsageError: The variable is no number from 0.001 to 1000.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return Budget()
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not _SMALLEST_FACTOR <= factor <= _LARGEST_FACTOR:
        raise UsageError(
            f"The environment variable {VARIABLE} is {text[:40]!a}.",
            hint=f"Set it to {_SMALLEST_FACTOR:g} to {_LARGEST_FACTOR:g}, or unset it.",
        )
    return Budget().times(factor)


def require(amount: float, limit: float, what: str) -> None:
    """Raise if an input is over the budget.

    Args:
        amount: What it has, or would become.
        limit: The limit, an attribute of a ``Budget``.
        what: What is counted, such as ``bytes once it is unpacked``.

    Raises:
        OverBudgetError: The amount is over the limit.
    """
    if amount > limit:
        raise OverBudgetError(f"it has {amount:.0f} {what}, over the limit of {limit:.0f}")

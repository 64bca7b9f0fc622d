"""Keep what a live network remembers of several people, as arrays that it is fed with.

A network's caches are most of what it is fed: megabytes a person. They stay with the engine, with a
row for each person, and what a run returned of the newest frame is written into one slot. The rest
is written to the same arrays for each run of the same people, so that an engine can be handed all
of it once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.caches import CacheMaker, Caches, HostCaches, PreparedRun
from hot_sdk.engines.session import Arrays
from hot_sdk.step_graph import (
    AGES,
    DELAYED_GUESS,
    DELAYED_TOKENS,
    NEW_GUESS,
    NEW_TOKENS,
    StepGraph,
)
from hot_sdk.step_memory import EMPTY_AGE

_KEPT_RUNS = 4
"""Runs of different people are kept for so many times as many rows as there are."""

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass
class StepRun:
    """A run of some people, which may be repeated.

    Attributes:
        fed: What the network is fed with besides caches, keypoints and conditions; the same arrays
            each time. Whoever prepares the run adds the latter two.
        run: Runs the network on ``fed`` and the caches; None until it was prepared.
    """

    fed: Arrays
    run: PreparedRun | None = None


class StepStates:
    """The states of people, one in each row from 0 on without a gap.

    A person's frames are numbered in the order in which the network takes them. The layers that
    follow one that looks ahead work on earlier frames than the newest, so that the ages in a slot
    differ from layer to layer. At the end of a clip, steps without a frame bring the last poses.

    Args:
        graph: What the network remembers.
        joints: Joints of a frame.
        people: Most people.
        batch: The file's fixed batch, of which the rows are a multiple; None if it is open.
        make_caches: Makes the caches; None keeps them in the host's memory.
        dtype: Of what the host keeps.

    Attributes:
        graph: What the network remembers.
        capacity: Number of rows.
        caches: Keys and values.
    """

    def __init__(
        self,
        graph: StepGraph,
        joints: int,
        people: int,
        *,
        batch: int | None = None,
        make_caches: CacheMaker | None = None,
        dtype: type[np.floating[Any]] = np.float32,
    ) -> None:
        self.graph, self._dtype = graph, dtype
        self._memory, self._delayed = graph.memory, graph.delayed
        self._ahead = np.array(graph.lookaheads)
        self._reach = np.concatenate([[0], np.cumsum(self._ahead)[:-1]])
        self._delaying = np.array(self._delayed, dtype=np.int64)
        self._order_delayed = np.arange(len(self._delayed))
        multiple = batch or 1
        self.capacity = capacity = -(-people // multiple) * multiple
        self._order = np.arange(capacity)
        shapes = graph.states(joints)
        slots = self._memory.slots
        specs = graph.caches(joints)
        self.caches: Caches = (
            HostCaches(specs, capacity, dtype=dtype)
            if make_caches is None
            else make_caches(specs, capacity, batch)
        )
        longest = max(int(self._ahead.max()), 1)
        tokens = shapes.get(DELAYED_TOKENS, (0, joints, graph.width))
        self._tokens = np.zeros((capacity, longest, *tokens), dtype=dtype)
        waiting = graph.lookahead if DELAYED_GUESS in shapes else 0
        self._guesses = np.zeros((capacity, waiting, joints, 3), dtype=dtype)
        # Which frame each slot holds, and when the frames were that any slot may hold.
        self._held = np.full((capacity, slots), -1)
        # From so many frames on, all slots hold one.
        self._filled = 2 * graph.recent + (graph.anchors + 1) * graph.stride
        self._times = np.zeros((capacity, self._filled + graph.lookahead + 2))
        # Without a lookahead, all layers have the same ages: from these places among the times.
        self._places = np.zeros((capacity, slots), dtype=np.int64)
        self._runs: dict[tuple[int, int], StepRun] = {}
        self._steps = np.zeros(capacity, dtype=np.int64)
        self._ends = np.zeros(capacity, dtype=np.int64)
        self._touched = 0
        self._people = 0

    def __len__(self) -> int:
        """Return the number of people."""
        return self._people

    @property
    def bytes_per_person(self) -> int:
        """Bytes of a person's row in all arrays."""
        arrays = sum(array.nbytes for array in self._arrays())
        return (self.caches.nbytes + arrays) // self.capacity

    def add(self) -> int:
        """Give a row to a person without a past, and return it.

        Raises:
            IndexError: All rows are taken.
        """
        if self._people == self.capacity:
            raise IndexError(f"all {self.capacity} rows are taken")
        row, self._people = self._people, self._people + 1
        self.restart(row)
        self._touched = max(self._touched, self._people)
        return row

    def restart(self, row: int) -> None:
        """Forget the past of a person."""
        if row < self._touched:
            self.caches.clear(row)
            for array in (self._tokens, self._guesses):
                array[row] = 0.0
        self._held[row] = -1
        self._steps[row] = self._ends[row] = 0

    def remove(self, row: int) -> int:
        """Forget a person; the one in the last row moves to this row.

        Returns:
            The row that the one who moved was in.
        """
        last = self._people = self._people - 1
        if row != last:
            self.caches.move(last, row)
            for array in self._arrays():
                array[row] = array[last]
        return last

    def frame(self, row: int) -> int | None:
        """Return the number of the frame whose pose the next step brings; None for no frame.

        It must not be asked between ``feeds`` and ``store``.
        """
        number = int(self._steps[row]) - self.graph.lookahead
        return number if number >= 0 else None

    def steps(self, row: int) -> int:
        """Return the number of steps that a person has taken."""
        return int(self._steps[row])

    def times(self, row: int, frames: int) -> Doubles:
        """Return when the newest frames of a person were, at most ``frames``, oldest first."""
        end = int(self._ends[row])
        numbers = np.arange(max(end - min(frames, self._times.shape[1]), 0), end)
        newest: Doubles = self._times[row, numbers % self._times.shape[1]]
        return newest

    def retime(self, row: int, times: Doubles) -> None:
        """Correct when the newest frames of a person were, oldest first."""
        end = int(self._ends[row])
        self._times[row, np.arange(end - len(times), end) % self._times.shape[1]] = times

    def of(self, rows: slice) -> StepRun:
        """Return the run of some people, from a row to before another."""
        bounds = rows.start, rows.stop
        found = self._runs.get(bounds)
        if found is None:
            rows_kept = sum(end - start for start, end in self._runs)
            while self._runs and rows_kept + rows.stop - rows.start > _KEPT_RUNS * self.capacity:
                start, end = next(iter(self._runs))
                del self._runs[start, end]
                rows_kept -= end - start
            found = self._runs[bounds] = StepRun(self._new_feeds(rows))
        return found

    def feeds(self, rows: slice, times: Doubles) -> Arrays:
        """Return what the network is fed with besides caches, keypoints and conditions.

        It is overwritten by the next call.

        Args:
            rows: The people, from a row to before another.
            times: (people,), when the newest frame was, seconds; NaN for a step without a frame.
        """
        fed = self.of(rows).fed
        ages, steps, ring = fed[AGES], self._steps[rows].tolist(), self._times.shape[1]
        ends = self._ends[rows].tolist()
        for place, time in enumerate(times.tolist()):
            row, step = rows.start + place, steps[place]
            taken = math.isfinite(time)
            if taken:
                self._times[row, step % ring] = time
            if taken and not self._delayed and ends[place] == step:
                seconds = self._times[row]
                ages[place, :, :-1] = time - seconds[self._places[row]]
                ages[place, :, -1] = 0.0
                if step < self._filled:
                    ages[place, :, :-1][:, self._held[row] < 0] = EMPTY_AGE
            else:
                ages[place] = self._ages(row, step, ends[place] + taken)
        if self._delayed:
            own, ahead = self._order[: len(steps), None], self._ahead[self._delaying]
            places = (self._steps[rows, None] - ahead) % self._tokens.shape[1]
            fed[DELAYED_TOKENS][...] = self._tokens[rows][own, places, self._order_delayed]
        if waiting := self._guesses.shape[1]:
            places = self._steps[rows] % waiting
            fed[DELAYED_GUESS][...] = self._guesses[rows][self._order[: len(steps)], places]
        return fed

    def store(
        self,
        rows: slice,
        times: Doubles,
        outputs: Mapping[str, NDArray[Any]],
        stepped: Mask,
        run: PreparedRun | None = None,
    ) -> None:
        """Keep what a run returned of the newest frames.

        Args:
            rows: As they were fed.
            times: As they were fed.
            outputs: What the network returned.
            stepped: (people,), False for those whose step does not count.
            run: The run that returned them, if it was prepared.

        Raises:
            EngineError: The engine failed.
        """
        known = np.isfinite(times).tolist()
        for place, steps in enumerate(stepped.tolist()):
            if not steps:
                continue
            row = rows.start + place
            step = int(self._steps[row])
            slot = self._memory.slot(step)
            if run is None:
                self.caches.write(row, slot, outputs, place)
            else:
                run.keep(place, slot)
            self._held[row, slot] = step
            self._places[row, slot] = step % self._times.shape[1]
            if self._delayed:
                self._tokens[row, step % self._tokens.shape[1]] = outputs[NEW_TOKENS][place]
            if waiting := self._guesses.shape[1]:
                self._guesses[row, step % waiting] = outputs[NEW_GUESS][place]
            self._steps[row] = step + 1
            self._ends[row] += known[place]

    def _ages(self, row: int, step: int, end: int) -> Doubles:
        """Return a person's ages (layers, slots + 1), if so many frames exist."""
        held = np.append(self._held[row], step)
        keys = held - self._reach[:, None]
        asking = step - self._reach - self._ahead
        known = (held >= 0) & (keys >= 0) & (keys < end)
        known &= ((asking >= 0) & (asking < end))[:, None]
        seconds, ring = self._times[row], self._times.shape[1]
        ages: Doubles = seconds[asking % ring][:, None] - seconds[keys % ring]
        ages[~known] = EMPTY_AGE
        return ages

    def _new_feeds(self, rows: slice) -> Arrays:
        """Return the arrays of a run."""
        graph, people = self.graph, rows.stop - rows.start
        fed = {AGES: np.zeros((people, graph.layers, self._memory.slots + 1), self._dtype)}
        if self._delayed:
            shape = people, len(self._delayed), *self._tokens.shape[3:]
            fed[DELAYED_TOKENS] = np.zeros(shape, self._dtype)
        if self._guesses.shape[1]:
            fed[DELAYED_GUESS] = np.zeros((people, *self._guesses.shape[2:]), self._dtype)
        return fed

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        """Return everything but the caches, a row for each person."""
        frames = self._held, self._places, self._times
        return (self._tokens, self._guesses, *frames, self._steps, self._ends)


class MirroredStates(StepStates):
    """The states of people, and those of their mirror images in the same rows.

    Args:
        graph: What the network remembers.
        joints: Joints of a frame.
        people: Most people.
        batch: The file's fixed batch; None if it is open.
        make_caches: Makes the caches; None keeps them in the host's memory.

    Attributes:
        mirror: The states of the mirror images.
    """

    def __init__(
        self,
        graph: StepGraph,
        joints: int,
        people: int,
        *,
        batch: int | None = None,
        make_caches: CacheMaker | None = None,
    ) -> None:
        super().__init__(graph, joints, people, batch=batch, make_caches=make_caches)
        self.mirror = StepStates(graph, joints, people, batch=batch, make_caches=make_caches)

    @property
    def bytes_per_person(self) -> int:
        """Bytes of a person's row in all arrays, those of the mirror image included."""
        return super().bytes_per_person + self.mirror.bytes_per_person

    def add(self) -> int:
        """Give a row to a person without a past, and return it."""
        self.mirror.add()
        return super().add()

    def restart(self, row: int) -> None:
        """Forget the past of a person."""
        self.mirror.restart(row)
        super().restart(row)

    def remove(self, row: int) -> int:
        """Forget a person; the one in the last row moves to this row.

        Returns:
            The row that the one who moved was in.
        """
        self.mirror.remove(row)
        return super().remove(row)

    def retime(self, row: int, times: Doubles) -> None:
        """Correct when the newest frames of a person were, oldest first."""
        self.mirror.retime(row, times)
        super().retime(row, times)

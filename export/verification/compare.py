"""Compare the poses of an exported file with those of the PyTorch model, and name differences.

There are two stages, since one frame chosen differently moves poses far more than rounding does.
With the same frames (and the same neighbors, if a network chooses some) coordinates must agree
closely; end to end, each choosing for itself, the frames must be shared and the joints be near,
unless rounding alone decides which frames are kept; see :mod:`hot_sdk.export.verification.ties`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hot_sdk.engines import Session
from hot_sdk.errors import VerificationError
from hot_sdk.export.graph.wrapper import lift_arrays, output_names
from hot_sdk.export.models import ModelSpec
from hot_sdk.export.steps import Count, uncounted
from hot_sdk.export.verification.clips import Window, stacked
from hot_sdk.export.verification.neighbors import neighbors_forced
from hot_sdk.export.verification.step_runs import in_pytorch, lift_by_steps
from hot_sdk.export.verification.ties import find_ties
from hot_sdk.manifest import POSES, SPREAD, TOKEN_INDEX

SAME_FRAMES = "with the same frames"
END_TO_END = "end to end"


@dataclass(frozen=True)
class Tolerances:
    """What counts as the same poses.

    Attributes:
        max_difference: Limit of a coordinate's difference with the same frames, in the model's
            unit. Rounding alone causes about 3e-6 for poses of size 1.
        spread_difference: The same of a coordinate's spread.
        mean_joint_error: Limit of the mean distance of a window's joints end to end, in the model's
            unit. One frame of 81 chosen differently causes about 3e-4.
        frames_shared: Smallest share of a window's kept frames that both choose.
    """

    max_difference: float = 1e-4
    mean_joint_error: float = 1e-3
    frames_shared: float = 0.95
    spread_difference: float = 1e-4


FP32 = Tolerances()


@dataclass(frozen=True)
class Check:
    """One statistic of one window against its limit.

    Attributes:
        stage: ``with the same frames`` or ``end to end``.
        statistic: What was compared.
        window: Name of the window.
        value: Value of the statistic.
        limit: The limit, inclusive.
        at_most: Whether the limit is an upper one.
        where: Frame and joint of the largest difference.
        aside: What else a reader of a failure has to know.
    """

    stage: str
    statistic: str
    window: str
    value: float
    limit: float
    at_most: bool = True
    where: str = ""
    aside: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value is within its limit; NaN never is."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        relation = "above" if self.at_most else "below"
        where = f", at {self.where}" if self.where else ""
        return (
            f"{self.stage}: {self.statistic} of window '{self.window}' is {self.value:.3g}, "
            f"{relation} {self.limit:.3g}{where}{f' ({self.aside})' if self.aside else ''}"
        )


@dataclass(frozen=True)
class WindowResult:
    """How far apart two poses of one window are.

    Attributes:
        window: Its name.
        max_difference: Largest difference of a coordinate, with the same frames.
        where: Frame and joint of that difference.
        mean_joint_error: Mean distance of a joint, end to end.
        max_joint_error: Largest such distance.
        worst_joint: Frame and joint of that distance.
        frames_shared: Share of the kept frames that both chose; None if none are pruned.
        own_frames_shared: Share that PyTorch in float32 and PyTorch in float64 both chose; None
            unless frames or joints differ by more than their limits.
        tied: The frames that differ are equally good up to rounding, and PyTorch's own differ about
            as much, which is no fault: only the poses with the same frames count.
        root_share: Mean distance of the root from 0, as a share of that of the other joints from
            it: near 0 if the network was trained relative to the root, or the graph subtracts it.
        size: The latter distance, in the output's unit.
        spread_difference: Largest difference of a coordinate's spread, with the same frames; None
            if the network does not predict it.
        largest_spread: Largest spread of a coordinate in PyTorch, with the same frames; None as
            above.
    """

    window: str
    max_difference: float
    where: str
    mean_joint_error: float
    max_joint_error: float
    worst_joint: str
    frames_shared: float | None
    root_share: float = 0.0
    size: float = 0.0
    own_frames_shared: float | None = None
    tied: bool = False
    spread_difference: float | None = None
    largest_spread: float | None = None

    def checks(self, tolerances: Tolerances) -> list[Check]:
        """Return its statistics against their limits."""
        checks = [
            Check(
                SAME_FRAMES,
                "largest coordinate difference",
                self.window,
                self.max_difference,
                tolerances.max_difference,
                where=self.where,
            )
        ]
        if self.spread_difference is not None:
            limit = tolerances.spread_difference
            difference = self.spread_difference
            checks.append(
                Check(
                    SAME_FRAMES, "largest difference of the spread", self.window, difference, limit
                )
            )
        if self.tied:
            return checks
        checks.append(
            Check(
                END_TO_END,
                "mean joint error",
                self.window,
                self.mean_joint_error,
                tolerances.mean_joint_error,
                where=self.worst_joint,
            )
        )
        if self.frames_shared is not None:
            shared, limit, own = self.frames_shared, tolerances.frames_shared, ""
            if self.own_frames_shared is not None:
                own = f"PyTorch's own float32 and float64 share {self.own_frames_shared:.3g}"
            checks.append(
                Check(END_TO_END, "frames shared", self.window, shared, limit, False, aside=own)
            )
        return checks


def compare(
    reference: nn.Module,
    session: Session,
    spec: ModelSpec,
    windows: list[Window],
    *,
    count: Count = uncounted,
    excuse_ties: bool = False,
) -> list[WindowResult]:
    """Run windows through PyTorch and through an engine; a live network frame by frame in both.

    Args:
        reference: The function of :mod:`hot_sdk.export.graph.wrapper`, constants not folded.
        session: The exported file. Its outputs include ``token_index`` if frames are pruned, and
            the neighbors if it chooses some; see :mod:`hot_sdk.export.verification.neighbors`.
        spec: The architecture of both.
        windows: What to run.
        count: Called with the windows compared and their total.
        excuse_ties: If frames or joints differ by more than in float32, find out if rounding alone
            made it so; for files in float32.
    """
    results: list[WindowResult] = []
    # Frame by frame, PyTorch takes as long for one person as for all.
    steps = {} if spec.live is None else lift_by_steps(in_pytorch(reference, spec), spec, windows)
    places = {window.name: place for place, window in enumerate(windows)}
    for group in _batches(windows, session):
        if spec.live is not None:
            outputs = lift_by_steps(session.run, spec, group)
            of_group = [places[window.name] for window in group]
            own = forced = {name: values[of_group] for name, values in steps.items()}
        else:
            arrays = stacked(group, spec.size.conditions)
            outputs = session.run(arrays)
            own, forced = _reference(reference, spec, arrays, outputs)
        for item, window in enumerate(group):
            shared = None
            if TOKEN_INDEX in own and TOKEN_INDEX in outputs:
                shared = _shared(outputs[TOKEN_INDEX][item], own[TOKEN_INDEX][item], spec)
            exported = outputs[POSES][item].astype(np.float64)
            difference = np.abs(exported - forced[POSES][item])
            distance = np.linalg.norm(exported - own[POSES][item], axis=-1)
            spread = largest_spread = None
            if SPREAD in forced:
                largest_spread = float(forced[SPREAD][item].max())
                spread = float(np.abs(outputs[SPREAD][item] - forced[SPREAD][item]).max())
            root, size = _root_and_size(exported, spec)
            result = WindowResult(
                window=window.name,
                max_difference=float(difference.max()),
                where=_place(spec, difference.max(axis=-1)),
                mean_joint_error=float(distance.mean()),
                max_joint_error=float(distance.max()),
                worst_joint=_place(spec, distance),
                frames_shared=shared,
                root_share=root / max(size, 1e-12),
                size=size,
                spread_difference=spread,
                largest_spread=largest_spread,
            )
            if excuse_ties and shared is not None and not _passed(result):
                of_window = {name: _part(value, item, group) for name, value in outputs.items()}
                given = {name: value[item : item + 1] for name, value in arrays.items()}
                ties = find_ties(reference, given, of_window)
                result = dataclasses.replace(
                    result,
                    own_frames_shared=ties.own_shared,
                    tied=ties.within_rounding and shared >= _least_shared(ties.own_shared, spec),
                )
            results.append(result)
        count(min(len(results), len(windows)), len(windows))
    # A fixed batch may be larger than the number of windows, whose last ones then ran twice.
    return list({result.window: result for result in results}.values())


def _root_and_size(poses: NDArray[np.float64], spec: ModelSpec) -> tuple[float, float]:
    """Return the mean distances of the root from 0, and of the other joints from the root."""
    root = poses[:, spec.skeleton.parents.index(-1)]
    joints = np.linalg.norm(poses - root[:, np.newaxis], axis=-1).mean(axis=0)
    return float(np.linalg.norm(root, axis=-1).mean()), float(joints.sum() / (spec.joints - 1))


def _passed(result: WindowResult) -> bool:
    return all(check.passed for check in result.checks(FP32))


def _least_shared(own: float, spec: ModelSpec) -> float:
    """Return the smallest share of frames that ties may leave, given PyTorch's own.

    The file may differ from float32 as much as float64 does, and float64 from the file as well; the
    usual limit comes on top, or one frame.
    """
    one = 1.0 / min(stage.tokens for stage in spec.stages)
    return 1.0 - 2.0 * (1.0 - own) - max(1.0 - FP32.frames_shared, one)


def _part(values: NDArray[Any], item: int, group: list[Window]) -> NDArray[Any]:
    """Return a window's rows of an output, which has one or two for each."""
    rows = len(values) // len(group)
    return values[item * rows : (item + 1) * rows]


def require_parity(results: list[WindowResult], tolerances: Tolerances = FP32) -> None:
    """Raise if a file computes other poses.

    Raises:
        VerificationError: Names each stage, statistic, window, frame and joint that is off.
    """
    failed = [
        check for result in results for check in result.checks(tolerances) if not check.passed
    ]
    if failed:
        shown = "; ".join(str(check) for check in failed[:3])
        more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise VerificationError(
            f"The exported file does not compute the PyTorch model's poses. {shown}{more}.",
            hint="Run again with --keep-failed to inspect the file, and report it with both.",
        )


def _batches(windows: list[Window], session: Session) -> Iterator[list[Window]]:
    size = session.inputs[0].shape[0]
    # A symbolic batch is tried with one window and with three.
    sizes = [size] if isinstance(size, int) else [1, 3]
    start = 0
    while start < len(windows):
        length = sizes[min(start, len(sizes) - 1)]
        group = windows[start : start + length]
        start += length
        if isinstance(size, int):
            group = (group * size)[:size]
        yield group


def _reference(
    lifter: nn.Module,
    spec: ModelSpec,
    arrays: Mapping[str, NDArray[np.float32]],
    outputs: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return PyTorch's own outputs, and those with the engine's choices forced."""
    index = outputs.get(TOKEN_INDEX)

    def lifted(frames: Tensor | None) -> dict[str, NDArray[Any]]:
        found = lift_arrays(lifter, arrays, frames)
        return dict(zip(output_names(spec), (each.numpy() for each in found), strict=True))

    with torch.inference_mode():
        own = lifted(None)
        chosen = own.get(TOKEN_INDEX)
        same = chosen is None or index is None or bool((chosen == index).all())
        with neighbors_forced(lifter, outputs) as any_forced:
            if same and not any_forced:
                return own, own
            forced = lifted(None if chosen is None or index is None else torch.from_numpy(index))
    return own, forced


def _place(spec: ModelSpec, by_frame_and_joint: NDArray[np.float64]) -> str:
    # NaN counts as the largest, so that a report names it.
    flat = np.where(np.isnan(by_frame_and_joint), np.inf, by_frame_and_joint)
    frame, joint = np.unravel_index(int(flat.argmax()), flat.shape)
    return f"frame {frame}, joint {spec.skeleton.joints[joint]}"


def _shared(first: NDArray[np.int64], second: NDArray[np.int64], spec: ModelSpec) -> float:
    """Return the share of frames in both choices: the mean over stages, and passes if there are."""
    ends = np.cumsum([stage.tokens for stage in spec.stages])[:-1]
    rows = (index.reshape(-1, index.shape[-1]) for index in (first, second))
    pairs = [
        pair
        for a, b in zip(*rows, strict=True)
        for pair in zip(np.split(a, ends), np.split(b, ends), strict=True)
    ]
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in pairs]))

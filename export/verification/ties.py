"""Find out if rounding alone made a file keep other frames than PyTorch.

Of two frames with equal scores, each engine may choose another. A slow clip that is resampled to a
higher rate has many: its frames lie on straight lines, at equal distances. PyTorch's own float32
and float64 then differ, too, and no choice is wrong. What each score may be is bounded by what
rounding does to PyTorch's own values; a file's frames are right if no frame that it left out is
better than one that it kept, whatever the rounding.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hot_sdk.export.enums import SelectorKind
from hot_sdk.export.models.frame_selection import FrameSelector, squared_distances
from hot_sdk.export.verification.neighbors import neighbors_forced
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, TOKEN_INDEX

# Two engines round differently, each about as much as PyTorch.
_SLACK = 4.0
_LEAST = 8.0 * torch.finfo(torch.float32).eps
# Beyond it, PyTorch's own choice would mean nothing, and no difference is excused.
_MOST = 1e-4


@dataclass(frozen=True)
class Ties:
    """What rounding alone decides about the kept frames of a window.

    Attributes:
        within_rounding: The file's frames are as good as PyTorch's, up to rounding.
        own_shared: Share of the kept frames that PyTorch in float32 and in float64 both choose.
    """

    within_rounding: bool
    own_shared: float


@dataclass(frozen=True, eq=False)
class _Selection:
    """One choice of frames in PyTorch, after the file's own choices before.

    Attributes:
        selector: The selector.
        inputs: What it chooses by.
        own: The positions that it chooses, (rows, tokens).
        forced: Those that the file chose.
    """

    selector: FrameSelector
    inputs: tuple[Any, ...]
    own: Tensor
    forced: Tensor


def find_ties(
    lifter: nn.Module,
    arrays: Mapping[str, NDArray[np.float32]],
    outputs: Mapping[str, NDArray[Any]],
) -> Ties:
    """Judge the frames that a file kept of one window.

    Args:
        lifter: The function of :mod:`hot_sdk.export.graph.wrapper`, in float32.
        arrays: The window, as the file's inputs: keypoints (1, frames, joints, channels), and what
            is known if the network takes it.
        outputs: What the file returned for it.
    """
    index = torch.from_numpy(outputs[TOKEN_INDEX])
    rows = index.reshape(-1, index.shape[-1])
    window = {name: torch.from_numpy(values) for name, values in arrays.items()}
    rough = _selections(lifter, window, rows, outputs)
    double = {name: values.double() for name, values in window.items()}
    exact = _selections(copy.deepcopy(lifter).double(), double, rows, outputs)
    pairs = list(zip(rough, exact, strict=True))
    shared = [
        np.intersect1d(mine, other).size / mine.size
        for before, after in pairs
        for mine, other in zip(before.own.numpy(), after.own.numpy(), strict=True)
    ]
    return Ties(
        within_rounding=all(_is_right(before, after) for before, after in pairs),
        own_shared=float(np.mean(shared)),
    )


def _selections(
    lifter: nn.Module,
    window: Mapping[str, Tensor],
    rows: Tensor,
    outputs: Mapping[str, NDArray[Any]],
) -> list[_Selection]:
    """Run a network with a file's choices, and return what each selector would have chosen."""
    found: list[_Selection] = []

    def see(selector: nn.Module, inputs: tuple[Any, ...], own: Tensor) -> Tensor:
        assert isinstance(selector, FrameSelector)
        first = sum(selection.selector.stage.tokens for selection in found)
        frames = rows[:, first : first + selector.stage.tokens]
        present = inputs[2]
        positions = frames
        if present is not None:
            positions = (present.unsqueeze(1) < frames.unsqueeze(2)).sum(dim=2)
        found.append(_Selection(selector, inputs, own, positions))
        return positions

    with _hooked(lifter, see), neighbors_forced(lifter, outputs), torch.inference_mode():
        lifter(window[KEYPOINTS], None, window.get(CONDITIONS))
    return found


@contextlib.contextmanager
def _hooked(
    lifter: nn.Module, hook: Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]
) -> Iterator[None]:
    handles = [
        module.register_forward_hook(hook)
        for module in lifter.modules()
        if isinstance(module, FrameSelector)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_right(rough: _Selection, exact: _Selection) -> bool:
    """Return True if no frame that was left out surely has a higher score than one kept."""
    selector = exact.selector
    if selector.fixed is not None:
        return bool((exact.own == exact.forced).all())
    if selector.stage.selector == SelectorKind.TPC:
        least, most = _bounds(
            squared_distances(selector.windows(rough.inputs[0])),
            squared_distances(selector.windows(exact.inputs[0])),
        )
        low, high = density_peak_bounds(least.sqrt(), most.sqrt())
    else:
        low, high = _bounds(selector.scores(*rough.inputs), selector.scores(*exact.inputs))
    kept = torch.zeros_like(low, dtype=torch.bool)
    kept.scatter_(1, selector.windows(exact.forced), True)
    center = selector.center_mask(exact.inputs[0], exact.inputs[2])
    if center is not None:
        high = torch.where(center, torch.inf, high)
        low = torch.where(center, torch.inf, low)
    worst = torch.where(kept, high, torch.inf).amin(dim=1)
    best = torch.where(kept, -torch.inf, low).amax(dim=1)
    return bool((worst >= best).all())


def _bounds(rough: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest that values of 0 or more may be after rounding."""
    exact = exact.double()
    largest = exact.abs().max()
    error = torch.maximum(_SLACK * (rough.double() - exact).abs().max(), _LEAST * largest)
    error = torch.minimum(error, _MOST * largest)
    return (exact - error).clamp(min=0.0), exact + error


def density_peak_bounds(least: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
    """Bound the scores of :func:`hot_sdk.export.models.frame_selection.density_peak_scores`.

    Args:
        least: Least distances between frames, (windows, frames, frames).
        most: Greatest distances.

    Returns:
        Least and greatest score of each frame, (windows, frames).
    """
    itself = torch.eye(least.shape[1], dtype=torch.bool)
    nearest_least = torch.where(itself, torch.inf, least).amin(dim=2)
    nearest_most = torch.where(itself, torch.inf, most).amin(dim=2)
    surely = nearest_most.unsqueeze(1) < nearest_least.unsqueeze(2)
    perhaps = (nearest_least.unsqueeze(1) <= nearest_most.unsqueeze(2)) & ~itself
    # Two frames that are each other's nearest have the same density in every engine, as distances
    # are symmetric there; the earlier one counts as denser.
    nearest = (most <= nearest_most.unsqueeze(2)) & ~itself
    only = nearest & ((least <= nearest_most.unsqueeze(2)) & ~itself).sum(dim=2, keepdim=True).eq(1)
    mutual = only & only.transpose(1, 2)
    earlier = torch.ones_like(itself).tril(diagonal=-1)
    surely = torch.where(mutual, earlier, surely)
    perhaps = torch.where(mutual, earlier, perhaps)

    def separation(denser: Tensor, distance: Tensor) -> Tensor:
        farthest = distance.amax(dim=(1, 2)).unsqueeze(1)
        return torch.minimum(torch.where(denser, distance, torch.inf).amin(dim=2), farthest)

    low = separation(perhaps, least) * torch.exp(-0.5 * nearest_most**2)
    high = separation(surely, most) * torch.exp(-0.5 * nearest_least**2)
    return low, high

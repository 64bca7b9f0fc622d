"""Model families: their registry, and one file for each network."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from hot_sdk.export.enums import RecoveryKind, Variant
from hot_sdk.export.models.families import Family
from hot_sdk.export.models.registry import family, list_models
from hot_sdk.export.models.spec import ModelSpec, OneOrMore, Selectors, resolve
from hot_sdk.export.models.weight_shapes import CheckpointShape

if TYPE_CHECKING:
    from hot_sdk.export.models.hourglass import HourglassNetwork

__all__ = [
    "CheckpointShape",
    "Family",
    "ModelSpec",
    "build",
    "create_model",
    "family",
    "infer_shape",
    "list_models",
    "resolve",
]


def create_model(
    name: str,
    *,
    size: str | None = None,
    frames: int | None = None,
    ratio: OneOrMore[float] | None = None,
    tokens: OneOrMore[int] | None = None,
    prune_at: OneOrMore[int] | None = None,
    variant: Variant | str | None = None,
    selector: Selectors | None = None,
    recovery: RecoveryKind | str | None = None,
    elastic: bool = False,
    **config: int,
) -> HourglassNetwork:
    """Create a network with untrained weights, in evaluation mode.

    Args:
        name: A family of :func:`list_models`.
        size: One of the family's published sizes.
        frames: Frames of a window; None, here and below, is the family's published value.
        ratio: Frames kept over frames, to tokens half up, at least 2. 1 is the plain network. Here,
            and in the three below, one value for each stage where frames are pruned in several.
        tokens: Frames kept, instead of a ratio.
        prune_at: Block before which frames are pruned, counted from 0.
        variant: ``plain``, ``hot`` (prune, recover all frames) or ``tpc`` (prune, keep the centre
            frame, recover none).
        selector: ``tpc``, ``uniform``, ``motion`` or ``attention``.
        recovery: ``tra`` or ``interpolate``.
        elastic: Recovery by ``tra`` that serves any number of tokens.
        **config: Settings of the network, fields of ``NetworkSize`` that the family has.

    Returns:
        A module that maps (batch, frames, joints, channels) to poses, (batch, frames, joints, 3),
        and the kept frames, (batch, tokens of all stages) or None.

    Raises:
        UsageError: A value is unknown or out of range, or two contradict each other.
    """
    return build(
        resolve(
            name,
            size=size,
            frames=frames,
            ratio=ratio,
            tokens=tokens,
            prune_at=prune_at,
            variant=variant,
            selector=selector,
            recovery=recovery,
            elastic=elastic,
            **config,
        )
    )


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> HourglassNetwork:
    """Build the network that a specification describes, in evaluation mode.

    Args:
        spec: The architecture.
        mirrored_pairs: The network will see batches that alternate between a window and its mirror
            image.
    """
    network: HourglassNetwork = _module(spec.family).build(spec, mirrored_pairs=mirrored_pairs)
    return network.eval()


def infer_shape(name: str, shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read a network's sizes off the shapes of a checkpoint's tensors.

    Args:
        name: The family that the checkpoint is said to be of.
        shapes: Shape of each tensor by its state-dict key.

    Raises:
        CheckpointError: The tensors are not those of the family.
    """
    shape: CheckpointShape = _module(name).infer_shape(shapes)
    return shape


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{family(name).module}")

"""Networks: a registry of model families, and one file for each of them."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from hot_sdk.errors import CheckpointError
from hot_sdk.export.models.families import Family
from hot_sdk.export.models.registry import family, list_models
from hot_sdk.export.models.spec import ModelOptions, ModelSpec, resolve
from hot_sdk.export.models.weight_shapes import CheckpointShape

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from hot_sdk.export.models.hourglass import HourglassNetwork

__all__ = [
    "CheckpointShape",
    "Family",
    "ModelOptions",
    "ModelSpec",
    "build",
    "create_model",
    "family",
    "infer_shape",
    "list_models",
    "resolve",
]

_SHOWN_KEYS = 4
_MOST_SETS = 16


def create_model(name: str, **options: Unpack[ModelOptions]) -> HourglassNetwork:
    """Create a network with untrained weights, in evaluation mode.

    Args:
        name: A family of :func:`list_models`.
        **options: See :class:`~hot_sdk.export.models.spec.ModelOptions`.

    Returns:
        A module that maps (batch, frames, joints, channels) to poses, (batch, frames, joints, 3),
        and the kept frames, (batch, tokens of all stages) or None.

    Raises:
        UsageError: A value is unknown or out of range, or two contradict each other.
    """
    return build(resolve(name, **options))


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> HourglassNetwork:
    """Build the network that a specification describes, in evaluation mode.

    Args:
        spec: The architecture.
        mirrored_pairs: The network will see batches that alternate between a window and its mirror
            image.
    """
    name = family(spec.family).name
    module = _module(name if spec.live is None else f"live_{name}")
    network: HourglassNetwork = module.build(spec, mirrored_pairs=mirrored_pairs)
    return network.eval()


def infer_shape(name: str, shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes of a network off the shapes of a checkpoint's tensors.

    Args:
        name: The family that the checkpoint is expected to belong to.
        shapes: Shape of each tensor by its state-dict key, without ``module.``.

    Raises:
        CheckpointError: A key of the family is missing, or its shape contradicts another's; the
            hint says which family's keys these are.
    """
    try:
        shape: CheckpointShape = _module(family(name).name).infer_shape(shapes)
    except CheckpointError as error:
        raise CheckpointError(error.message, hint=_whose_keys(name, shapes)) from error
    return shape


def _whose_keys(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return in words which families' keys these are, other than the one named."""
    fitting = []
    for other in list_models():
        if other != name:
            with contextlib.suppress(CheckpointError):
                _module(other).infer_shape(shapes)
                fitting.append(other)
    if fitting:
        models = " or ".join(f"--model {other}" for other in fitting)
        return (
            f"These are the keys of {' or '.join(family(one).title for one in fitting)}: {models}."
        )
    sets = {}
    for first in list(dict.fromkeys(key.partition(".")[0] for key in shapes))[:_MOST_SETS]:
        under = {
            key[len(first) + 1 :]: each
            for key, each in shapes.items()
            if key.startswith(f"{first}.")
        }
        for one in list_models():
            with contextlib.suppress(CheckpointError):
                _module(one).infer_shape(under)
                sets[first] = family(one).title
    if sets:
        listed = ", ".join(f"{title} under '{first}.'" for first, title in sets.items())
        return f"The file holds {listed}; choose one, as in: --weights {next(iter(sets))}"
    some = ", ".join(f"{key!r:.60}" for key in list(shapes)[:_SHOWN_KEYS])
    return (
        "The file does not hold the whole network of any family that hot-export knows; its keys"
        f" are {some} and so on."
    )


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")

"""The starter model: trained weights that ship, so that the first command returns real poses.

MODEL_CARD.md describes the training data, the accuracy and the limits.
"""

from __future__ import annotations

from pathlib import Path

from hot_sdk._base.validation import nearest
from hot_sdk.errors import UsageError

FAMILY = "mixste"

STARTER = "starter"
"""The name that stands for the shipped model wherever a model file is accepted."""

STARTER_LIVE = "starter-live"
"""The same of the one that takes one frame at a time."""

_FOLDER = Path(__file__).resolve().parent / "data" / "starter"


def resolve_model(model: str | Path) -> Path:
    """Return the path of a model file; ``starter`` and ``starter-live`` name the shipped models.

    A file of that name is reached as ``./starter``, or as a ``Path``: a command line that offers
    ``starter`` therefore has to pass its argument on as text.

    Raises:
        UsageError: The starter model is missing from the installed package, or a text is nearly
            one of the names and no file.
    """
    if model == STARTER_LIVE:
        return starter_live_model()
    if model == STARTER:
        return starter_model()
    path = Path(model)
    if isinstance(model, str) and model.lower().startswith("star") and not path.suffix:
        near = nearest(model, (STARTER, STARTER_LIVE))
        if near is not None and not path.exists():
            raise UsageError(f"There is no model {model!r}.", hint=f"Did you mean '{near}'?")
    return path


def starter_model() -> Path:
    """Return the exported model, at ratio 0.5.

    Raises:
        UsageError: The installed package does not hold it.
    """
    return _shipped("starter.onnx")


def starter_checkpoint() -> Path:
    """Return the checkpoint, which serves every ratio.

    Raises:
        UsageError: The installed package does not hold it.
    """
    return _shipped("starter.safetensors")


def starter_live_model() -> Path:
    """Return the exported model that takes one frame at a time, without lookahead.

    Raises:
        UsageError: The installed package does not hold it.
    """
    return _shipped("starter-live.onnx")


def starter_live_checkpoint() -> Path:
    """Return its checkpoint, which serves every lookahead and every memory.

    Raises:
        UsageError: The installed package does not hold it.
    """
    return _shipped("starter-live.safetensors")


def _shipped(name: str) -> Path:
    path = _FOLDER / name
    if not path.is_file():
        raise UsageError(
            f"The starter model '{name}' is missing from this installation.",
            hint="Reinstall hot-sdk, or pass your own model or checkpoint.",
        )
    return path

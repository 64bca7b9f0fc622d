"""The starter model: trained weights that ship, so that the first command returns real poses.

MODEL_CARD.md describes the training data, the accuracy and the limits.
"""

from __future__ import annotations

from pathlib import Path

from hot_sdk.errors import UsageError

FAMILY = "mixste"

STARTER = "starter"
"""The name that stands for the shipped model wherever a model file is accepted."""

_FOLDER = Path(__file__).resolve().parent / "data" / "starter"


def resolve_model(model: str | Path) -> Path:
    """Return the path of a model file; the text ``starter`` names the shipped model.

    A file of that name is reached as ``./starter``, or as a ``Path``: a command line that offers
    ``starter`` therefore has to pass its argument on as text.

    Raises:
        UsageError: The starter model is missing from the installed package.
    """
    return starter_model() if model == STARTER else Path(model)


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


def _shipped(name: str) -> Path:
    path = _FOLDER / name
    if not path.is_file():
        raise UsageError(
            f"The starter model '{name}' is missing from this installation.",
            hint="Reinstall hot-sdk, or pass your own model or checkpoint.",
        )
    return path

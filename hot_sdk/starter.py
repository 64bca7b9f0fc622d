"""The starter model: trained weights that ship, so that the first command gives real poses.

MODEL_CARD.md says what it was trained on, how well it does and what it is not for.
"""

from __future__ import annotations

from pathlib import Path

from hot_sdk.errors import UsageError

FAMILY = "mixste"

_FOLDER = Path(__file__).resolve().parent / "data" / "starter"


def starter_model() -> Path:
    """The exported model, at ratio 0.5.

    Raises:
        UsageError: The installed package does not hold it.
    """
    return _shipped("starter.onnx")


def starter_checkpoint() -> Path:
    """The checkpoint, which serves every ratio.

    Raises:
        UsageError: The installed package does not hold it.
    """
    return _shipped("starter.safetensors")


def _shipped(name: str) -> Path:
    path = _FOLDER / name
    if not path.is_file():
        raise UsageError(
            f"The starter model '{name}' is not in this installation.",
            hint="Install hot-sdk again, or give a model or checkpoint of your own.",
        )
    return path

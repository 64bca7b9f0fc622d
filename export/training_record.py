"""What a checkpoint says of its own training, beside its weights.

A safetensors file has room for text. The trainer in examples/ writes this record there as JSON, so
that nobody has to repeat on a command line what weights' shapes do not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from hot_sdk import typed_json
from hot_sdk.errors import CheckpointError

KEY = "hot_sdk.training"


@dataclass(frozen=True)
class TrainingRecord:
    """How weights were trained.

    Attributes:
        fps: Frames a second of the training data.
        heads: Attention heads.
        prune_at: Block before which frames were pruned; None where none were.
        licence: Of the weights.
        credit: Whom users of the weights have to name; None where nobody asks for it.
        limits: What the training data does not hold, in words.
    """

    fps: float
    heads: int
    prune_at: int | None
    licence: str
    credit: str | None
    limits: str | None


def parse_training_record(text: str, source: str) -> TrainingRecord:
    """Read a record.

    Raises:
        CheckpointError: It is broken; ``source`` names the file.
    """
    try:
        record = typed_json.build(TrainingRecord, typed_json.parse_object(text))
    except typed_json.TypedJSONError as error:
        raise CheckpointError(
            f"What {source!r} says of its training is broken: {error}.",
            hint="Download or copy it again, or save the weights without it.",
        ) from error
    if record.fps <= 0.0 or record.heads < 1 or (record.prune_at or 1) < 1:
        raise CheckpointError(
            f"What {source!r} says of its training cannot be: {record.fps} frames a second,"
            f" {record.heads} heads, pruned at {record.prune_at}.",
            hint="Download or copy it again, or save the weights without it.",
        )
    return record

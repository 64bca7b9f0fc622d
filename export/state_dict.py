"""Weights into a model, without a key too many or too few.

Published loaders skip keys that do not match and then run on random weights; this one refuses.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export.checkpoints import Checkpoint, name_some

_RANK_EMBEDDING = "pos_embed_token"
_RANK_NORM = "graph_temporal.mixer.batch_norm."
"""In the keys of norms over frames, of a family that has some; those after the pruning are of
ranks."""


def load_strict(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load every tensor of the checkpoint into the model, or none at all.

    Raises:
        CheckpointError: Keys are missing, unexpected or of another shape; the model is unchanged.
    """
    wanted = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    reshaped = [key for key in wanted if key in found and wanted[key] != found[key]]
    if missing or unexpected or reshaped:
        shapes = [f"{key!r} is {found[key]}, not {wanted[key]}" for key in reshaped]
        faults = {
            "missing": [repr(key) for key in missing],
            "unexpected": [f"{key!r:.80}" for key in unexpected],
            "of another shape": shapes,
        }
        listed = (
            f"{len(each)} {what} ({name_some(each)})" for what, each in faults.items() if each
        )
        raise CheckpointError(
            f"{checkpoint.path.name!r} does not fit the model; of its keys, {'; '.join(listed)}.",
            hint=_mismatch_hint(wanted, missing, unexpected, reshaped),
        )
    model.load_state_dict(dict(checkpoint.tensors), strict=True)


def resample_rank_embedding(tensors: Mapping[str, Tensor], tokens: int) -> dict[str, Tensor]:
    """Fit the embedding of the kept frames' ranks to another number of kept frames.

    Linear interpolation over the ranks of ``pos_embed_token``, (1, ranks, channels); the first and
    the last rank keep their embedding. Norms that have numbers for each rank are fitted alike. What
    that costs in accuracy is unknown: published weights are trained for one number of tokens.

    Args:
        tensors: State-dict of a network with the Hourglass Tokenizer; not modified.
        tokens: Frames to be kept, two or more.

    Returns:
        The same tensors, ``pos_embed_token`` replaced: (1, tokens, channels); and the norms.

    Raises:
        UsageError: ``tokens`` is less than two.
        CheckpointError: There is no such embedding among the tensors.
    """
    if tokens < 2:
        raise UsageError(
            f"The rank embedding cannot be resampled to {tokens} tokens.",
            hint="Keep two tokens or more.",
        )
    embedding = tensors.get(_RANK_EMBEDDING)
    if embedding is None or embedding.dim() != 3 or embedding.shape[0] != 1:
        raise CheckpointError(
            f"The checkpoint has no {_RANK_EMBEDDING!r} (1, tokens, channels) to resample.",
            hint="Only checkpoints of the hot variant have one; others take any number of tokens.",
        )
    ranks = embedding.shape[1]
    norms = {
        key: _stretched(tensor[None, :, None], tokens).flatten()
        for key, tensor in tensors.items()
        if _RANK_NORM in key and tensor.shape == (ranks,)
    }
    return {**tensors, **norms, _RANK_EMBEDDING: _stretched(embedding, tokens)}


def _stretched(by_rank: Tensor, tokens: int) -> Tensor:
    """(1, ranks, channels) to (1, tokens, channels)."""
    resampled = functional.interpolate(
        by_rank.double().transpose(1, 2), size=tokens, mode="linear", align_corners=True
    )
    return resampled.transpose(1, 2).to(by_rank.dtype).contiguous()


def first_times(tensors: Mapping[str, Tensor], key: str, frames: int) -> dict[str, Tensor]:
    """The tensors with a table of times, (1, frames, ...), cut to a shorter window."""
    return {**tensors, key: tensors[key][:, :frames].contiguous()}


def without_hourglass(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the plain network among those of a network with the Hourglass Tokenizer."""
    return {key: tensor for key, tensor in tensors.items() if not _is_hourglass(key)}


def _is_hourglass(key: str) -> bool:
    return key in (_RANK_EMBEDDING, "x_token") or key.startswith("cross_attention.")


def _mismatch_hint(
    wanted: Mapping[str, object], missing: list[str], unexpected: list[str], reshaped: list[str]
) -> str:
    if len(missing) == len(wanted):
        return "Not one key fits: the checkpoint is of another architecture; name that one."
    if 2 * sum(map(_is_hourglass, missing)) > len(missing):
        return (
            "The checkpoint has no weights of the Hourglass Tokenizer; '--recovery interpolate' "
            "and '--variant tpc' need none."
        )
    if any(map(_is_hourglass, unexpected)):
        return "The checkpoint has weights of the Hourglass Tokenizer: use '--variant hot'."
    if reshaped == [_RANK_EMBEDDING] and not missing and not unexpected:
        return (
            "The checkpoint is trained for another number of tokens: keep as many, or have its "
            "rank embedding resampled."
        )
    return "Give the model the sizes that the checkpoint was trained with."

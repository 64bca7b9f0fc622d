"""A request and a checkpoint brought together, or refused with what they disagree on."""

from __future__ import annotations

from dataclasses import replace

from hot_sdk.errors import CheckpointError
from hot_sdk.export.models import CheckpointShape, ModelSpec, family
from hot_sdk.export.models.spec import published_size
from hot_sdk.export.models.stages import kept_frames
from hot_sdk.export.options import RecoveryKind, Variant
from hot_sdk.export.request import ExportRequest, resolve_request
from hot_sdk.export.training_record import TrainingRecord


def fit(
    request: ExportRequest, found: CheckpointShape, training: TrainingRecord | None = None
) -> ModelSpec:
    """The architecture that a checkpoint was trained in, pruned as the request says.

    Args:
        request: What is asked for; what it leaves out comes from the checkpoint, and what the
            checkpoint cannot tell from the registry.
        found: What the checkpoint's shapes tell.
        training: What the checkpoint says of its training.

    Raises:
        CheckpointError: The checkpoint was trained for something else than is asked for.
        UsageError: What is asked for does not hold together.
    """
    joints = len(family(request.model).skeleton.joints)
    _require_equal("joints", found.joints, joints)
    frames = found.frames
    if request.frames is not None and found.time_embedding and request.frames < found.frames:
        frames = request.frames
    elif request.frames is not None:
        _require_equal("frames", found.frames, request.frames)
    named = None if request.size is None else published_size(family(request.model), request.size)
    for setting, trained in found.config.items():
        asked = trained if named is None else getattr(named.size, setting)
        _require_equal(setting, trained, request.config.get(setting, asked))
    if request.resample_tokens and (found.variant is not Variant.HOT or found.elastic):
        raise CheckpointError(
            "The checkpoint holds no rank embedding that could be resampled.",
            hint="Drop --resample-tokens: an elastic checkpoint takes any ratio, and a plain one "
            "with '--recovery interpolate' or '--variant tpc'.",
        )
    config = {**request.config, **found.config}
    if training is not None:
        _require_equal("heads", training.heads, config.setdefault("heads", training.heads))
    completed = replace(request, frames=frames, config=config)
    if training is not None and request.prune_at is None and _prunes(completed, found):
        completed = replace(completed, prune_at=training.prune_at)
    if found.elastic:
        return resolve_request(_as_trained(completed), elastic=True)
    if found.variant is Variant.HOT and request.variant in (None, Variant.HOT):
        completed = _with_trained_tokens(completed, found)
    return resolve_request(completed)


def _as_trained(request: ExportRequest) -> ExportRequest:
    """An elastic checkpoint prunes unless it is told otherwise."""
    asked = (request.variant, request.ratio, request.tokens)
    return replace(request, variant=Variant.HOT) if asked == (None, None, None) else request


def _prunes(request: ExportRequest, found: CheckpointShape) -> bool:
    """Whether the network that is asked for leaves frames out."""
    frames = found.frames if request.frames is None else request.frames
    kept = kept_frames(frames, request.ratio, request.tokens)
    if kept:
        return kept[-1] < frames
    variant = found.variant if request.variant is None else Variant(request.variant)
    return variant is not Variant.PLAIN


def _with_trained_tokens(request: ExportRequest, found: CheckpointShape) -> ExportRequest:
    if request.recovery == RecoveryKind.INTERPOLATE:
        raise CheckpointError(
            "The checkpoint holds trained recovery weights, which interpolation would not use.",
            hint="Drop '--recovery interpolate', or give a plain checkpoint.",
        )
    kept = kept_frames(found.frames, request.ratio, request.tokens)
    asked = kept[0] if kept else None
    if asked not in (None, found.tokens) and not request.resample_tokens:
        assert found.tokens is not None
        raise CheckpointError(
            f"The checkpoint was trained to keep {found.tokens} of {found.frames} frames (ratio "
            f"{found.tokens / found.frames:.2f}), but {asked} were asked for.",
            hint="Drop the ratio, or add --resample-tokens to stretch its rank embedding; the "
            "accuracy is then unknown until you measure it.",
        )
    return replace(request, variant=Variant.HOT, ratio=None, tokens=kept or found.tokens)


def _require_equal(what: str, trained: int, asked: int) -> None:
    if trained != asked:
        raise CheckpointError(
            f"The checkpoint was trained with {what} = {trained}, but {asked} is asked for.",
            hint=f"Drop {what}, or give another checkpoint.",
        )

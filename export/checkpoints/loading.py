"""Reconcile export options with a checkpoint, and load weights into a network.

Published loaders skip keys that do not match and then run on random weights; this one raises on any
mismatch. Reproducible random weights are for files that show speed and shape only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export.checkpoints.containers import matches_any, name_some
from hot_sdk.export.checkpoints.reader import Checkpoint, TrainingRecord
from hot_sdk.export.enums import RecoveryKind, Variant
from hot_sdk.export.models import CheckpointShape, ModelSpec, family
from hot_sdk.export.models.families import Family
from hot_sdk.export.models.spec import as_tuple, kept_frames, published_size
from hot_sdk.export.options import ExportRequest, resolve_request

DEFAULT_SEED = 7

_SHOWN_KEYS = 4

_RANK_EMBEDDING = "pos_embed_token"
_RANK_NORM = "graph_temporal.mixer.batch_norm."
"""Part of the keys of norms over frames, which one family has; after the pruning these are norms
over ranks."""


def resolve_spec_for_checkpoint(
    request: ExportRequest, found: CheckpointShape, training: TrainingRecord | None = None
) -> ModelSpec:
    """Resolve the architecture that a checkpoint was trained in, pruned as requested.

    Args:
        request: The options. What they leave out comes from the checkpoint, and what the checkpoint
            does not encode from the registry.
        found: What the checkpoint's shapes encode.
        training: The checkpoint's record of its training.

    Raises:
        CheckpointError: The checkpoint was trained for something else than requested.
        UsageError: Options contradict each other.
    """
    entry = family(request.model)
    _require_live(request, found)
    if found.joints != len(entry.skeleton.joints):
        raise CheckpointError(
            f"The checkpoint's network has {found.joints} joints; {entry.title}'s here have"
            f" {len(entry.skeleton.joints)}.",
            hint="Give a checkpoint with the joints of Human3.6M or MPI-INF-3DHP.",
        )
    frames = found.frames
    if request.frames is not None and found.time_embedding and request.frames < found.frames:
        frames = request.frames
    elif request.frames is not None:
        _require_equal("frames", found.frames, request.frames)
    named = None if request.size is None else published_size(entry, request.size)
    if named is not None and request.frames is None:
        _require_equal("frames", found.frames, named.frames, size=request.size)
    for setting, trained in found.config.items():
        if setting in request.config:
            _require_equal(setting, trained, request.config[setting])
        elif named is not None:
            _require_equal(setting, trained, getattr(named.size, setting), size=request.size)
    if request.resample_tokens and (found.variant is not Variant.HOT or found.elastic):
        raise CheckpointError(
            "The checkpoint holds no rank embedding that could be resampled.",
            hint="Drop --resample-tokens: an elastic checkpoint takes any ratio, and a plain one "
            "with '--recovery interpolate' or '--variant tpc'.",
        )
    config = {**request.config, **found.config, **_unencoded(entry, request, found, training)}
    completed = replace(request, frames=frames, config=config)
    if found.variant is Variant.LIVE:
        return resolve_request(replace(completed, variant=Variant.LIVE))
    if training is not None and request.prune_at is None and _prunes(completed, found):
        completed = replace(completed, prune_at=training.prune_at)
    if found.elastic:
        if (request.variant, request.ratio, request.tokens) == (None, None, None):
            completed = replace(completed, variant=Variant.HOT)
        return resolve_request(completed, elastic=True)
    if found.variant is Variant.HOT and request.variant in (None, Variant.HOT):
        completed = _with_trained_tokens(completed, found)
    return resolve_request(completed)


def _require_live(request: ExportRequest, found: CheckpointShape) -> None:
    """Require that a live network, and no other, has a live network's weights."""
    if found.variant is Variant.LIVE and request.variant not in (None, Variant.LIVE):
        raise CheckpointError(
            "The checkpoint is of a live network, which takes one frame at a time, but the variant"
            f" '{Variant(request.variant).value}' was requested.",
            hint="Drop --variant, or give a checkpoint that lifts windows.",
        )
    if found.variant is not Variant.LIVE and request.variant == Variant.LIVE:
        raise CheckpointError(
            "The checkpoint is of a network that lifts windows: it has no weights of ages, which a"
            " live network attends by.",
            hint="Drop --variant live, or give a checkpoint that was trained live.",
        )


def _unencoded(
    entry: Family, request: ExportRequest, found: CheckpointShape, training: TrainingRecord | None
) -> dict[str, int]:
    """Return settings that shapes do not determine, but the record or the hourglass's keys do."""
    if training is not None:
        recorded = {"heads": training.heads}
        if training.neighbors and "neighbors" in entry.settings:
            recorded["neighbors"] = training.neighbors
        for setting, trained in recorded.items():
            _require_equal(setting, trained, request.config.get(setting, trained))
        return recorded
    if entry.hourglass_size is None or found.variant is not Variant.HOT or found.elastic:
        return {}
    published = entry.sizes[entry.hourglass_size].size
    open_ = [each for each in entry.settings if each not in {**found.config, **request.config}]
    implied = {setting: getattr(published, setting) for setting in open_}
    if request.size is not None:
        size = entry.sizes[request.size].size
        apart = [each for each in open_ if getattr(size, each) != implied[each]]
        if apart:
            theirs = ", ".join(f"{each} = {implied[each]}" for each in apart)
            named = ", ".join(f"{each} = {getattr(size, each)}" for each in apart)
            flags = " ".join(f"--set {each}={getattr(size, each)}" for each in apart)
            raise CheckpointError(
                f"The checkpoint has weights of the Hourglass Tokenizer, whose published network "
                f"has {theirs}; size '{request.size}' has {named}.",
                hint=f"Drop --size; or, if you trained it that way yourself, add {flags}.",
            )
    return implied


def name_assumed(
    spec: ModelSpec, found: CheckpointShape, config: Mapping[str, int]
) -> tuple[str, ...]:
    """Return in words what was assumed of a network whose size is not a published one.

    Args:
        spec: The resolved architecture.
        found: What the checkpoint's shapes encode.
        config: Settings that the user states.
    """
    entry = family(spec.family)
    published = [size.size for size in entry.sizes.values()]
    known = {**found.config, **config}
    assumed = [each for each in ("heads", "neighbors") if each in {*entry.settings} - {*known}]
    if not assumed or any(
        all(getattr(size, setting) == value for setting, value in found.config.items())
        for size in published
    ):
        return ()
    values = " and ".join(f"{each} = {getattr(spec.size, each)}" for each in assumed)
    flags = " ".join(f"--set {each}=N" for each in assumed)
    return (
        f"{values} assumed, as published for another size: the weights do not say; if it was"
        f" trained with others, its poses are wrong without {flags}",
    )


def _prunes(request: ExportRequest, found: CheckpointShape) -> bool:
    """Return True if the requested network leaves frames out."""
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
    assert found.tokens is not None
    kept = kept_frames(found.frames, request.ratio, request.tokens)
    trained_ratio = found.tokens / found.frames
    ratios = as_tuple(request.ratio)
    if ratios and round(trained_ratio, 2) == ratios[0]:
        # As the ratio of 81 in 243 frames is written: 0.33, which alone would be 80.
        kept = (found.tokens, *kept[1:])
    requested = kept[0] if kept else None
    if requested not in (None, found.tokens) and not request.resample_tokens:
        raise CheckpointError(
            f"The checkpoint was trained to keep {found.tokens} of {found.frames} frames (ratio "
            f"{trained_ratio:.2f}), but {requested} were requested.",
            hint="Drop the ratio, or add --resample-tokens to stretch its rank embedding; the "
            "accuracy is then unknown until you measure it.",
        )
    return replace(request, variant=Variant.HOT, ratio=None, tokens=kept or found.tokens)


def _require_equal(what: str, trained: int, requested: int, *, size: str | None = None) -> None:
    if trained == requested:
        return
    if size is not None:
        raise CheckpointError(
            f"The checkpoint was trained with {what} = {trained}, but size '{size}' has "
            f"{requested}.",
            hint="Drop --size: the checkpoint's own sizes are read from it.",
        )
    flag = "--frames" if what == "frames" else f"--set {what}={requested}"
    raise CheckpointError(
        f"The checkpoint was trained with {what} = {trained}, but {requested} was requested.",
        hint=f"Drop {flag}, or give another checkpoint.",
    )


def adapt_checkpoint(
    checkpoint: Checkpoint, found: CheckpointShape, spec: ModelSpec, *, resample: bool
) -> Checkpoint:
    """Return a checkpoint with the tensors that a specification needs of it.

    Args:
        checkpoint: As it was read; not modified.
        found: What its shapes encode.
        spec: Resolved by :func:`resolve_spec_for_checkpoint`.
        resample: Resample the rank embedding to the specification's number of tokens.
    """
    tensors = dict(checkpoint.tensors)
    if resample:
        tensors = resample_rank_embedding(tensors, spec.stages[0].tokens)
    if found.time_embedding is not None:
        times = tensors[found.time_embedding]  # (1, frames, ...), cut to a shorter window.
        tensors[found.time_embedding] = times[:, : spec.frames].contiguous()
    if found.elastic and not spec.elastic:
        tensors = {key: tensor for key, tensor in tensors.items() if not _is_hourglass(key)}
    return replace(checkpoint, tensors=MappingProxyType(tensors))


def resample_rank_embedding(tensors: Mapping[str, Tensor], tokens: int) -> dict[str, Tensor]:
    """Fit the embedding of the kept frames' ranks to another number of kept frames.

    Interpolates linearly over the ranks of ``pos_embed_token``, (1, ranks, channels); the first and
    the last rank keep their embedding. Norms that have numbers for each rank are fitted alike. The
    cost in accuracy is unknown: published weights are trained for one number of tokens.

    Args:
        tensors: State-dict of a network with the Hourglass Tokenizer; not modified.
        tokens: Frames to be kept, two or more.

    Returns:
        The same tensors with another ``pos_embed_token``, (1, tokens, channels), and other norms.

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
    """Resample (1, ranks, channels) to (1, tokens, channels)."""
    resampled = functional.interpolate(
        by_rank.double().transpose(1, 2), size=tokens, mode="linear", align_corners=True
    )
    return resampled.transpose(1, 2).to(by_rank.dtype).contiguous()


def load_strict(
    model: nn.Module, checkpoint: Checkpoint, *, allow_extra: Sequence[str] = ()
) -> tuple[str, ...]:
    """Load every tensor of the checkpoint into the model, or none at all.

    Args:
        model: The network.
        checkpoint: Its weights.
        allow_extra: Shell patterns of keys that are left out if the network does not have them.

    Returns:
        The keys that were left out.

    Raises:
        CheckpointError: Keys are missing, unexpected or of another shape, or a pattern matches no
            key that could be left out; the model is unchanged.
    """
    wanted = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
    extra = [key for key in found if key not in wanted]
    left_out = tuple(key for key in extra if matches_any(key, allow_extra))
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in extra if key not in set(left_out)]
    reshaped = [key for key in wanted if key in found and wanted[key] != found[key]]
    if missing or unexpected or reshaped:
        faults = {
            "missing": [repr(key) for key in missing],
            "unexpected": [f"{key!r:.80}" for key in unexpected],
            "of another shape": [f"{key!r} is {found[key]}, not {wanted[key]}" for key in reshaped],
        }
        listed = (
            f"{len(each)} {what} ({name_some(each)})" for what, each in faults.items() if each
        )
        raise CheckpointError(
            f"{checkpoint.path.name!r} does not fit the model; of its keys, {'; '.join(listed)}.",
            hint=_mismatch_hint(wanted, found, missing, unexpected, reshaped),
        )
    for pattern in allow_extra:
        if not any(matches_any(key, [pattern]) for key in left_out):
            raise CheckpointError(
                f"No key of {checkpoint.path.name!r} that the network does not have matches "
                f"{pattern!r}.",
                hint=f"Drop --allow-extra {pattern!r}.",
            )
    _refuse_whole_numbers(model, checkpoint)
    model.load_state_dict({key: checkpoint.tensors[key] for key in wanted}, strict=True)
    return left_out


def _refuse_whole_numbers(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Refuse quantized weights, whose scales a network does not have."""
    whole = [
        key
        for key, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not checkpoint.tensors[key].is_floating_point()
    ]
    if whole:
        kinds = {str(checkpoint.tensors[key].dtype).removeprefix("torch.") for key in whole}
        raise CheckpointError(
            f"In {checkpoint.path.name!r}, {len(whole)} weights are whole numbers"
            f" ({', '.join(sorted(kinds))}): {name_some([repr(key) for key in whole])}.",
            hint="Save the weights as they are before quantization; hot-export --precision int8"
            " quantizes them.",
        )


def _mismatch_hint(
    wanted: Mapping[str, object],
    found: Mapping[str, object],
    missing: list[str],
    unexpected: list[str],
    reshaped: list[str],
) -> str:
    some = ", ".join(f"{key!r:.60}" for key in list(found)[:_SHOWN_KEYS])
    if len(missing) == len(wanted):
        return f"No key fits: these are the keys of another architecture, such as {some}."
    if 2 * sum(map(_is_hourglass, missing)) > len(missing):
        return (
            "The checkpoint has no weights of the Hourglass Tokenizer; '--recovery interpolate' "
            "needs none, nor does '--variant tpc' in a family that has it."
        )
    if any(map(_is_hourglass, unexpected)):
        return "The checkpoint has weights of the Hourglass Tokenizer: use '--variant hot'."
    if reshaped == [_RANK_EMBEDDING] and not missing and not unexpected:
        return (
            "The checkpoint is trained for another number of tokens: keep as many, or have its "
            "rank embedding resampled."
        )
    if not missing and not reshaped:
        parts = list(dict.fromkeys(key.partition(".")[0] for key in unexpected))
        patterns = " ".join(f"--allow-extra '{part}*'" for part in parts[:_SHOWN_KEYS])
        return f"If the poses do not need what is unexpected, leave it out: {patterns}"
    if missing:
        return (
            f"The file lacks weights that the network computes with; it has keys such as {some}. "
            "Save all of model.state_dict()."
        )
    return "The checkpoint is of a network of other sizes, which shapes alone do not give away."


def _is_hourglass(key: str) -> bool:
    return key in (_RANK_EMBEDDING, "x_token") or key.startswith("cross_attention.")


def random_state_dict(model: nn.Module, seed: int = DEFAULT_SEED) -> dict[str, torch.Tensor]:
    """Draw every tensor from its own key, so that a tensor does not depend on the others.

    Scales keep activations near one through any depth: fan-in for weights, near one for norms.

    Args:
        model: Provides keys and shapes.
        seed: Another seed draws other weights.

    Returns:
        A state-dict in float64.
    """
    state: dict[str, torch.Tensor] = {}
    for key, tensor in model.state_dict().items():
        digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        noise = np.asarray(generator.standard_normal(tuple(tensor.shape)))
        state[key] = torch.from_numpy(np.array(_scaled(key, noise)))
    return state


def _scaled(key: str, noise: NDArray[np.float64]) -> NDArray[np.float64]:
    if key.endswith("num_batches_tracked"):
        return np.zeros_like(noise)
    if key.endswith("running_var"):
        return np.add(1.0, 0.1 * np.abs(noise))
    if key == "spread_factor":
        return np.add(1.0, 0.1 * np.abs(noise))
    if key == "spread_head.3.bias":
        # Of a logarithm of meters, which is clipped beyond those of 1 mm and 1 m.
        return np.add(-3.5, 0.1 * noise)
    if key.endswith(".W"):
        return np.divide(noise, math.sqrt(noise.shape[1]))
    if key.endswith("weight") and noise.ndim >= 2:
        return np.divide(noise, math.sqrt(math.prod(noise.shape[1:])))
    if key.endswith("weight"):
        return 1.0 + 0.1 * noise
    return 0.1 * noise

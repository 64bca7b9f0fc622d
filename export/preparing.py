"""The first step of an export: the weights are read and the architecture is settled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hot_sdk.export.checkpoints import read_checkpoint
from hot_sdk.export.fit import fit
from hot_sdk.export.models import ModelSpec, build, infer_shape
from hot_sdk.export.random_weights import random_state_dict
from hot_sdk.export.request import ExportRequest, default_name, resolve_request
from hot_sdk.export.state_dict import (
    first_times,
    load_strict,
    resample_rank_embedding,
    without_hourglass,
)
from hot_sdk.export.training_record import TrainingRecord
from hot_sdk.export.triton_options import check_models
from hot_sdk.files import require_writable_target
from hot_sdk.manifest import Weights
from hot_sdk.starter import starter_checkpoint


@dataclass(frozen=True)
class Prepared:
    """What will be exported.

    Attributes:
        spec: The architecture.
        state: Its weights, float32.
        weights: Where they come from.
        target: The file to write.
        training: What the checkpoint says of its training; None where it says nothing.
    """

    spec: ModelSpec
    state: dict[str, Tensor]
    weights: Weights
    target: Path
    training: TrainingRecord | None = None


def prepare(request: ExportRequest) -> Prepared:
    """Read the weights and settle the architecture.

    Args:
        request: Already checked; see :func:`hot_sdk.export.request.check_request`.

    Raises:
        CheckpointError: The checkpoint cannot be read, or does not fit what is asked for.
        UsageError: What is asked for does not hold together, or its file cannot be written.
    """
    training = None
    if request.random_weights:
        spec = resolve_request(request)
        network = build(spec)
        network.load_state_dict(random_state_dict(network))
        weights = Weights(random=True, file=None, sha256=None, resampled_from=None)
    else:
        checkpoint = read_checkpoint(request.checkpoint or starter_checkpoint())
        training = checkpoint.training
        shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
        found = infer_shape(request.model, shapes)
        spec = fit(request, found, training)
        resampled = None
        if request.resample_tokens and spec.stages and spec.stages[0].tokens != found.tokens:
            resampled = found.tokens
            checkpoint = checkpoint.with_tensors(
                resample_rank_embedding(checkpoint.tensors, spec.stages[0].tokens)
            )
        if found.time_embedding is not None:
            checkpoint = checkpoint.with_tensors(
                first_times(checkpoint.tensors, found.time_embedding, spec.frames)
            )
        if found.elastic and not spec.elastic:
            checkpoint = checkpoint.with_tensors(without_hourglass(checkpoint.tensors))
        network = build(spec)
        load_strict(network, checkpoint)
        weights = Weights(
            random=False,
            file=checkpoint.path.name,
            sha256=checkpoint.sha256,
            resampled_from=resampled,
            credit=None if training is None else training.credit,
            limits=None if training is None else training.limits,
        )
    target = request.output or Path(default_name(spec, request))
    require_writable_target(target)
    if request.triton is not None:
        check_models(request.triton, target)
    return Prepared(spec, dict(network.state_dict()), weights, target, training)

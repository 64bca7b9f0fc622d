"""What an exported file says about itself."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from hot_sdk.export.flops import count_network, count_parameters
from hot_sdk.export.models import family
from hot_sdk.export.options import Precision
from hot_sdk.export.preparing import Prepared
from hot_sdk.export.request import ExportRequest
from hot_sdk.export.verify import WindowResult
from hot_sdk.manifest import (
    SCHEMA,
    Flops,
    Joints,
    Manifest,
    Parity,
    Quantisation,
    Stage,
    Versions,
)
from hot_sdk.version import __version__


def parity_of(engine: str, results: list[WindowResult]) -> Parity:
    """The figures of a verification, over all its windows."""
    shared = [result.frames_shared for result in results if result.frames_shared is not None]
    return Parity(
        engine=engine,
        clips=len(results),
        max_difference=max(result.max_difference for result in results),
        mean_joint_error=float(np.mean([result.mean_joint_error for result in results])),
        max_joint_error=max(result.max_joint_error for result in results),
        frames_shared=float(np.mean(shared)) if shared else None,
    )


def make_manifest(
    prepared: Prepared,
    request: ExportRequest,
    executed: int,
    parity: Parity,
    *,
    opset: int | None,
    quantisation: Quantisation | None = None,
) -> Manifest:
    """What a file says about itself.

    Args:
        prepared: What is exported.
        request: As it was asked for.
        executed: Operations of the matrix products of one window in this file.
        parity: Of its verification.
        opset: Of an ONNX file.
        quantisation: What is in int8; None where nothing is.
    """
    spec = prepared.spec
    entry = family(spec.family)
    flops = count_network(spec)
    skeleton = entry.skeleton
    training = prepared.training
    return Manifest(
        schema=SCHEMA,
        family=spec.family,
        variant=spec.variant.value,
        paper=entry.paper,
        licence=entry.licence if training is None else training.licence,
        frames=spec.frames,
        output_frames=spec.output_frames,
        ratio=spec.ratio,
        tokens=spec.tokens,
        stages=tuple(
            Stage(stage.prune_at, stage.tokens, stage.selector.value) for stage in spec.stages
        ),
        recovery=None if spec.recovery is None else spec.recovery.value,
        channels=spec.size.channels,
        batch=request.batch,
        flip=request.flip,
        token_index=request.token_index and spec.tokens is not None,
        joints=Joints(
            skeleton=skeleton.name,
            names=skeleton.joints,
            parents=skeleton.parents,
            flip_pairs=tuple(zip(skeleton.left, skeleton.right, strict=True)),
        ),
        normalisation=entry.normalisation.value,
        unit=entry.unit.value,
        axes=entry.axes,
        training_fps=entry.training_fps if training is None else training.fps,
        precision=Precision(request.precision).value,
        opset=opset,
        parameters=count_parameters(spec),
        weights=prepared.weights,
        versions=Versions(sdk=__version__, torch=torch.__version__, onnx=onnx.__version__),
        flops=Flops(papers=flops.papers, products=flops.products, executed=executed),
        parity=parity,
        quantisation=quantisation,
    )

"""The files of a family that was named instead of a file, exported where they are missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hot_sdk.benchmarks.speed.assignment import Network
from hot_sdk.errors import HotSDKError
from hot_sdk.manifest import Stage, read_manifest
from hot_sdk.version import __version__

if TYPE_CHECKING:
    from hot_sdk.benchmarks.speed.asked import Asked
    from hot_sdk.export import ExportRequest
    from hot_sdk.export.preparing import Prepared

FP32 = "fp32"


def exported(
    asked: Asked, name: str, progress: Callable[[str], None]
) -> list[tuple[Path, Network]]:
    """Files of a family, one for each ratio and precision, made in the folder where they miss.

    Args:
        asked: What was asked for.
        name: The family.
        progress: Is told what is exported.

    Returns:
        Each file, and the network that it is of.

    Raises:
        HotSDKError: The weights do not fit, or an export fails.
    """
    from hot_sdk.export import export_model
    from hot_sdk.export.preparing import prepare
    from hot_sdk.export.request import check_request

    files = []
    for ratio in asked.ratios or (None,):
        for precision in asked.precisions or (FP32,):
            request = _request(asked, name, ratio, precision)
            check_request(request)
            prepared = prepare(request)
            target = asked.folder / prepared.target.name
            if not _is_of(target, prepared, request.batch, precision):
                progress(f"exporting {target.name}")
                export_model(dataclasses.replace(request, output=target))
            network = Network(
                family=name,
                ratio=ratio,
                checkpoint=None if asked.checkpoint is None else str(asked.checkpoint.resolve()),
                random_weights=asked.random_weights,
                frames=asked.frames,
                batch=asked.batch or 1,
            )
            files.append((target, network))
    return files


def _request(asked: Asked, name: str, ratio: float | None, precision: str) -> ExportRequest:
    from hot_sdk.export import ExportRequest

    return ExportRequest(
        model=name,
        checkpoint=asked.checkpoint,
        random_weights=asked.random_weights,
        ratio=ratio,
        frames=asked.frames,
        batch=asked.batch or 1,
        precision=precision,
    )


def _is_of(target: Path, prepared: Prepared, batch: int | None, precision: str) -> bool:
    """Whether a file is there that this SDK exported from the same weights in the same way."""
    if not target.is_file():
        return False
    try:
        there = read_manifest(target)
    except HotSDKError:
        return False
    spec = prepared.spec
    stages = tuple(Stage(one.prune_at, one.tokens, one.selector.value) for one in spec.stages)
    return (
        there.weights == prepared.weights
        and there.family == spec.family
        and there.variant == spec.variant.value
        and there.frames == spec.frames
        and there.recovery == (None if spec.recovery is None else spec.recovery.value)
        and there.stages == stages
        and there.precision == precision
        and there.batch == batch
        and not there.flip
        and there.versions.sdk == __version__
    )

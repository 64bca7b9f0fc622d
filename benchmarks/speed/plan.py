"""From what was asked for to the configurations that are measured; families are exported first.

The files of a family that was named instead of a file, exported where they are missing.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hot_sdk._base.files import sha256_of
from hot_sdk.benchmarks.speed.messages import Network
from hot_sdk.benchmarks.speed.options import Asked, is_file_name
from hot_sdk.engines import AUTO, list_engines
from hot_sdk.engines.registry import default_engine, format_of
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.manifest import Manifest, read_manifest
from hot_sdk.version import __version__

if TYPE_CHECKING:
    from hot_sdk.export import ExportRequest
    from hot_sdk.export.pipeline import Prepared

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
    from hot_sdk.export.options import check_request
    from hot_sdk.export.pipeline import prepare

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
    return (
        there.weights == prepared.weights
        and there.family == spec.family
        and there.variant == spec.variant.value
        and there.frames == spec.frames
        and there.recovery == (None if spec.recovery is None else spec.recovery.value)
        and there.stages == spec.stages
        and there.precision == precision
        and there.batch == batch
        and not there.flip
        and there.versions.sdk == __version__
    )


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Configuration:
    """One thing to measure.

    Attributes:
        name: Short, unique.
        model: The file, absolute; None for a baseline.
        manifest: Of the file; for a baseline, that of the exported file of the same network.
        sha256: Of the file; None for a baseline.
        baseline: One of ``BASELINES``; None for a file.
        network: Of a baseline; None for a file.
        engine: Name of the engine, or what the baseline runs in.
        device: As of ``SessionOptions``.
        threads: CPU threads.
        batch: Windows in one call.
    """

    name: str
    model: Path | None
    manifest: Manifest
    sha256: str | None
    baseline: str | None
    network: Network | None
    engine: str
    device: str
    threads: int | None
    batch: int


def plan_configurations(
    asked: Asked, progress: Callable[[str], None] = _LOG.info
) -> tuple[Configuration, ...]:
    """Every combination, exported where a family was named; the reference comes first.

    Args:
        asked: Already checked; see ``check_asked``.
        progress: Is told what begins.

    Raises:
        HotSDKError: A file cannot be read, no engine that was asked for opens it, or an export
            fails.
    """
    found: list[Configuration] = []
    for name in asked.models:
        files: Sequence[tuple[Path, Network | None]] = [(Path(name), None)]
        if not is_file_name(name):
            files = exported(asked, name, progress)
        for path, network in files:
            manifest, digest = read_manifest(path), sha256_of(path)
            batch = asked.batch or manifest.batch or 1
            if network is not None:
                network = dataclasses.replace(network, batch=batch)
                for baseline, device in itertools.product(asked.baselines, asked.devices):
                    found.append(_baseline(asked, baseline, device, manifest, network))
            for engine, device in itertools.product(_engines(asked, path), asked.devices):
                found.append(
                    Configuration(
                        name=path.stem,
                        model=path.resolve(),
                        manifest=manifest,
                        sha256=digest,
                        baseline=None,
                        network=None,
                        engine=engine,
                        device=device,
                        threads=asked.threads,
                        batch=batch,
                    )
                )
    return _with_unique_names(_without_repeats(found))


def _engines(asked: Asked, model: Path) -> tuple[str, ...]:
    """Of the engines that were asked for, those that open the file.

    Raises:
        UsageError: There is none.
    """
    if not asked.engines:
        return (default_engine(model),)
    opens = (AUTO, *list_engines(opens=format_of(model)))
    engines = tuple(engine for engine in asked.engines if engine in opens)
    if not engines:
        raise UsageError(
            f"None of the engines {', '.join(asked.engines)} opens '{model.name}'.",
            hint=f"Known for this file: {', '.join(opens)}.",
        )
    return engines


def _baseline(
    asked: Asked, baseline: str, device: str, manifest: Manifest, network: Network
) -> Configuration:
    ratio = f"_r{manifest.ratio:.2f}" if manifest.tokens is not None else ""
    return Configuration(
        name=f"{manifest.family}{ratio} {baseline}",
        model=None,
        manifest=manifest,
        sha256=None,
        baseline=baseline,
        network=network,
        engine="onnxruntime" if baseline == "torch-onnx" else "torch",
        device=device,
        threads=asked.threads,
        batch=network.batch,
    )


def _same(one: Configuration, other: Configuration) -> bool:
    """Whether the same runs; a network exported in several precisions has one baseline."""
    if one.baseline is None:
        return one == other
    return (one.baseline, one.device, one.network) == (other.baseline, other.device, other.network)


def _without_repeats(found: Sequence[Configuration]) -> list[Configuration]:
    """What is named twice is measured once."""
    kept: list[Configuration] = []
    for one in found:
        if not any(_same(one, other) for other in kept):
            kept.append(one)
    return kept


def _with_unique_names(found: Sequence[Configuration]) -> tuple[Configuration, ...]:
    """Add to the names what tells the configurations apart, and no more."""
    named = list(found)
    for tell_apart in (_engine, _device, _folder):
        counts = Counter(one.name for one in named)
        if len({tell_apart(one) for one in named}) > 1:
            named = [
                dataclasses.replace(one, name=f"{one.name} {tell_apart(one)}".strip())
                if counts[one.name] > 1
                else one
                for one in named
            ]
    seen: Counter[str] = Counter()
    unique = []
    for one in named:
        seen[one.name] += 1
        number = f" #{seen[one.name]}" if seen[one.name] > 1 else ""
        unique.append(dataclasses.replace(one, name=f"{one.name}{number}"))
    return tuple(unique)


def _engine(one: Configuration) -> str:
    return one.engine if one.baseline is None else ""


def _device(one: Configuration) -> str:
    return one.device


def _folder(one: Configuration) -> str:
    return "" if one.model is None else one.model.parent.name

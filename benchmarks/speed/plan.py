"""Turn the options into configurations to measure; families are exported first."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hot_sdk._base.files import sha256_of
from hot_sdk._base.progress import Progress
from hot_sdk.benchmarks.speed.messages import NetworkOptions, WorkerTask
from hot_sdk.benchmarks.speed.options import BenchmarkOptions, is_file_name
from hot_sdk.engines import AUTO, default_engine, list_engines
from hot_sdk.engines.registry import model_format
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.manifest import Manifest, read_manifest
from hot_sdk.version import __version__

if TYPE_CHECKING:
    from hot_sdk.export import ExportRequest
    from hot_sdk.export.pipeline import Prepared


@dataclass(frozen=True)
class Configuration:
    """One thing to measure.

    Attributes:
        name: Short name, unique in a run.
        manifest: Manifest of the file; for a baseline, of the exported file of the same network.
        sha256: Digest of the file; None for a baseline.
        task: What a child process opens.
    """

    name: str
    manifest: Manifest
    sha256: str | None
    task: WorkerTask

    @property
    def is_baseline(self) -> bool:
        """Whether the network runs in PyTorch, or as a plain export, instead of from a file."""
        return self.task.baseline is not None


def plan_configurations(options: BenchmarkOptions, progress: Progress) -> tuple[Configuration, ...]:
    """Return every combination of the options, the reference first.

    Args:
        options: Options that ``check_options`` has accepted.
        progress: Shows what is exported.

    Raises:
        HotSDKError: A file cannot be read, no requested engine opens it, or an export fails.
    """
    found: list[Configuration] = []
    against = () if options.against is None else (options.against,)
    for model in (*against, *options.models):
        files: Sequence[tuple[Path, NetworkOptions | None]] = [(Path(model), None)]
        if not is_file_name(model):
            files = _export_family(options, model, progress)
        for path, network in files:
            for one in _of_file(options, path, network):
                if not any(_runs_the_same(one, other) for other in found):
                    found.append(one)
    return _with_unique_names(found)


def _export_family(
    options: BenchmarkOptions, family: str, progress: Progress
) -> list[tuple[Path, NetworkOptions]]:
    """Return a file for each ratio and precision, exported unless the folder holds it already."""
    from hot_sdk.export.api import export_model, require_export_packages

    require_export_packages()
    from hot_sdk.export.options import check_request
    from hot_sdk.export.pipeline import prepare

    files = []
    checkpoint = options.checkpoint
    for ratio, precision in itertools.product(
        options.ratios or (None,), options.precisions or ("fp32",)
    ):
        network = NetworkOptions(
            family=family,
            ratio=ratio,
            checkpoint=None if checkpoint is None else str(checkpoint.resolve()),
            random_weights=options.random_weights,
            frames=options.frames,
            trained_on=options.trained_on,
            root_relative=options.root_relative,
        )
        request = network.export_request(options.batch or 1, precision)
        check_request(request)
        prepared = prepare(request)
        target = options.folder / prepared.target.name
        if not _holds_export(target, prepared, request):
            progress.update(0.0, task=f"exporting {target.name}")
            export_model(dataclasses.replace(request, output=target))
        files.append((target, network))
    return files


def _holds_export(target: Path, prepared: Prepared, request: ExportRequest) -> bool:
    """Return True if this SDK exported the file from the same weights in the same way."""
    if not target.is_file():
        return False
    try:
        manifest = read_manifest(target)
    except HotSDKError:
        return False
    spec = prepared.spec
    return (
        manifest.weights == prepared.weights
        and manifest.family == spec.family
        and manifest.variant == spec.variant.value
        and manifest.frames == spec.frames
        and manifest.recovery == (None if spec.recovery is None else spec.recovery.value)
        and manifest.stages == spec.stages
        and manifest.joints.skeleton == spec.joint_order
        and manifest.root_relative == spec.root_relative
        and manifest.precision == request.precision
        and manifest.batch == request.batch
        and not manifest.flip
        and manifest.versions.sdk == __version__
    )


def _of_file(
    options: BenchmarkOptions, path: Path, network: NetworkOptions | None
) -> Iterator[Configuration]:
    """Yield the baselines of a file's network, then the file in each engine, on each device."""
    manifest, digest = read_manifest(path), sha256_of(path)
    file = WorkerTask(
        model=str(path.resolve()),
        baseline=None,
        network=None,
        engine="",
        device="",
        threads=options.threads,
        cache_dir=None if options.cache_dir is None else str(options.cache_dir),
        batch=options.batch or manifest.batch or 1,
        measures=options.measures,
        hop=options.hops[0],
        lookahead=options.lookaheads[0],
        people=options.people,
        largest_batch=options.largest_batch,
    )
    if network is not None:
        # As in the file's name, which has the requested ratio.
        kept = manifest.ratio if network.ratio is None else network.ratio
        ratio = f"_r{kept:.2f}" if manifest.tokens is not None else ""
        for baseline, device in itertools.product(options.baselines, options.devices):
            task = dataclasses.replace(
                file,
                model=None,
                baseline=baseline,
                network=network,
                engine="onnxruntime" if baseline == "torch-onnx" else "torch",
                device=device,
            )
            yield Configuration(f"{manifest.family}{ratio} {baseline}", manifest, None, task)
    for engine, device in itertools.product(_engines(options, path), options.devices):
        task = dataclasses.replace(file, engine=engine, device=device)
        yield Configuration(path.stem, manifest, digest, task)
        if "stream" in options.measures and has_stream_options(manifest):
            # All else about it is the same.
            only = dataclasses.replace(task, measures=("stream",))
            for hop, lookahead in _further(options):
                stream = dataclasses.replace(only, hop=hop, lookahead=lookahead)
                yield Configuration(path.stem, manifest, digest, stream)


def has_stream_options(manifest: Manifest) -> bool:
    """Return whether a stream of a network may have another hop and another lookahead.

    Networks that return the center of a window, that lift single frames, or that remember what
    they saw have the one stream that they have.
    """
    return manifest.output_frames == manifest.frames > 1


def _further(options: BenchmarkOptions) -> Iterator[tuple[int, int]]:
    """Yield hop and lookahead of every stream but the first, whose windows are measured, too."""
    first = (options.hops[0], options.lookaheads[0])
    return (both for both in itertools.product(options.hops, options.lookaheads) if both != first)


def _engines(options: BenchmarkOptions, model: Path) -> tuple[str, ...]:
    """Return the requested engines that open the file, or its default engine.

    Raises:
        UsageError: None of them opens it.
    """
    if not options.engines:
        return (default_engine(model),)
    known = (AUTO, *list_engines(opens=model_format(model)))
    engines = tuple(engine for engine in options.engines if engine in known)
    if not engines:
        raise UsageError(
            f"None of the engines {', '.join(options.engines)} opens '{model.name}'.",
            hint=f"Known for this file: {', '.join(known)}.",
        )
    return engines


def _runs_the_same(one: Configuration, other: Configuration) -> bool:
    """Return True if the tasks are equal; a network in several precisions has one baseline."""
    if one.is_baseline:
        return one.task == other.task
    return one == other


def _with_unique_names(found: Sequence[Configuration]) -> tuple[Configuration, ...]:
    """Add to the names what distinguishes the configurations, and no more."""
    names = [one.name for one in found]
    for parts in (
        ["" if one.is_baseline else one.task.engine for one in found],
        [one.task.device for one in found],
        ["" if one.is_baseline else one.task.file.parent.name for one in found],
        ["" if one.is_baseline else f"hop {one.task.hop}" for one in found],
        ["" if one.is_baseline else f"lookahead {one.task.lookahead}" for one in found],
    ):
        counts = Counter(names)
        if len(set(parts)) > 1:
            names = [
                f"{name} {part}".strip() if counts[name] > 1 else name
                for name, part in zip(names, parts, strict=True)
            ]
    seen: Counter[str] = Counter()
    unique = []
    for one, name in zip(found, names, strict=True):
        seen[name] += 1
        number = f" #{seen[name]}" if seen[name] > 1 else ""
        unique.append(dataclasses.replace(one, name=f"{name}{number}"))
    return tuple(unique)

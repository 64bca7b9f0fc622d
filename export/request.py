"""What is asked of an export, checked as far as it can be before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.errors import UsageError
from hot_sdk.export.models.registry import family
from hot_sdk.export.models.spec import ModelSpec, check_choices, published_size, resolve
from hot_sdk.export.models.stages import OneOrMore, Selectors
from hot_sdk.export.options import RecoveryKind, Variant
from hot_sdk.files import require_writable_target
from hot_sdk.starter import FAMILY
from hot_sdk.suggest import closest

OPSETS = (17, 18, 19, 20)
DEFAULT_OPSET = 20
MOST_WINDOWS = 1024
ENGINES = (DEFAULT_ENGINE, "tensorrt")


@dataclass(frozen=True)
class ExportRequest:
    """One export.

    Attributes:
        model: Family.
        checkpoint: Trained weights; None is the starter's, of the one family that has them.
        random_weights: Use reproducible random weights instead, marked as such in the file.
        variant: ``plain``, ``hot`` or ``tpc``; None, here and below, is what the checkpoint tells,
            else the family's published value.
        size: One of the family's published sizes.
        frames: Frames of a window.
        ratio: Frames kept over frames. Here, and in the three below, one value for each stage where
            frames are pruned in several.
        tokens: Frames kept, instead of a ratio.
        prune_at: Block before which frames are pruned, counted from 0.
        selector: How frames are chosen.
        recovery: How frames come back.
        config: Settings of the network other than published, such as ``{"heads": 4}``.
        batch: Windows in one run; None leaves it symbolic.
        opset: 17 to 20. 20 has GELU as one operator; 17 is what TensorRT 8.6 reads.
        flip: Average with the mirror image inside the graph.
        token_index: Make the kept frames an output.
        resample_tokens: Resample a checkpoint's rank embedding to the tokens asked for.
        output: File to write; None is a name in the working directory that tells what it is.
        keep_failed: Keep a file that fails verification, under another name.
        engine: ``tensorrt`` also builds the file's engine on this device, and verifies it there.
        cache_dir: Where that engine is kept for later sessions.
    """

    model: str
    checkpoint: Path | None = None
    random_weights: bool = False
    variant: Variant | str | None = None
    size: str | None = None
    frames: int | None = None
    ratio: OneOrMore[float] | None = None
    tokens: OneOrMore[int] | None = None
    prune_at: OneOrMore[int] | None = None
    selector: Selectors | None = None
    recovery: RecoveryKind | str | None = None
    config: dict[str, int] = field(default_factory=dict)
    batch: int | None = 1
    opset: int = DEFAULT_OPSET
    flip: bool = False
    token_index: bool = False
    resample_tokens: bool = False
    output: Path | None = None
    keep_failed: bool = False
    engine: str = DEFAULT_ENGINE
    cache_dir: Path | None = None


def check_request(request: ExportRequest) -> None:
    """Check everything that needs neither torch nor the checkpoint's content.

    Raises:
        UsageError: A value is unknown or out of range, two contradict each other, or a file is not
            where it was said to be.
    """
    known = family(request.model)
    published_size(known, request.size)
    shipped = request.model == FAMILY
    if request.checkpoint is None and not request.random_weights and not shipped:
        raise UsageError(
            f"No weights were given, and no trained default exists for {known.title}.",
            hint="Give --checkpoint FILE, or --random-weights to measure speed with poses that "
            "mean nothing.",
        )
    if request.checkpoint is not None and request.random_weights:
        raise UsageError(
            "Both a checkpoint and random weights were asked for.", hint="Give one of them."
        )
    if request.checkpoint is not None and not request.checkpoint.is_file():
        raise UsageError(
            f"There is no checkpoint '{request.checkpoint}'.", hint="Check the path of the file."
        )
    if request.resample_tokens and request.random_weights:
        raise UsageError(
            "There is no checkpoint whose tokens could be resampled.",
            hint="Drop --resample-tokens, or give --checkpoint FILE.",
        )
    if request.opset not in OPSETS:
        raise UsageError(
            f"opset is {request.opset}, which is outside {OPSETS[0]} to {OPSETS[-1]}.",
            hint=f"Use {DEFAULT_OPSET}, or 17 for TensorRT 8.6.",
        )
    if request.batch is not None and not 1 <= request.batch <= MOST_WINDOWS:
        raise UsageError(
            f"batch is {request.batch}, which is outside 1 to {MOST_WINDOWS}.",
            hint="Use a positive number, or 'dynamic'.",
        )
    if request.engine not in ENGINES:
        raise UsageError(
            f"Files are not verified in the engine {request.engine!r}.",
            hint=closest(str(request.engine), ENGINES),
        )
    if (request.engine == DEFAULT_ENGINE) != (request.cache_dir is None):
        raise UsageError(
            "--cache-dir and --engine tensorrt go together: the engine that is built stays there.",
            hint="Give both or neither, as in: --engine tensorrt --cache-dir engines",
        )
    if request.random_weights:
        resolve_request(request)
    else:
        # What is left out comes from the checkpoint, so the rest can only be judged with it.
        check_choices(
            request.ratio, request.tokens, request.variant, request.selector, request.recovery
        )
    if request.output is not None:
        require_writable_target(request.output)


def resolve_request(request: ExportRequest, *, elastic: bool = False) -> ModelSpec:
    """The architecture that a request describes; see :func:`hot_sdk.export.models.resolve`."""
    return resolve(
        request.model,
        size=request.size,
        frames=request.frames,
        ratio=request.ratio,
        tokens=request.tokens,
        prune_at=request.prune_at,
        variant=request.variant,
        selector=request.selector,
        recovery=request.recovery,
        elastic=elastic,
        **request.config,
    )


def default_name(spec: ModelSpec, request: ExportRequest) -> str:
    """A file name that tells what the file is, as in ``mixste_t243_r0.50.onnx``."""
    parts = [spec.family]
    if spec.variant is Variant.TPC:
        parts.append(spec.variant.value)
    parts.append(f"t{spec.frames}")
    if not family(spec.family).single_frame:
        ratios = [stage.tokens / spec.frames for stage in spec.stages] or [1.0]
        parts.append("r" + "-".join(f"{ratio:.2f}" for ratio in ratios))
    if request.flip:
        parts.append("flip")
    if request.batch != 1:
        parts.append("batch" if request.batch is None else f"b{request.batch}")
    return "_".join(parts) + ".onnx"

"""Options of an export, checked as far as possible before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from hot_sdk._base.files import require_new_target, require_writable_target
from hot_sdk._base.validation import closest
from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.errors import UsageError
from hot_sdk.export.checkpoint_file import find_checkpoint
from hot_sdk.export.enums import DATA_SETS, Precision, RecoveryKind, Variant
from hot_sdk.export.models.families import Family, Normalization, Unit
from hot_sdk.export.models.live_settings import live_settings
from hot_sdk.export.models.registry import family, list_models
from hot_sdk.export.models.spec import (
    ModelOptions,
    ModelSpec,
    OneOrMore,
    Selectors,
    check_choices,
    published_size,
    resolve,
)
from hot_sdk.export.triton.options import TritonOptions, check_folder, check_models
from hot_sdk.starter import FAMILY
from hot_sdk.step_memory import StepMemory

TENSORRT, TORCH = "tensorrt", "torch"
ENGINES = (DEFAULT_ENGINE, TENSORRT, TORCH)
"""The engines that files are made for; other engines of ONNX files open the first's."""

OPSETS = (17, 18, 19, 20)
DEFAULT_OPSET = 20
MOST_WINDOWS = 1024

PREDICTED_UNITS = ("m", "mm")
"""What networks that are published in meters may have been trained on."""

_MODEL_OPTIONS = (
    "size",
    "frames",
    "ratio",
    "tokens",
    "prune_at",
    "variant",
    "selector",
    "recovery",
    "lookahead",
    "memory",
)
"""Fields of ``ExportRequest`` that are model options of the same name."""


@dataclass(frozen=True)
class ExportRequest:
    """Options of an export.

    The options from ``variant`` to ``memory`` are those of
    :class:`hot_sdk.export.models.spec.ModelOptions`; None means the checkpoint's value, or the
    family's published one if the checkpoint does not encode it.

    Attributes:
        model: Name of the family.
        checkpoint: Trained weights, a file or a folder with one; None for the starter's, in the one
            family that has them.
        weights: Which of a checkpoint's several sets of weights to take: the name of its
            dictionary in the file, or the prefix of its keys.
        allow_extra: Shell patterns of a checkpoint's keys that are left out if the network does not
            have them, such as those of another head. A key that the network has is never left out.
        trained_on: Data set that the checkpoint was trained on, ``h36m`` or ``mpi-inf-3dhp``, which
            decides the order of joints. None is refused if the family is published for both and
            the checkpoint does not say for which it is.
        root_relative: The checkpoint predicts joints relative to the root; if not, the exported
            function subtracts the root. None is refused in families that have networks of both
            kinds.
        predicts: Unit of the checkpoint's own output in families that return meters: ``m``, or
            ``mm`` for one that was trained on millimeters, as with P-STMO's files of MPI-INF-3DHP;
            the exported function converts them.
        random_weights: Use reproducible random weights instead, marked as such in the file.
        variant: ``plain``, ``hot``, ``tpc`` or ``live``.
        size: One of the family's published sizes.
        frames: Frames of a window.
        ratio: Frames kept over frames. Like the three below, one value, or one for each stage of
            pruning.
        tokens: Frames kept, instead of a ratio.
        prune_at: Block before which frames are pruned, counted from 0.
        selector: How frames are chosen.
        recovery: How frames come back.
        lookahead: Frames that a pose of a live network waits for.
        memory: Earlier frames that it remembers, as in ``48`` or ``16+12x5``.
        config: Settings of the network other than published, such as ``{"heads": 4}``.
        batch: Windows per run; None leaves the batch symbolic.
        opset: 17 to 20. 20 has GELU as one operator; 17 is what TensorRT 8.6 reads.
        flip: Average with the mirror image inside the graph.
        token_index: Make the kept frames an output. They always are one if no frames are recovered
            (``tpc``): without them it is unknown whose poses the file returns.
        precision: ``fp32``, ``fp16``, ``int8``, ``int8-dynamic`` or ``int8+fp16``.
        calibration: Keypoint files for the scales of int8; if empty, real clips that ship.
        keep_float: Modules or blocks that are not quantized, as shell patterns.
        sensitivity: Measure what quantizing each block costs and gains.
        timing: Time a reduced precision against float32 on this machine.
        resample_tokens: Resample a checkpoint's rank embedding to the requested number of tokens.
        normalization: How keypoints become the input: None for the way of the training, or one of
            the family's others. The runtime reads it from the manifest.
        output: File to write; None for a descriptive name in the working directory.
        force: Replace a file of that name, if there is one.
        keep_failed: Keep a file that fails verification, under another name.
        triton: Write a model repository for Triton Inference Server, too.
        engine: The engine that the file is made for: ``onnxruntime``, which includes every engine
            that opens ONNX; ``tensorrt``, which also builds the file's plan on this device and
            verifies it there; or ``torch``, weights in safetensors.
        cache_dir: Folder in which that plan is kept for later sessions.
    """

    model: str
    checkpoint: Path | None = None
    weights: str | None = None
    allow_extra: tuple[str, ...] = ()
    trained_on: str | None = None
    root_relative: bool | None = None
    predicts: str | None = None
    random_weights: bool = False
    variant: Variant | str | None = None
    size: str | None = None
    frames: int | None = None
    ratio: OneOrMore[float] | None = None
    tokens: OneOrMore[int] | None = None
    prune_at: OneOrMore[int] | None = None
    selector: Selectors | None = None
    recovery: RecoveryKind | str | None = None
    lookahead: int | None = None
    memory: StepMemory | str | None = None
    config: dict[str, int] = field(default_factory=dict)
    batch: int | None = 1
    opset: int = DEFAULT_OPSET
    flip: bool = False
    token_index: bool = False
    precision: Precision | str = Precision.FP32
    calibration: tuple[Path, ...] = ()
    keep_float: tuple[str, ...] = ()
    sensitivity: bool = False
    timing: bool = True
    resample_tokens: bool = False
    normalization: Normalization | str | None = None
    output: Path | None = None
    force: bool = False
    keep_failed: bool = False
    triton: TritonOptions | None = None
    engine: str = DEFAULT_ENGINE
    cache_dir: Path | None = None

    def model_options(self) -> ModelOptions:
        """Return the options that concern the network."""
        chosen = {name: getattr(self, name) for name in _MODEL_OPTIONS}
        return cast(ModelOptions, {**self.config, **chosen})


def resolve_request(request: ExportRequest, *, elastic: bool = False) -> ModelSpec:
    """Resolve the architecture that a request describes; see :func:`hot_sdk.export.models.resolve`.

    Args:
        request: The request.
        elastic: Recover with attention that serves any number of tokens.

    Raises:
        UsageError: An option is unknown, out of range or contradicts another.
    """
    if request.variant == Variant.LIVE:
        # Again, for a checkpoint that says by itself that it is live.
        _check_live(request, family(request.model))
    options = request.model_options()
    options["elastic"] = elastic
    return resolve(request.model, **options)


def returns_token_index(spec: ModelSpec, request: ExportRequest) -> bool:
    """Return True if the file has the output ``token_index``.

    Args:
        spec: The resolved architecture.
        request: The request.
    """
    return bool(spec.stages) and (request.token_index or spec.recovery is None)


def check_request(request: ExportRequest) -> None:
    """Check everything that needs neither torch nor the checkpoint's content.

    Raises:
        UsageError: An option is unknown or out of range, two contradict each other, or a file does
            not exist.
        CheckpointError: The checkpoint is a folder that does not hold one file.
    """
    known = family(request.model)
    published_size(known, request.size)
    if request.engine not in ENGINES:
        raise UsageError(
            f"No files are made for the engine {request.engine!r}.",
            hint=closest(str(request.engine), ENGINES),
        )
    _check_weights(request, known.title)
    if request.trained_on not in (None, *DATA_SETS):
        raise UsageError(
            f"Networks trained on {request.trained_on!r} are not known.",
            hint=closest(str(request.trained_on), DATA_SETS),
        )
    if request.predicts is not None and (
        known.unit is not Unit.METER or request.predicts not in PREDICTED_UNITS
    ):
        raise UsageError(
            f"{known.title} returns {known.unit.value}, and --predicts is {request.predicts!r}.",
            hint="Drop --predicts; it says whether a network that is published in meters predicts"
            f" {' or '.join(PREDICTED_UNITS)}.",
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
    if (request.engine == TENSORRT) != (request.cache_dir is not None):
        raise UsageError(
            "--cache-dir and --engine tensorrt require each other: the plan that is built stays"
            " in the cache.",
            hint="Give both or neither, as in: --engine tensorrt --cache-dir engines",
        )
    _check_normalization(request, known)
    if request.variant == Variant.LIVE:
        _check_live(request, known)
    _check_precision(request)
    for name in _MODEL_OPTIONS:
        if name in request.config:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{name!r} is not a setting of the network.", hint=f"Use {flag}.")
    if request.random_weights:
        resolve_request(request)
    else:
        # Missing options come from the checkpoint, so that the rest can only be checked with it.
        check_choices(request.model_options())
    if request.output is not None:
        require_writable_target(request.output)
        if not request.force:
            require_new_target(request.output)
    if request.triton is not None:
        if request.engine == TORCH:
            raise UsageError(
                "Triton serves ONNX files, but a file for PyTorch was requested.",
                hint="Drop --engine torch, or --triton.",
            )
        check_folder(request.triton)
        if request.output is not None:
            check_models(request.triton, request.output)


def _check_live(request: ExportRequest, known: Family) -> None:
    """Check what a live network cannot be combined with."""
    if known.live is None:
        having = [name for name in list_models() if family(name).live is not None]
        raise UsageError(
            f"{known.title} has no variant 'live'.",
            hint=f"Give --model {' or '.join(having)}.",
        )
    for flag, given, why in (
        (
            "--flip",
            request.flip,
            "flip=True of Pose3DEngine remembers the mirror image outside of it",
        ),
        ("--token-index", request.token_index, "it prunes no frames"),
        ("--resample-tokens", request.resample_tokens, "it prunes no frames"),
        ("--engine torch", request.engine == TORCH, "PyTorch's files keep no memory"),
        (
            "--triton",
            request.triton is not None,
            "Triton would send what it remembers over the network, both ways, for each frame",
        ),
    ):
        if given:
            raise UsageError(
                f"{flag} was given, but a live network does not have it: {why}.",
                hint=f"Drop {flag}, or --variant live.",
            )
    if request.memory is not None or request.lookahead is not None:
        live_settings(known.live, request.lookahead, request.memory)


def _check_weights(request: ExportRequest, title: str) -> None:
    if request.random_weights:
        if request.checkpoint is not None:
            raise UsageError(
                "Both a checkpoint and random weights were requested.", hint="Give one of them."
            )
        if request.weights is not None or request.allow_extra:
            flag = "--weights" if request.weights is not None else "--allow-extra"
            raise UsageError(
                f"There is no checkpoint that {flag} could apply to.",
                hint=f"Drop {flag}, or give --checkpoint FILE.",
            )
        if request.resample_tokens:
            raise UsageError(
                "There is no checkpoint whose tokens could be resampled.",
                hint="Drop --resample-tokens, or give --checkpoint FILE.",
            )
    elif request.checkpoint is None and request.model != FAMILY:
        raise UsageError(
            f"No weights were given, and no trained default exists for {title}.",
            hint="Give --checkpoint FILE, or --random-weights to measure speed with poses that "
            "mean nothing.",
        )
    elif request.checkpoint is not None:
        if not request.checkpoint.exists():
            raise UsageError(
                f"There is no checkpoint '{request.checkpoint}'.",
                hint="Check the path of the file.",
            )
        find_checkpoint(request.checkpoint)


def _check_normalization(request: ExportRequest, entry: Family) -> None:
    known = [each.value for each in (entry.normalization, *entry.wild_normalizations)]
    if request.normalization is not None and request.normalization not in known:
        others = [each.value for each in Normalization]
        hint = f"Drop --normalization, or use one of: {', '.join(known)}."
        if request.normalization not in others:
            hint = closest(str(request.normalization), others)
        raise UsageError(
            f"{entry.title} is not made for keypoints normalized by {request.normalization!r}.",
            hint=hint,
        )


def chosen_normalization(request: ExportRequest) -> Normalization:
    """Return the requested normalization of the input, or the family's own."""
    return Normalization(request.normalization or family(request.model).normalization)


def _check_precision(request: ExportRequest) -> None:
    names = [precision.value for precision in Precision]
    if request.precision not in names:
        raise UsageError(
            f"Unknown precision {request.precision!r}.",
            hint=closest(str(request.precision), names),
        )
    precision = Precision(request.precision)
    if precision is not Precision.FP32:
        if request.engine == TORCH:
            raise UsageError(
                f"PyTorch's files are float32, but the precision is {precision.value}.",
                hint="Drop --engine torch, or --precision.",
            )
        if request.engine == TENSORRT and precision is Precision.INT8_DYNAMIC:
            raise UsageError(
                "TensorRT has no operators that quantize activations in each run.",
                hint="Give --precision int8 or int8+fp16, whose scales are calibrated.",
            )
        if request.triton is not None and request.triton.backend == "tensorrt":
            raise UsageError(
                f"The file computes in {precision.value}, and TensorRT would narrow the selection"
                " of frames with the rest.",
                hint="Give --precision fp32, or --triton-backend onnxruntime.",
            )
    if not precision.calibrated and (request.calibration or request.sensitivity):
        raise UsageError(
            "--calibration and --sensitivity require --precision int8 or int8+fp16"
            f" (got {precision.value}).",
            hint="Add --precision int8 or int8+fp16.",
        )
    if not request.timing and (precision is Precision.FP32 or request.sensitivity):
        raise UsageError(
            "--sensitivity compares speeds, and --no-timing leaves that out."
            if request.sensitivity
            else "--no-timing applies only to a reduced precision; in fp32 no speeds are compared.",
            hint="Drop it, or --sensitivity." if request.sensitivity else "Drop it.",
        )
    if not precision.quantized and request.keep_float:
        raise UsageError(
            f"Nothing is quantized in {precision.value}, so --keep-float has no effect.",
            hint="Add --precision int8, int8-dynamic or int8+fp16.",
        )
    for path in request.calibration:
        if not path.is_file():
            raise UsageError(f"There is no keypoint file '{path}'.", hint="Check the path.")

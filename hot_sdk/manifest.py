"""The manifest of an exported file: one JSON object under one key of the file's metadata.

A model thus stays one file that can be moved and renamed, and the runtime reads from it everything
it needs. The names of the file's input and outputs are here, too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from hot_sdk._base import records
from hot_sdk._base.optional import NEWER
from hot_sdk._base.records import WAS
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.session import PRECISION_KEY
from hot_sdk.errors import ManifestError
from hot_sdk.step_graph import StepGraph

T = TypeVar("T")

SCHEMA = 5
"""The version that is written. Versions 1 to 4 are read, too; some names of the first are British,
the first two do not know ``root_relative`` and ``trained_on``, the first three not ``conditions``
and ``spread``, and none of them ``step``."""

KEY = "hot_sdk.manifest"
RANDOM_WEIGHTS_WARNING = "random weights: the poses mean nothing"

KEYPOINTS = "keypoints_2d"
"""Normalized keypoints, (batch, frames, joints, 2 or 3) float32."""

CONDITIONS = "conditions"
"""What is known of each frame's camera and of the person, (batch, frames, conditions) float32; 0 is
unknown. Only files whose manifest names conditions have it."""

CONDITION_NAMES = ("intrinsics_known", "gravity_known", "view_pitch", "height_known", "height")
"""What a network may be told, in this order.

``intrinsics_known`` is 1 if the keypoints are slopes of rays in a virtual camera that looks at the
person, and ``gravity_known`` if that camera is also rolled upright; ``view_pitch`` is then the part
of the up direction along its viewing direction. ``height_known`` is 1 if the person's standing
height is known, and ``height`` is ln(height in meters / 1.7) / 0.05. What is unknown is 0."""

POSES = "poses_3d"
"""Poses, (batch, frames, joints, 3) float32."""

TOKEN_INDEX = "token_index"
"""Kept frames, ascending, (batch, tokens) int64; with flip averaging (batch, 2, tokens): the window
and its mirror image. If a model prunes in stages, the choices of all stages are concatenated."""

SPREAD = "spread"
"""Half the width of the interval that holds 68 % of the errors of a coordinate, of the shape and in
the unit of the poses, float32. Only files whose manifest says ``spread`` have it."""

NORMALIZED_PIXELS = "normalized_px"
"""Unit of poses without a metric scale: half the image's width."""

NORMALIZED_BOX = "normalized_box"
"""The same of a network that is fed with keypoints in a box: half the longer side of that box."""

NORMALIZED_SHORT_SIDE = "normalized_short_side"
"""The same of a network that is fed with keypoints divided by the image's shorter side: half of
it."""


_AXES = "camera: x right, y down, z forward"

_KNOWN: Mapping[str, tuple[object, ...]] = {
    "precision": ("fp32", "fp16", "int8", "int8-dynamic", "int8+fp16"),
    "recovery": (None, "tra", "interpolate"),
    "unit": ("m", NORMALIZED_PIXELS, NORMALIZED_BOX, NORMALIZED_SHORT_SIDE),
    "axes": (_AXES, f"{_AXES}; root-relative"),
}
_UNPRUNED = ("plain", "live")
_VARIANTS = (*_UNPRUNED, "hot", "tpc")
_SELECTORS = ("tpc", "uniform", "motion", "attention")
_SINCE: Mapping[int, Mapping[str, object]] = {
    3: {"root_relative": True, "trained_on": None},
    4: {"conditions": [], "spread": False},
    5: {"step": None},
}
"""What files of older versions mean that do not state it, by the version that does."""

_CONTROLS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def current_unit(unit: T) -> T | str:
    """Return the current name of a unit that an older file may state."""
    return NORMALIZED_PIXELS if unit == "normalised_px" else unit


@dataclass(frozen=True)
class Joints:
    """The skeleton of input and output, in the order of the network.

    Attributes:
        skeleton: The skeleton's name, one of ``hot_sdk.list_skeletons()``.
        names: Joint names, in order.
        parents: Index of each joint's parent, -1 for the root.
        flip_pairs: Left and right joints that a mirror swaps.
    """

    skeleton: str
    names: tuple[str, ...]
    parents: tuple[int, ...]
    flip_pairs: tuple[tuple[int, int], ...]

    @property
    def root(self) -> int:
        """Index of the root."""
        return self.parents.index(-1)


@dataclass(frozen=True)
class PruningStage:
    """One choice of frames.

    Attributes:
        prune_at: Block before which frames are pruned, counted from 0.
        tokens: Frames kept.
        selector: How they are chosen, the value of a ``SelectorKind``.
    """

    prune_at: int
    tokens: int
    selector: str


@dataclass(frozen=True)
class Weights:
    """Origin of the weights.

    Attributes:
        random: The weights are untrained: the poses mean nothing.
        file: Name of the checkpoint's file.
        sha256: Digest of that file.
        resampled_from: Tokens that the checkpoint was trained for, if its rank embedding was
            resampled to another number; the accuracy is then unknown until it is measured.
        credit: Whom users of the weights have to name, if known.
        limits: What the training data does not hold, if known.
    """

    random: bool
    file: str | None
    sha256: str | None
    resampled_from: int | None
    credit: str | None = None
    limits: str | None = None


@dataclass(frozen=True)
class Versions:
    """Software that wrote the file."""

    sdk: str
    torch: str
    onnx: str


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one window, one addition or multiplication each.

    Attributes:
        papers: Counted as in the papers: twice the multiply-accumulates of linear layers.
        matmuls: All matrix multiplications of the published network, attention included.
        executed: All matrix multiplications in this file, without those that were folded, and with
            flip averaging.
    """

    papers: int
    matmuls: int = field(metadata={WAS: "products"})
    executed: int


@dataclass(frozen=True)
class Parity:
    """Distance of the file from the PyTorch model, over all clips of the verification.

    Attributes:
        engine: Engine that ran the file.
        clips: Number of windows compared.
        max_difference: Largest difference of a coordinate, with the same kept frames in both.
        mean_joint_error: Mean distance of a joint, each having chosen its frames.
        max_joint_error: Largest such distance.
        frames_shared: Share of the chosen frames that both chose; None if nothing is pruned.
    """

    engine: str
    clips: int
    max_difference: float
    mean_joint_error: float
    max_joint_error: float
    frames_shared: float | None


@dataclass(frozen=True)
class Quantization:
    """How the file was quantized.

    Attributes:
        matmuls: Number of matrix multiplications in int8.
        windows: Windows that the scales of the activations were calibrated with; 0 if each run
            computes the scales itself.
        source: Where these windows come from.
    """

    matmuls: int = field(metadata={WAS: "products"})
    windows: int
    source: str | None


@dataclass(frozen=True)
class Manifest:
    """What a model file states about itself.

    Attributes:
        schema: Version of this record.
        family: Model family.
        variant: ``plain``, ``hot``, ``tpc`` or ``live``.
        paper: The publication.
        license: License of code and weights, as far as known.
        frames: Frames of the input window; 1 of a live network.
        output_frames: Frames of the output: ``frames``; the kept ones if none is recovered; or the
            window's middle ones if an unpruned network returns only those.
        ratio: Frames kept over frames.
        tokens: Frames kept in the end; None if none is pruned.
        stages: Where frames are pruned, in order; empty if nowhere.
        recovery: How frames are recovered; None if they are not.
        channels: Input channels: 2 (x, y), or 3 with a confidence.
        conditions: Names of what the network can be told about camera and person, in the order of
            the input ``conditions``, of ``CONDITION_NAMES``; empty if the file has no such input.
        batch: Windows in one run; None if any number is accepted.
        flip: The graph averages with the mirror image.
        token_index: The kept frames are an output.
        spread: How far each coordinate may be off is an output.
        joints: The skeleton.
        normalization: How pixels become input.
        unit: Unit of the output.
        axes: Axes of the output.
        root_relative: The network was trained to predict joints relative to the root. If not, it
            predicts where they are, and the graph subtracts the root: the output of every file is
            relative to it.
        training_fps: Frames per second of the training data, 1 to 1000.
        trained_on: Data set whose joints and order the network was trained with, such as ``h36m``
            or ``mpi-inf-3dhp``; None if that is not known, and in files of schema 1 and 2. The
            order itself is that of ``joints``.
        precision: Arithmetic of the network.
        opset: Opset of an ONNX file; None for other formats.
        parameters: Number of trained parameters.
        weights: Origin of the weights.
        versions: Software that wrote the file.
        flops: Operations of one window.
        parity: Distance from the PyTorch model.
        quantization: How the file was quantized; None if it was not.
        step: What a live network remembers; None of any other.
    """

    schema: int
    family: str
    variant: str
    paper: str
    license: str = field(metadata={WAS: "licence"})
    frames: int
    output_frames: int
    ratio: float
    tokens: int | None
    stages: tuple[PruningStage, ...]
    recovery: str | None
    channels: int
    conditions: tuple[str, ...]
    batch: int | None
    flip: bool
    token_index: bool
    spread: bool
    joints: Joints
    normalization: str = field(metadata={WAS: "normalisation"})
    unit: str
    axes: str
    root_relative: bool
    training_fps: float
    trained_on: str | None
    precision: str
    opset: int | None
    parameters: int
    weights: Weights
    versions: Versions
    flops: Flops
    parity: Parity
    quantization: Quantization | None = field(metadata={WAS: "quantisation"})
    step: StepGraph | None

    def to_metadata(self) -> dict[str, str]:
        """Return the entries for a model file's metadata."""
        return {KEY: records.to_json(self), PRECISION_KEY: self.precision}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Manifest:
        """Read the manifest from a model file's metadata.

        Raises:
            ManifestError: There is no manifest, it is broken, or a newer SDK wrote it.
        """
        text = metadata.get(KEY)
        if text is None:
            raise ManifestError(
                "The model file has no manifest of this SDK.",
                hint="Make the file with hot-export.",
            )
        broken = "The model file's manifest is broken"
        again = "Export the model again with hot-export."
        try:
            data = records.parse_object(text)
            schema = data.get("schema")
            if type(schema) is int and SCHEMA < schema < 2**31:
                raise ManifestError(
                    f"The model file's manifest has version {schema}; this SDK reads {SCHEMA}.",
                    hint=NEWER,
                )
            if type(schema) is int and 1 <= schema < SCHEMA:
                for version, unstated in _SINCE.items():
                    data = {**unstated, **data} if schema < version else data
                data = {**data, "schema": SCHEMA}
                if "unit" in data:
                    data["unit"] = current_unit(data["unit"])
            manifest = records.build(cls, data)
        except records.TypedJSONError as error:
            raise ManifestError(f"{broken}: {error}.", hint=again) from error
        if unknown := [name for name in manifest.conditions if name not in CONDITION_NAMES]:
            raise ManifestError(
                f"The model's network takes {unknown[0]!r:.80} as a condition, which this SDK does"
                f" not know; it knows: {', '.join(CONDITION_NAMES)}.",
                hint=NEWER,
            )
        if problem := manifest.contradiction():
            raise ManifestError(f"{broken}: {problem}.", hint=again)
        return manifest

    def contradiction(self) -> str | None:
        """Return what in the manifest cannot be true, or None."""
        joints = len(self.joints.names)
        parents = self.joints.parents
        indices = [index for pair in self.joints.flip_pairs for index in pair]
        share = self.frames if self.tokens is None else self.tokens
        kept = share if self.variant == "tpc" else self.frames
        middle = 0 < self.output_frames < self.frames and self.variant == "plain"
        middle = middle and self.output_frames % 2 == self.frames % 2 == 1
        paired = len(set(indices)) == len(indices) and all(0 <= i < joints for i in indices)
        checks = (
            (self.schema == SCHEMA, f"schema is {self.schema}"),
            (self.frames >= 1 and joints >= 1, "it has no frames or no joints"),
            (self.channels in (2, 3), f"channels is {self.channels}"),
            (len({*self.conditions}) == len(self.conditions), "it names a condition twice"),
            (self.batch is None or self.batch >= 1, f"batch is {self.batch}"),
            (1 <= self.training_fps <= 1000, f"training_fps is {self.training_fps}"),
            (0 < self.ratio <= 1, f"ratio is {self.ratio}"),
            (self.tokens is None or 2 <= self.tokens < self.frames, f"tokens is {self.tokens}"),
            (self.variant in _VARIANTS, f"variant is none of {', '.join(_VARIANTS)}"),
            ((self.tokens is None) == (self.variant in _UNPRUNED), "variant and tokens disagree"),
            (self._stages_agree(), "stages and tokens disagree"),
            ((self.recovery is None) == (self.variant != "hot"), "variant and recovery disagree"),
            (abs(self.ratio * self.frames - share) < 0.5, "ratio and tokens disagree"),
            (middle or self.output_frames == kept, f"output_frames is {self.output_frames}"),
            (self._step_agrees(), "variant and step disagree"),
            (self.step is None or self.step.problem() is None, self._step_problem()),
            (len(parents) == joints, "parents and joint names differ in number"),
            (_is_tree(parents), "parents do not form a tree"),
            (paired, "flip_pairs do not pair joints"),
            *(
                (value in known, f"{name} is {value!r:.80}, which is not known")
                for name, known in _KNOWN.items()
                for value in (getattr(self, name),)
            ),
            (
                all(stage.selector in _SELECTORS for stage in self.stages),
                "a selector is not known",
            ),
            (_is_printable(asdict(self)), "it holds control characters"),
        )
        return next((problem for holds, problem in checks if not holds), None)

    def _step_agrees(self) -> bool:
        """Return True if a live network, and no other, states what it remembers."""
        if self.step is None:
            return self.variant != "live"
        return self.variant == "live" and self.frames == 1 and not self.flip

    def _step_problem(self) -> str:
        return f"of its memory, {self.step.problem()}" if self.step else ""

    def _stages_agree(self) -> bool:
        """Return True if each stage keeps fewer frames than the last, in the end ``tokens``."""
        kept = [self.frames, *(stage.tokens for stage in self.stages)]
        blocks = [0, *(stage.prune_at for stage in self.stages)]
        fewer = all(after < before for before, after in pairwise(kept))
        later = all(after > before for before, after in pairwise(blocks))
        return fewer and later and self.tokens == (kept[-1] if self.stages else None)


def _is_printable(value: object) -> bool:
    """Return True if no text in parsed JSON moves a terminal's cursor or hides what is next."""
    if isinstance(value, str):
        return all(unicodedata.category(one) not in _CONTROLS for one in value)
    if isinstance(value, dict):
        return all(_is_printable(one) for one in value.values())
    return not isinstance(value, (list, tuple)) or all(map(_is_printable, value))


def _is_tree(parents: tuple[int, ...]) -> bool:
    """Return True if there is one root, -1, and every joint leads to it."""
    placed, grown = {-1}, set[int]()
    while (more := {joint for joint, parent in enumerate(parents) if parent in placed}) != grown:
        placed, grown = more | {-1}, more
    return parents.count(-1) == 1 and len(grown) == len(parents)


def read_manifest(path: Path) -> Manifest:
    """Read a model file's manifest.

    Raises:
        ManifestError: There is no manifest, it is broken, or a newer SDK wrote it.
        EngineError: The file is missing or is no model.
    """
    options = SessionOptions(graph_optimization="none")
    with open_session(path, options) as session:
        return Manifest.from_metadata(session.metadata)

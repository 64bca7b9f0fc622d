"""Records of what is known of a model family: sizes, conventions and where they are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hot_sdk._base import records
from hot_sdk.export.enums import Variant
from hot_sdk.export.models.live_settings import LiveSettings
from hot_sdk.skeletons import H36M17, Skeleton


class Normalization(str, Enum):
    """How pixels become the network's input."""

    IMAGE_WIDTH = "image_width"
    """x / width · 2 − 1 and y / width · 2 − height / width: the aspect ratio is kept."""
    BOUNDING_BOX = "bounding_box"
    """The square about all joints of the clip becomes −1 … 1."""
    IMAGE_SHORT_SIDE = "image_short_side"
    """As by the width, but divided by the image's shorter side."""


class Unit(str, Enum):
    """Unit of the network's output."""

    METER = "m"
    NORMALIZED_PIXEL = "normalized_px"
    """Half the image's width, as the input is normalized; its size in meters is not known."""
    NORMALIZED_BOX = "normalized_box"
    """The same with half the longer side of the box."""
    NORMALIZED_SHORT_SIDE = "normalized_short_side"
    """The same with half the image's shorter side."""


BASIC_SETTINGS = ("channels", "width", "depth", "heads", "mlp_hidden")


@dataclass(frozen=True)
class NetworkSize:
    """The settings of a network that determine its weights' shapes, and some that do not.

    Attributes:
        channels: Input channels of a keypoint: 2 (x, y), or 3 with a confidence.
        width: Channels of a token.
        depth: Number of blocks that ``prune_at`` counts.
        heads: Attention heads.
        mlp_hidden: Hidden channels of the MLPs.
        stem: Hidden channels of a stem that lifts each frame by itself before the blocks; 0, as
            published, is no stem.
        conditions: Values of a frame that say what is known of its camera, which the stem takes; 0,
            as published, is none.
        spread: Hidden channels of a head that predicts how far poses may be off; 0, as published,
            is no such head.
        representation: Channels of the layer before the head, in a family that has one, else 0.
        neighbors: Frames that a graph over time connects to each frame, in a family that has one.
        coefficients: Kept coefficients of the cosine transform over time, in a family that has one:
            an odd number. The output is the poses of as many frames in the middle of the window.
        refine: 1 if a last network corrects the poses by the keypoints, in a family that has it.
    """

    channels: int
    width: int
    depth: int
    heads: int
    mlp_hidden: int
    stem: int = 0
    conditions: int = 0
    spread: int = 0
    representation: int = 0
    neighbors: int = field(default=0, metadata={records.WAS: "neighbours"})
    coefficients: int = 0
    refine: int = 0


@dataclass(frozen=True)
class PublishedSize:
    """One size of network that a family's authors published.

    Attributes:
        frames: Frames of a window.
        size: Size of the network.
        source: Where it is published.
    """

    frames: int
    size: NetworkSize
    source: str


@dataclass(frozen=True)
class Pruning:
    """A published pruning setting.

    Attributes:
        tokens: Frames kept, at the family's published number of frames.
        prune_at: Block before which they are chosen, counted from 0.
        source: Where it is published.
    """

    tokens: int
    prune_at: int
    source: str


@dataclass(frozen=True)
class Family:
    """One model family.

    Attributes:
        name: Name on command lines and in manifests, and of the module in
            ``hot_sdk.export.models`` with ``build``, from a specification to the network, and
            ``infer_shape``, from a checkpoint's shapes to a ``CheckpointShape``.
        title: Name in the literature.
        paper: The publication.
        license: License of the authors' code, and the terms of their weights.
        sizes: Published sizes by their names, the default first.
        unit: Unit of the output.
        conventions_source: Where normalization, unit, axes and joints are stated.
        pruning: Settings of the variants that prune, at the default size.
        normalization: Normalization of the input.
        wild_normalizations: Other normalizations that its authors feed it with outside of the data
            set that it was trained on.
        axes: Axes of the output.
        skeleton: Joints whose bones are in the network's graphs, and of input and output unless the
            checkpoint was trained on another data set.
        root_relative: The published networks predict joints relative to the root; None if networks
            of both kinds are published and their weights do not differ in shape, so that users have
            to say which theirs is.
        hourglass_size: Published size whose settings a checkpoint with the published Hourglass
            Tokenizer has, as far as shapes do not determine them; None if they are the default
            size's.
        mpi_inf_3dhp_frames: Lengths of the windows that networks trained on MPI-INF-3DHP have. If a
            checkpoint has one of them, users have to say what it was trained on: the data set
            numbers its joints in another order, and shapes do not differ.
        training_fps: Frames per second of the training data; Human3.6M has 50.
        settings: Fields of ``NetworkSize`` that the family has.
        parts: Parts that the width is split into, each with all the attention heads.
        hypotheses: Tokens of a frame, in a family in which they replace those of its joints; else
            0.
        unprunable: Why no frames of a window of several can be pruned, if that is so.
        float32: Modules that stay float32 in every precision, as shell patterns of their paths:
            the layers that make the poses, and those that choose by comparison.
        unquantized: Modules for which float16 is precise enough and int8 is not.
        live: Default settings of the variant ``live``, whose network is in the module named
            ``live_`` and the family's name; None if there is none.
    """

    name: str
    title: str
    paper: str
    license: str
    sizes: Mapping[str, PublishedSize]
    unit: Unit
    conventions_source: str
    pruning: Mapping[Variant, Pruning] = field(default_factory=dict)
    normalization: Normalization = Normalization.IMAGE_WIDTH
    wild_normalizations: tuple[Normalization, ...] = ()
    axes: str = "camera: x right, y down, z forward; root-relative"
    skeleton: Skeleton = field(default=H36M17)
    root_relative: bool | None = True
    hourglass_size: str | None = None
    mpi_inf_3dhp_frames: tuple[int, ...] = ()
    training_fps: float = 50.0
    settings: tuple[str, ...] = BASIC_SETTINGS
    parts: int = 1
    hypotheses: int = 0
    unprunable: str = ""
    float32: tuple[str, ...] = ()
    unquantized: tuple[str, ...] = ()
    live: LiveSettings | None = None

    @property
    def frames(self) -> int:
        """Frames of a window at the default size."""
        return next(iter(self.sizes.values())).frames

    @property
    def size(self) -> NetworkSize:
        """The default size."""
        return next(iter(self.sizes.values())).size

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants that it has, the plain one first."""
        live = () if self.live is None else (Variant.LIVE,)
        return (Variant.PLAIN, *self.pruning, *live)

    @property
    def single_frame(self) -> bool:
        """True if the network lifts each frame by itself, so that there is nothing to prune."""
        return self.frames == 1

    def unit_for(self, normalization: Normalization) -> Unit:
        """Return the unit of the output if the input is normalized in one of its ways."""
        if self.unit is Unit.METER:
            return self.unit
        return {
            Normalization.IMAGE_WIDTH: Unit.NORMALIZED_PIXEL,
            Normalization.BOUNDING_BOX: Unit.NORMALIZED_BOX,
            Normalization.IMAGE_SHORT_SIDE: Unit.NORMALIZED_SHORT_SIDE,
        }[normalization]

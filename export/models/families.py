"""What is known of a model family, as data: its sizes, conventions and where they are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hot_sdk.export.enums import Variant
from hot_sdk.skeletons import H36M17, Skeleton


class Normalization(str, Enum):
    """How pixels become the network's input."""

    IMAGE_WIDTH = "image_width"
    """x / width · 2 − 1 and y / width · 2 − height / width: the aspect ratio is kept."""


class Unit(str, Enum):
    """Unit of the network's output."""

    METRE = "m"
    NORMALIZED_PIXEL = "normalized_px"
    """Half the image's width, as the input is normalized; what it is in metres is not known."""


BASIC_SETTINGS = ("channels", "width", "depth", "heads", "mlp_hidden")


@dataclass(frozen=True)
class NetworkSize:
    """The settings of a network that its weights' shapes follow.

    Attributes:
        channels: Input channels of a keypoint: 2 (x, y), or 3 with a confidence.
        width: Channels of a token.
        depth: Number of blocks that ``prune_at`` counts.
        heads: Attention heads.
        mlp_hidden: Hidden channels of the MLPs.
        stem: Hidden channels of a stem that lifts each frame by itself before the blocks; 0, as
            published, is none.
        representation: Channels of the layer before the head, of a family that has one, else 0.
        neighbours: Frames that a graph over time joins to each frame, of a family that has one.
        coefficients: Of the cosine transform over time that are kept, of a family that has one: an
            odd number, and of as many frames in the middle of the window it gives the poses.
        refine: 1 where a last network corrects the poses by the keypoints, of a family that has it.
    """

    channels: int
    width: int
    depth: int
    heads: int
    mlp_hidden: int
    stem: int = 0
    representation: int = 0
    neighbours: int = 0
    coefficients: int = 0
    refine: int = 0


@dataclass(frozen=True)
class PublishedSize:
    """One size of network that a family's authors published.

    Attributes:
        frames: Of a window.
        size: Of the network.
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
        name: Name on command lines and in manifests.
        title: Name in the literature.
        module: Module under ``hot_sdk.export.models`` with ``build``, from a specification to the
            network, and ``infer_shape``, from a checkpoint's shapes to a ``CheckpointShape``.
        paper: The publication.
        license: License of the authors' code, and the terms their weights are under.
        sizes: Published sizes by their names, the default first.
        settings: Fields of ``NetworkSize`` that the family has.
        parts: Parts that the width is cut into, each with all the attention heads.
        pruning: Settings of the variants that prune, at the default size.
        hypotheses: Tokens of a frame that stand in the place of its joints', of a family that has
            such; 0 is one token for each joint.
        unprunable: Why no frames can be pruned of a window of several, where that is so.
        float32: Modules that stay float32 in every precision, as shell patterns of their paths:
            the layers that make the poses, and what chooses by comparing.
        unquantised: Modules that float16 is enough for and int8 is not.
        normalization: Of the input.
        unit: Of the output.
        axes: Axes of the output.
        skeleton: Joints of input and output.
        training_fps: Frames a second of the training data.
        conventions_source: Where normalization, unit, axes and joints are stated.
    """

    name: str
    title: str
    module: str
    paper: str
    license: str
    sizes: Mapping[str, PublishedSize]
    pruning: Mapping[Variant, Pruning]
    normalization: Normalization
    unit: Unit
    training_fps: float
    conventions_source: str
    axes: str = "camera: x right, y down, z forward; root-relative"
    skeleton: Skeleton = field(default=H36M17)
    settings: tuple[str, ...] = BASIC_SETTINGS
    parts: int = 1
    hypotheses: int = 0
    unprunable: str = ""
    float32: tuple[str, ...] = ()
    unquantised: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Frames of a window at the default size."""
        return next(iter(self.sizes.values())).frames

    @property
    def size(self) -> NetworkSize:
        """The default size."""
        return next(iter(self.sizes.values())).size

    @property
    def single_frame(self) -> bool:
        """Whether the network lifts each frame by itself, so that there is none to prune."""
        return self.frames == 1

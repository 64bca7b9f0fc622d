"""The model families: what each one's authors published, as data.

A family is one entry here and one file beside this one. Nothing here imports torch, so that a
command line can answer for its arguments before it loads anything heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hot_sdk.errors import UsageError
from hot_sdk.export.options import Variant
from hot_sdk.skeleton import H36M17, Skeleton
from hot_sdk.suggest import closest


class Normalisation(str, Enum):
    """How pixels become the network's input."""

    IMAGE_WIDTH = "image_width"
    """x / width · 2 − 1 and y / width · 2 − height / width: the aspect ratio is kept."""


class Unit(str, Enum):
    """Unit of the network's output."""

    METRE = "m"


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
    """

    channels: int
    width: int
    depth: int
    heads: int
    mlp_hidden: int
    stem: int = 0


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
        licence: Licence of the authors' code, and the terms their weights are under.
        frames: Published frames of a window.
        size: Published size of the network.
        size_source: Where frames and size are published.
        pruning: Published settings of the variants that prune.
        normalisation: Of the input.
        unit: Of the output.
        axes: Axes of the output.
        skeleton: Joints of input and output.
        training_fps: Frames a second of the training data.
        conventions_source: Where normalisation, unit, axes and joints are stated.
    """

    name: str
    title: str
    module: str
    paper: str
    licence: str
    frames: int
    size: NetworkSize
    size_source: str
    pruning: Mapping[Variant, Pruning]
    normalisation: Normalisation
    unit: Unit
    training_fps: float
    conventions_source: str
    axes: str = "camera: x right, y down, z forward; root-relative"
    skeleton: Skeleton = field(default=H36M17)


_FAMILIES = (
    Family(
        name="mixste",
        title="MixSTE",
        module="mixste",
        paper="Zhang et al., CVPR 2022 (MixSTE); Li et al., CVPR 2024 (HoT, TPC)",
        licence="network code published under MIT with HoT; weights trained on Human3.6M, "
        "whose terms are academic",
        frames=243,
        size=NetworkSize(channels=2, width=512, depth=8, heads=8, mlp_hidden=1024),
        size_source="github.com/NationalGAILab/HoT, model/mixste/mixste.py",
        pruning={
            Variant.HOT: Pruning(
                81, 3, "github.com/NationalGAILab/HoT, model/mixste/hot_mixste.py"
            ),
            Variant.TPC: Pruning(
                61, 7, "github.com/NationalGAILab/HoT, model/mixste/tpc_mixste.py"
            ),
        },
        normalisation=Normalisation.IMAGE_WIDTH,
        unit=Unit.METRE,
        training_fps=50.0,
        conventions_source="github.com/NationalGAILab/HoT, common/camera.py and common/utils.py; "
        "github.com/Vegetebird/MHFormer/issues/40",
    ),
)
_BY_NAME = {family.name: family for family in _FAMILIES}


def list_models() -> list[str]:
    """Names of all families."""
    return sorted(_BY_NAME)


def family(name: str) -> Family:
    """Look a family up.

    Raises:
        UsageError: There is none of that name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UsageError(
            f"There is no model family '{name}'.", hint=closest(name, list_models())
        ) from None

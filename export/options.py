"""The choices a user can make about a model, as enums that cost no heavy import."""

from __future__ import annotations

from enum import Enum


class Variant(str, Enum):
    """What happens to the frames in the middle of the network."""

    PLAIN = "plain"
    """Every frame goes through every block."""
    HOT = "hot"
    """Frames are pruned and all of them recovered at the end (Li et al., CVPR 2024)."""
    TPC = "tpc"
    """Frames are pruned, the centre frame always kept, and none recovered (ibid.)."""


class SelectorKind(str, Enum):
    """How the frames that are kept are chosen."""

    TPC = "tpc"
    """Token pruning cluster: density peaks among the frames' features (ibid., section 3.2)."""
    UNIFORM = "uniform"
    """Evenly spaced frames; no data-dependent operator in the graph."""
    MOTION = "motion"
    """The frames whose keypoints move most."""
    ATTENTION = "attention"
    """The frames that the others attend to most in the block before."""


class RecoveryKind(str, Enum):
    """How the pruned frames come back."""

    TRA = "tra"
    """Token recovering attention (ibid., section 3.3); needs trained weights."""
    INTERPOLATE = "interpolate"
    """Linear in time between the kept frames; needs no weights."""

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
    """Frames are pruned, the center frame always kept, and none recovered (ibid.)."""
    LIVE = "live"
    """The network takes one frame at a time, and remembers what it needs of those before."""


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


class Precision(str, Enum):
    """Arithmetic of the network's matrix multiplications, written into the graph."""

    FP32 = "fp32"
    """float32 throughout."""
    FP16 = "fp16"
    """float16 if possible, by explicit casts; for GPUs, since few CPUs compute in it."""
    INT8 = "int8"
    """int8 weights and int8 activations, whose scales a calibration fixes."""
    INT8_DYNAMIC = "int8-dynamic"
    """As int8, but each run scales activations itself; ONNX Runtime and OpenVINO only."""
    INT8_FP16 = "int8+fp16"
    """The matrix multiplications of int8 in int8, the rest as in fp16."""

    @property
    def calibrated(self) -> bool:
        """Whether a conversion to it needs keypoints."""
        return self in (Precision.INT8, Precision.INT8_FP16)

    @property
    def quantized(self) -> bool:
        """Whether it quantizes matrix multiplications."""
        return self in (Precision.INT8, Precision.INT8_DYNAMIC, Precision.INT8_FP16)


HUMAN36M, MPI_INF_3DHP = "h36m", "mpi-inf-3dhp"
DATA_SETS = (HUMAN36M, MPI_INF_3DHP)
"""Data sets that networks are trained on, by the names that ``hot-eval`` has for them."""

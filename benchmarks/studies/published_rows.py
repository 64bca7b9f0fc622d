"""Rows of published tables that official checkpoints and data sets can be held against.

A figure stands here only if it was read in the publication, in its authors' repository or in a list
of its results, as its source says. Operations are of one window, without flip averaging.
"""

from __future__ import annotations

from dataclasses import dataclass

MPJPE, P_MPJPE = "mpjpe_mm", "p_mpjpe_mm"
PCK, AUC = "pck150_percent", "auc_percent"
MEASURES = {MPJPE: "MPJPE, mm", P_MPJPE: "P-MPJPE, mm", PCK: "PCK150, %", AUC: "AUC, %"}
"""Names in a report of ``hot-eval``, and in tables."""

GFLOPS, GMACS = "GFLOPs", "GMACs"

_MIXSTE = "MixSTE, CVPR 2022, Table 1"
_HOT = "HoT, CVPR 2024, Table 6 and the figure of FLOPs and errors"
_MHFORMER = "MHFormer, CVPR 2022, README"
_MOTIONBERT = "MotionBERT, ICCV 2023, README"
_AGFORMER = "MotionAGFormer, WACV 2024, README"
_AGFORMER_3DHP = "MotionAGFormer, WACV 2024, list of results"
_HTNET = "HTNet, ICASSP 2023, README"

_CENTER = ("--windows", "mhformer_center")
_H36M, _MOTIONBERT_DATA, _3DHP = "h36m", "h36m-motionbert", "mpi-inf-3dhp"


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table, and how it is reproduced.

    Attributes:
        name: The method, as the table names it, with the data if that is needed.
        folder: Folder of its checkpoint, below the folder of all.
        source: Paper and table.
        family: Model family, a name of ``hot-export --model``.
        data: Data set, a name of ``hot-eval --data``.
        protocol: Frames that count, a name of ``hot-eval --protocol``.
        figures: Published values by their names in a report; may be empty.
        export: Further arguments of ``hot-export``.
        evaluate: Further arguments of ``hot-eval``.
        flip: Poses are averaged with those of the mirror image; ``graph`` if the exported file does
            so, which is how both images share their frames.
        cost: Published operations, in billions, and their unit; None if unknown.
    """

    name: str
    folder: str
    source: str
    family: str
    data: str
    protocol: str
    figures: dict[str, float]
    export: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    flip: bool | str = True
    cost: tuple[float, str] | None = None

    @property
    def trained_on(self) -> str:
        """The data set of the weights, a name of ``hot-export --trained-on``."""
        return _3DHP if self.data == _3DHP else _H36M


def _agformer(
    size: str, folder: str, figures: dict[str, float], gmacs: float, mpi_inf_3dhp: bool = False
) -> PublishedRow:
    return PublishedRow(
        f"MotionAGFormer-{size.upper()}" + (" on MPI-INF-3DHP" if mpi_inf_3dhp else ""),
        folder,
        _AGFORMER_3DHP if mpi_inf_3dhp else _AGFORMER,
        "motionagformer",
        _3DHP if mpi_inf_3dhp else _MOTIONBERT_DATA,
        "center" if mpi_inf_3dhp else "motionbert",
        figures,
        cost=(gmacs, GMACS),
    )


ROWS = (
    PublishedRow(
        "MixSTE",
        "mixste_official",
        _MIXSTE,
        "mixste",
        _H36M,
        "mixste",
        {MPJPE: 40.9, P_MPJPE: 32.6},
        cost=(277.25, GFLOPS),
    ),
    PublishedRow(
        "MixSTE (HoT's)",
        "mixste",
        _HOT,
        "mixste",
        _H36M,
        "hot",
        {MPJPE: 40.9},
        cost=(277.25, GFLOPS),
    ),
    PublishedRow(
        "HoT w. MixSTE",
        "hot_mixste",
        _HOT,
        "mixste",
        _H36M,
        "hot",
        {MPJPE: 41.0},
        cost=(167.52, GFLOPS),
    ),
    PublishedRow(
        "TPC w. MixSTE",
        "tpc_mixste",
        _HOT,
        "mixste",
        _H36M,
        "frames",
        {MPJPE: 39.9},
        export=("--variant", "tpc"),
        evaluate=_CENTER,
        flip="graph",
        cost=(251.3, GFLOPS),
    ),
    PublishedRow(
        "MHFormer",
        "mhformer",
        _MHFORMER,
        "mhformer",
        _H36M,
        "frames",
        {MPJPE: 43.0},
        evaluate=_CENTER,
        cost=(14.1, GFLOPS),
    ),
    PublishedRow(
        "TPC w. MHFormer",
        "tpc_mhformer",
        _HOT,
        "mhformer",
        _H36M,
        "frames",
        {},
        export=("--variant", "tpc"),
        evaluate=_CENTER,
        flip="graph",
    ),
    PublishedRow(
        "MotionBERT, from scratch",
        "MB_train_h36m",
        _MOTIONBERT,
        "motionbert",
        _MOTIONBERT_DATA,
        "motionbert",
        {MPJPE: 39.2},
        export=("--root-relative", "yes"),
        cost=(174.8, GMACS),
    ),
    PublishedRow(
        "MotionBERT, fine-tuned",
        "FT_MB_release_MB_ft_h36m",
        _MOTIONBERT,
        "motionbert",
        _MOTIONBERT_DATA,
        "motionbert",
        {MPJPE: 37.2},
        export=("--root-relative", "yes"),
        cost=(174.8, GMACS),
    ),
    _agformer("xs", "motionagformer-xs-h36m", {}, 1.0),
    _agformer("s", "motionagformer-s-h36m", {}, 6.6),
    _agformer("b", "motionagformer-b-h36m", {MPJPE: 38.4}, 48.3),
    _agformer("l", "motionagformer-l-h36m", {MPJPE: 38.4}, 78.3),
    _agformer("s", "motionagformer-s-mpi", {PCK: 98.3, AUC: 84.5, MPJPE: 17.1}, 6.6, True),
    _agformer("l", "motionagformer-l-mpi", {PCK: 98.2, AUC: 85.3, MPJPE: 16.2}, 26.0, True),
    PublishedRow(
        "HTNet, detected 2D", "htnet_cpn", _HTNET, "htnet", _H36M, "frames", {MPJPE: 48.9}
    ),
    PublishedRow(
        "HTNet, true 2D",
        "htnet_gt",
        _HTNET,
        "htnet",
        _H36M,
        "frames",
        {MPJPE: 34.0},
        evaluate=("--detections", "gt"),
    ),
    PublishedRow("NanoHTNet", "nanohtnet", "no table was read", "nanohtnet", _H36M, "frames", {}),
)

NOT_RUN = {
    "HoT w. MotionBERT": "MPJPE 39.8 mm, 63.21 GFLOPs: no checkpoint and no script are published.",
    "TPC w. MotionBERT": "MPJPE 39.0 mm: no checkpoint, no script and no setting are published.",
    "HoT w. MotionAGFormer": "no checkpoint and no figure are published.",
    "HTNet with refinement": "MPJPE 47.6 mm: the published script neither builds nor loads it.",
    "MixSTE on MPI-INF-3DHP": "PCK 94.4, AUC 66.5, MPJPE 54.9 mm: its data set is prepared by"
    " another program, and neither that layout nor the checkpoint is published.",
}
"""Published rows that cannot be held against anything, and why."""

"""The model families: what each one's authors published, as data.

A family is one entry here and one file of its name next to this one. Nothing here imports torch, so
that a command line can check its arguments before it loads anything heavy.
"""

from __future__ import annotations

from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError
from hot_sdk.export.enums import Variant
from hot_sdk.export.models.families import (
    BASIC_SETTINGS,
    Family,
    NetworkSize,
    Normalization,
    Pruning,
    PublishedSize,
    Unit,
)
from hot_sdk.export.models.live_settings import LiveSettings
from hot_sdk.step_memory import StepMemory

HYPOTHESES = 3
"""Hypotheses of each frame in MHFormer."""

_MIT = "network code published under MIT; weights trained on Human3.6M, whose terms are academic"
_HOT = "github.com/NationalGAILab/HoT, model"
_MHFORMER = "github.com/Vegetebird/MHFormer, model/mhformer.py"
_MOTIONAGFORMER = "github.com/TaatiTeam/MotionAGFormer, configs/h36m/MotionAGFormer"
_MOTIONBERT = "github.com/Walter0807/MotionBERT, configs/pose3d"


def _htnet(width: int) -> PublishedSize:
    size = NetworkSize(channels=2, width=width, depth=3, heads=8, mlp_hidden=1024)
    return PublishedSize(1, size, "github.com/vefalun/HTNet, common/opt.py and README")


def _mhformer(frames: int, source: str) -> PublishedSize:
    size = NetworkSize(channels=2, width=512, depth=3, heads=8, mlp_hidden=1024)
    return PublishedSize(frames, size, source)


def _motionagformer(
    frames: int, width: int, depth: int, source: str, *, heads: int = 8, neighbors: int = 2
) -> PublishedSize:
    size = NetworkSize(
        channels=3,
        width=width,
        depth=depth,
        heads=heads,
        mlp_hidden=4 * width,
        representation=512,
        neighbors=neighbors,
    )
    return PublishedSize(frames, size, source)


def _motionbert(width: int, source: str) -> PublishedSize:
    size = NetworkSize(
        channels=3, width=width, depth=5, heads=8, mlp_hidden=1024, representation=512
    )
    return PublishedSize(243, size, source)


_FAMILIES = (
    Family(
        name="htnet",
        title="HTNet",
        paper="Cai et al., ICASSP 2023 (HTNet)",
        license=_MIT,
        sizes={"240": _htnet(240), "96": _htnet(96)},
        settings=(*BASIC_SETTINGS, "refine"),
        parts=3,
        unit=Unit.METER,
        float32=("fcn",),
        conventions_source="github.com/vefalun/HTNet, common/camera.py, common/load_data_hm36.py "
        "and main.py",
    ),
    Family(
        name="mhformer",
        title="MHFormer",
        paper="Li et al., CVPR 2022 (MHFormer); Li et al., CVPR 2024 (TPC)",
        license=_MIT,
        sizes={
            "351": _mhformer(351, f"{_MHFORMER} and common/opt.py"),
            **{
                str(frames): _mhformer(
                    frames, f"Li et al., CVPR 2022, on receptive fields; {_MHFORMER}"
                )
                for frames in (243, 81, 27)
            },
        },
        pruning={
            Variant.HOT: Pruning(
                117, 1, "not published: this SDK's own, as tpc but with all frames recovered"
            ),
            Variant.TPC: Pruning(117, 1, f"{_HOT}/mhformer/tpc_mhformer.py"),
        },
        hypotheses=HYPOTHESES,
        # Li et al., CVPR 2022, table 5: 9 frames; 27 and 81 in work that compares with it.
        mpi_inf_3dhp_frames=(9, 27, 81),
        unit=Unit.METER,
        # Differences between frames are small beside where in the image a joint is.
        float32=("regression", "norm_*"),
        conventions_source="github.com/Vegetebird/MHFormer, common/camera.py, "
        "common/load_data_hm36.py and issues/40",
    ),
    Family(
        name="mixste",
        title="MixSTE",
        paper="Zhang et al., CVPR 2022 (MixSTE); Li et al., CVPR 2024 (HoT, TPC)",
        license="network code published under MIT with HoT; weights trained on Human3.6M, "
        "whose terms are academic",
        sizes={
            "base": PublishedSize(
                243,
                NetworkSize(channels=2, width=512, depth=8, heads=8, mlp_hidden=1024),
                f"{_HOT}/mixste/mixste.py",
            )
        },
        settings=(*BASIC_SETTINGS, "stem", "conditions", "spread"),
        pruning={
            Variant.HOT: Pruning(81, 3, f"{_HOT}/mixste/hot_mixste.py"),
            Variant.TPC: Pruning(61, 7, f"{_HOT}/mixste/tpc_mixste.py"),
        },
        # Li et al., CVPR 2024, on MPI-INF-3DHP: 27 frames; 81 in work that compares with it.
        mpi_inf_3dhp_frames=(9, 27, 81),
        unit=Unit.METER,
        # The stem lifts each frame by itself: rounded, its frames jitter, and others are kept.
        float32=("head.*", "stem", "stem.*", "spread_head.*"),
        unquantized=("guess_trust",),
        live=LiveSettings(lookahead=0, memory=StepMemory(12, anchors=24, stride=12)),
        conventions_source="github.com/NationalGAILab/HoT, common/camera.py and common/utils.py; "
        "github.com/Vegetebird/MHFormer/issues/40",
    ),
    Family(
        name="motionagformer",
        title="MotionAGFormer",
        paper="Mehraban et al., WACV 2024 (MotionAGFormer); Li et al., CVPR 2024 (HoT)",
        license="network code published under Apache-2.0, and under MIT with HoT; weights trained "
        "on Human3.6M, whose terms are academic",
        sizes={
            "b": _motionagformer(243, 128, 16, f"{_MOTIONAGFORMER}-base.yaml"),
            "xs": _motionagformer(27, 64, 12, f"{_MOTIONAGFORMER}-xsmall.yaml"),
            "s": _motionagformer(81, 64, 26, f"{_MOTIONAGFORMER}-small.yaml"),
            "l": _motionagformer(243, 128, 26, f"{_MOTIONAGFORMER}-large.yaml"),
            # The copy that the hourglass was put into: B, but with other settings that shapes do
            # not determine.
            "hot": _motionagformer(
                243,
                128,
                16,
                f"{_HOT}/motionagformer/hot_motionagformer.py",
                heads=4,
                neighbors=4,
            ),
        },
        settings=(*BASIC_SETTINGS, "representation", "neighbors"),
        pruning={Variant.HOT: Pruning(81, 7, f"{_HOT}/motionagformer/hot_motionagformer.py")},
        hourglass_size="hot",
        # github.com/TaatiTeam/MotionAGFormer, configs/mpi: XS has 27, the others have 81.
        mpi_inf_3dhp_frames=(9, 27, 81),
        unit=Unit.NORMALIZED_PIXEL,
        float32=("head", "layers.*.graph_temporal.mixer"),
        conventions_source="github.com/TaatiTeam/MotionAGFormer, data/reader/h36m.py; "
        "github.com/Walter0807/MotionBERT/issues/21",
    ),
    Family(
        name="motionbert",
        title="MotionBERT",
        paper="Zhu et al., ICCV 2023 (MotionBERT); Li et al., CVPR 2024 (HoT, TPC)",
        license="code under Apache-2.0; weights trained on Human3.6M, whose terms are academic",
        sizes={
            "lite": _motionbert(
                256, f"{_MOTIONBERT}/MB_ft_h36m_global_lite.yaml; {_HOT}/motionbert"
            ),
            "full": _motionbert(512, f"{_MOTIONBERT}/MB_ft_h36m.yaml"),
        },
        settings=(*BASIC_SETTINGS, "representation"),
        # MB_ft_h36m.yaml and MB_train_h36m.yaml are; MB_ft_h36m_global.yaml and its lite one, which
        # the authors' program for videos uses, predict where joints are.
        root_relative=None,
        # Published for Human3.6M with 243 only, so that shorter ones may be of either.
        mpi_inf_3dhp_frames=(9, 27, 81),
        pruning={
            Variant.HOT: Pruning(81, 1, f"{_HOT}/motionbert"),
            Variant.TPC: Pruning(
                121,
                2,
                "not published: this SDK's own, of about the FLOPs that Li et al. report, 91 G; 61 "
                "frames before block 3 have as many",
            ),
        },
        unit=Unit.NORMALIZED_PIXEL,
        # Its pretraining scales clips at random; lib/data/dataset_wild.py.
        wild_normalizations=(Normalization.BOUNDING_BOX, Normalization.IMAGE_SHORT_SIDE),
        float32=("head",),
        conventions_source="github.com/Walter0807/MotionBERT, lib/data and issues 9, 21, 121",
    ),
    Family(
        name="nanohtnet",
        title="NanoHTNet",
        paper="Cai et al., IEEE TIP 2025, arXiv 2501.15763 (NanoHTNet)",
        license=_MIT,
        sizes={
            "base": PublishedSize(
                243,
                NetworkSize(
                    channels=2, width=240, depth=3, heads=8, mlp_hidden=256, coefficients=9
                ),
                "github.com/vefalun/NanoHTNet, common/opt.py and model/NanoHTNet.py",
            )
        },
        settings=(*BASIC_SETTINGS, "coefficients"),
        # Three in the one network, two in the other.
        parts=6,
        unprunable="it has no token for each frame, but one for each joint and one for each kept "
        "coefficient of the transform over time; keep fewer of those",
        unit=Unit.METER,
        float32=("fc", "fcn_*"),
        conventions_source="github.com/vefalun/NanoHTNet, common/camera.py, "
        "common/load_data_h36m.py and main.py",
    ),
)
_BY_NAME = {family.name: family for family in _FAMILIES}


def list_models() -> list[str]:
    """Return the names of all families, sorted."""
    return sorted(_BY_NAME)


def family(name: str) -> Family:
    """Look up a family.

    Raises:
        UsageError: There is no family of that name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UsageError(
            f"There is no model family '{name}'.", hint=closest(name, list_models())
        ) from None

"""The model families: what each one's authors published, as data.

A family is one entry here and one file beside this one. Nothing here imports torch, so that a
command line can answer for its arguments before it loads anything heavy.
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

_MOTIONAGFORMER = "github.com/TaatiTeam/MotionAGFormer, configs/h36m/"
_MHFORMER = "github.com/Vegetebird/MHFormer, model/mhformer.py"
HYPOTHESES = 3
"""Of each frame, in MHFormer."""


def _mhformer(frames: int, source: str) -> PublishedSize:
    size = NetworkSize(channels=2, width=512, depth=3, heads=8, mlp_hidden=1024)
    return PublishedSize(frames, size, source)


def _motionagformer(width: int, depth: int, *, heads: int = 8, neighbours: int = 2) -> NetworkSize:
    return NetworkSize(
        channels=3,
        width=width,
        depth=depth,
        heads=heads,
        mlp_hidden=4 * width,
        representation=512,
        neighbours=neighbours,
    )


def _htnet(width: int) -> PublishedSize:
    size = NetworkSize(channels=2, width=width, depth=3, heads=8, mlp_hidden=1024)
    return PublishedSize(1, size, "github.com/vefalun/HTNet, common/opt.py and README")


_FAMILIES = (
    Family(
        name="htnet",
        title="HTNet",
        module="htnet",
        paper="Cai et al., ICASSP 2023 (HTNet)",
        license="network code published under MIT; weights trained on Human3.6M, whose terms are "
        "academic",
        sizes={"240": _htnet(240), "96": _htnet(96)},
        settings=(*BASIC_SETTINGS, "refine"),
        parts=3,
        pruning={},
        normalization=Normalization.IMAGE_WIDTH,
        unit=Unit.METRE,
        training_fps=50.0,
        float32=("fcn",),
        conventions_source="github.com/vefalun/HTNet, common/camera.py, common/load_data_hm36.py "
        "and main.py",
    ),
    Family(
        name="mhformer",
        title="MHFormer",
        module="mhformer",
        paper="Li et al., CVPR 2022 (MHFormer); Li et al., CVPR 2024 (TPC)",
        license="network code published under MIT; weights trained on Human3.6M, whose terms are "
        "academic",
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
            Variant.TPC: Pruning(
                117, 1, "github.com/NationalGAILab/HoT, model/mhformer/tpc_mhformer.py"
            ),
        },
        hypotheses=HYPOTHESES,
        normalization=Normalization.IMAGE_WIDTH,
        unit=Unit.METRE,
        training_fps=50.0,
        float32=("regression",),
        conventions_source="github.com/Vegetebird/MHFormer, common/camera.py, "
        "common/load_data_hm36.py and issues/40",
    ),
    Family(
        name="mixste",
        title="MixSTE",
        module="mixste",
        paper="Zhang et al., CVPR 2022 (MixSTE); Li et al., CVPR 2024 (HoT, TPC)",
        license="network code published under MIT with HoT; weights trained on Human3.6M, "
        "whose terms are academic",
        sizes={
            "base": PublishedSize(
                243,
                NetworkSize(channels=2, width=512, depth=8, heads=8, mlp_hidden=1024),
                "github.com/NationalGAILab/HoT, model/mixste/mixste.py",
            )
        },
        settings=(*BASIC_SETTINGS, "stem"),
        pruning={
            Variant.HOT: Pruning(
                81, 3, "github.com/NationalGAILab/HoT, model/mixste/hot_mixste.py"
            ),
            Variant.TPC: Pruning(
                61, 7, "github.com/NationalGAILab/HoT, model/mixste/tpc_mixste.py"
            ),
        },
        normalization=Normalization.IMAGE_WIDTH,
        unit=Unit.METRE,
        training_fps=50.0,
        float32=("head.*", "stem", "stem.guess"),
        unquantised=("stem.*", "guess_trust"),
        conventions_source="github.com/NationalGAILab/HoT, common/camera.py and common/utils.py; "
        "github.com/Vegetebird/MHFormer/issues/40",
    ),
    Family(
        name="motionagformer",
        title="MotionAGFormer",
        module="motionagformer",
        paper="Mehraban et al., WACV 2024 (MotionAGFormer); Li et al., CVPR 2024 (HoT)",
        license="network code published under Apache-2.0, and under MIT with HoT; weights trained "
        "on Human3.6M, whose terms are academic",
        sizes={
            "b": PublishedSize(
                243, _motionagformer(128, 16), f"{_MOTIONAGFORMER}MotionAGFormer-base.yaml"
            ),
            "xs": PublishedSize(
                27, _motionagformer(64, 12), f"{_MOTIONAGFORMER}MotionAGFormer-xsmall.yaml"
            ),
            "s": PublishedSize(
                81, _motionagformer(64, 26), f"{_MOTIONAGFORMER}MotionAGFormer-small.yaml"
            ),
            "l": PublishedSize(
                243, _motionagformer(128, 26), f"{_MOTIONAGFORMER}MotionAGFormer-large.yaml"
            ),
            # The copy that the hourglass was put into: B, but with other settings that shapes do
            # not tell.
            "hot": PublishedSize(
                243,
                _motionagformer(128, 16, heads=4, neighbours=4),
                "github.com/NationalGAILab/HoT, model/motionagformer/hot_motionagformer.py",
            ),
        },
        settings=(*BASIC_SETTINGS, "representation", "neighbours"),
        pruning={
            Variant.HOT: Pruning(
                81, 7, "github.com/NationalGAILab/HoT, model/motionagformer/hot_motionagformer.py"
            ),
        },
        normalization=Normalization.IMAGE_WIDTH,
        unit=Unit.NORMALIZED_PIXEL,
        training_fps=50.0,
        float32=("head", "layers.*.graph_temporal.mixer"),
        conventions_source="github.com/TaatiTeam/MotionAGFormer, data/reader/h36m.py; "
        "github.com/Walter0807/MotionBERT/issues/21",
    ),
    Family(
        name="motionbert",
        title="MotionBERT",
        module="motionbert",
        paper="Zhu et al., ICCV 2023 (MotionBERT); Li et al., CVPR 2024 (HoT, TPC)",
        license="code under Apache-2.0; weights trained on Human3.6M, whose terms are academic",
        sizes={
            "lite": PublishedSize(
                243,
                NetworkSize(
                    channels=3, width=256, depth=5, heads=8, mlp_hidden=1024, representation=512
                ),
                "github.com/Walter0807/MotionBERT, configs/pose3d/MB_ft_h36m_global_lite.yaml; "
                "github.com/NationalGAILab/HoT, model/motionbert",
            ),
            "full": PublishedSize(
                243,
                NetworkSize(
                    channels=3, width=512, depth=5, heads=8, mlp_hidden=1024, representation=512
                ),
                "github.com/Walter0807/MotionBERT, configs/pose3d/MB_ft_h36m.yaml",
            ),
        },
        settings=(*BASIC_SETTINGS, "representation"),
        pruning={
            Variant.HOT: Pruning(81, 1, "github.com/NationalGAILab/HoT, model/motionbert"),
            Variant.TPC: Pruning(
                121,
                2,
                "not published: this SDK's own, of about the FLOPs that Li et al. give, 91 G; 61 "
                "frames before block 3 have as many",
            ),
        },
        normalization=Normalization.IMAGE_WIDTH,
        unit=Unit.NORMALIZED_PIXEL,
        training_fps=50.0,
        float32=("head",),
        conventions_source="github.com/Walter0807/MotionBERT, lib/data and issues 9, 21, 121",
    ),
    Family(
        name="nanohtnet",
        title="NanoHTNet",
        module="nanohtnet",
        paper="Cai et al., IEEE TIP 2025, arXiv 2501.15763 (NanoHTNet)",
        license="network code published under MIT; weights trained on Human3.6M, whose terms are "
        "academic",
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
        pruning={},
        unprunable="it has no token for each frame, but one for each joint and one for each kept "
        "coefficient of the transform over time; keep fewer of those",
        normalization=Normalization.IMAGE_WIDTH,
        unit=Unit.METRE,
        training_fps=50.0,
        float32=("fc", "fcn_*"),
        conventions_source="github.com/vefalun/NanoHTNet, common/camera.py, "
        "common/load_data_h36m.py and main.py",
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

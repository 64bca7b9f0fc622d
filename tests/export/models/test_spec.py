"""Options of a family: what they resolve to, and what is rejected."""

import re
from dataclasses import fields

import pytest

from hot_sdk._base import records
from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError
from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.models import family, list_models, resolve
from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.spec import _LARGEST, ModelSpec, SizeOptions, tokens_for_ratio
from hot_sdk.manifest import PruningStage

FAMILIES = pytest.mark.parametrize("name", list_models())
PRUNING = pytest.mark.parametrize("name", [name for name in list_models() if family(name).pruning])
PRUNED = [(name, variant) for name in list_models() for variant in family(name).pruning]


def summary(spec):
    """Variant, frames, tokens and block of a network with at most one stage of pruning."""
    assert len(spec.stages) <= 1
    block = spec.stages[0].prune_at if spec.stages else None
    return (spec.variant.value, spec.frames, spec.tokens, block)


def selectors(spec):
    return [stage.selector for stage in spec.stages]


@FAMILIES
def test_default_is_the_published_plain_network(name):
    entry, spec = family(name), resolve(name)
    assert summary(spec) == ("plain", entry.frames, None, None)
    assert (spec.family, spec.size) == (name, entry.size)
    assert (spec.stages, spec.recovery) == ((), None)
    assert (spec.ratio, spec.output_frames) == (1.0, entry.size.coefficients or entry.frames)
    assert spec.plain() == spec


@pytest.mark.parametrize(("name", "variant"), PRUNED)
@pytest.mark.parametrize("as_text", [False, True])
def test_variant_defaults_to_the_published_pruning(name, variant, as_text):
    entry, published = family(name), family(name).pruning[variant]
    spec = resolve(name, variant=variant.value if as_text else variant)
    assert summary(spec) == (variant.value, entry.frames, published.tokens, published.prune_at)
    assert selectors(spec) == [SelectorKind.TPC]
    assert spec.recovery is (RecoveryKind.TRA if variant is Variant.HOT else None)
    assert spec.output_frames == (entry.frames if spec.recovery else published.tokens)
    assert spec.ratio == published.tokens / entry.frames
    assert spec.plain() == resolve(name)


@pytest.mark.parametrize(("name", "variant"), PRUNED)
@pytest.mark.parametrize("frames", range(2, 12))
def test_every_specification_is_consistent(name, variant, frames):
    """However short the window; a network that keeps every frame is plain."""
    spec = resolve(name, frames=frames, variant=variant)
    assert spec.variant is (Variant.PLAIN if frames == 2 else variant)
    assert spec.tokens is None or 2 <= spec.tokens < frames
    assert (spec.tokens is None) == (spec.variant is Variant.PLAIN)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"ratio": 0.5}, ("hot", 243, 122, 3)),
        ({"ratio": 1}, ("plain", 243, None, None)),
        ({"ratio": 1.0, "variant": "hot"}, ("plain", 243, None, None)),
        ({"tokens": 243, "variant": "tpc"}, ("plain", 243, None, None)),
        ({"tokens": 243}, ("plain", 243, None, None)),
        ({"variant": "plain"}, ("plain", 243, None, None)),
        ({"variant": "plain", "ratio": 1.0}, ("plain", 243, None, None)),
        ({"tokens": 2}, ("hot", 243, 2, 3)),
        ({"ratio": 1e-9}, ("hot", 243, 2, 3)),
        ({"ratio": 0.25, "variant": "tpc"}, ("tpc", 243, 61, 7)),
        ({"tokens": 81, "prune_at": 1}, ("hot", 243, 81, 1)),
        ({"variant": "hot", "prune_at": 7}, ("hot", 243, 81, 7)),
        ({"frames": 81, "variant": "hot"}, ("hot", 81, 27, 3)),
        ({"frames": 81, "variant": "tpc"}, ("tpc", 81, 20, 7)),
        ({"frames": 27, "ratio": 0.5}, ("hot", 27, 14, 3)),
        ({"frames": 2}, ("plain", 2, None, None)),
        ({"frames": 2, "ratio": 0.5}, ("plain", 2, None, None)),
        ({"frames": 4096, "tokens": 4095}, ("hot", 4096, 4095, 3)),
    ],
)
def test_accepted(request_, expected):
    assert summary(resolve("mixste", **request_)) == expected


def test_accepted_choices():
    spec = resolve("mixste", variant="hot", selector="uniform", recovery="interpolate")
    assert selectors(spec) == [SelectorKind.UNIFORM]
    assert spec.recovery is RecoveryKind.INTERPOLATE
    spec = resolve("mixste", variant="tpc", selector=SelectorKind.MOTION)
    assert (selectors(spec), spec.recovery) == ([SelectorKind.MOTION], None)


def test_accepted_sizes():
    size = resolve("mixste", channels=3, width=64, depth=2, heads=4, mlp_hidden=96).size
    assert (size.channels, size.width, size.depth, size.heads, size.mlp_hidden) == (3, 64, 2, 4, 96)


@pytest.mark.parametrize(
    ("ratio", "frames", "tokens"),
    [
        (0.5, 243, 122),  # 121.5
        (0.5, 242, 121),
        (0.5, 5, 3),  # 2.5, which rounding half to even would make 2
        (0.5, 7, 4),
        (0.25, 10, 3),  # 2.5
        (0.25, 9, 2),
        (1 / 3, 243, 81),
        (81 / 243, 243, 81),
        (61 / 243, 243, 61),
        (0.01, 243, 2),
        (0.001, 243, 2),
        (1.0, 243, 243),
    ],
)
def test_ratio_to_tokens_rounds_half_up(ratio, frames, tokens):
    assert tokens_for_ratio(ratio, frames) == tokens


@PRUNING
@pytest.mark.parametrize(
    ("request_", "message", "hint"),
    [
        ({"frames": 1}, "frames is 1, which is outside 2 to 4096", "was published with {frames}"),
        ({"frames": 4097}, "frames is 4097", "was published with {frames}"),
        ({"ratio": 0.0}, "ratio is 0.0", "share of frames that is kept"),
        ({"ratio": -0.5}, "ratio is -0.5", "share of frames that is kept"),
        ({"ratio": 1.01}, "ratio is 1.01", "share of frames that is kept"),
        ({"ratio": float("nan")}, "ratio is nan", "share of frames that is kept"),
        ({"ratio": float("inf")}, "ratio is inf", "share of frames that is kept"),
        ({"tokens": 1}, "tokens is 1, which is outside 2 to {frames}", "number of frames that"),
        ({"tokens": 0}, "tokens is 0", "number of frames that are kept"),
        ({"frames": 27, "tokens": 28}, "tokens is 28, which is outside 2 to 27", "number of"),
        ({"ratio": 0.5, "tokens": 81}, "Both a ratio (0.5) and a number of tokens (81)", "one of"),
        ({"variant": "plain", "ratio": 0.5}, "'plain' keeps every frame", "'hot' or 'tpc'"),
        ({"prune_at": 3}, "prune_at was given", "Request a ratio below 1"),
        ({"selector": "uniform"}, "selector was given", "Request a ratio below 1"),
        ({"recovery": "tra", "ratio": 1}, "recovery was given", "Request a ratio below 1"),
        ({"variant": "hott"}, "There is no variant 'hott'", "Did you mean 'hot'?"),
        ({"variant": "HOT"}, "There is no variant 'HOT'", "Did you mean 'hot'?"),
        ({"variant": "zzz"}, "There is no variant 'zzz'", "Known: plain, hot, tpc, live."),
        ({"ratio": 0.5, "selector": "unifrom"}, "no selector 'unifrom'", "mean 'uniform'?"),
        (
            {"ratio": 0.5, "selector": "zzz"},
            "no selector 'zzz'",
            "Known: tpc, uniform, motion, attention.",
        ),
        ({"ratio": 0.5, "recovery": "interp"}, "no recovery 'interp'", "mean 'interpolate'?"),
        ({"witdh": 64}, "'witdh' is not a setting of {title}", "Did you mean 'width'?"),
        (
            {"zzz": 64},
            "'zzz' is not a setting",
            "Known: channels, width, depth, heads, mlp_hidden",
        ),
        ({"depth": 0}, "depth is 0, which is outside 1 to 64", "was published with {depth}"),
        ({"width": 4097}, "width is 4097, which is outside 1 to 4096", "published with {width}"),
        ({"mlp_hidden": 16385}, "mlp_hidden is 16385", "was published with {mlp_hidden}"),
        ({"channels": 4}, "channels is 4", "was published with {channels}"),
        ({"channels": 1}, "channels is 1", "was published with {channels}"),
        ({"width": 30, "heads": 4}, "width 30 cannot be divided among 4 heads", "multiple of"),
    ],
)
def test_rejects(name, request_, message, hint):
    entry = family(name)
    known = {"title": entry.title, "frames": entry.frames, **vars(entry.size)}
    with pytest.raises(UsageError) as caught:
        resolve(name, **request_)
    assert message.format_map(known) in caught.value.message
    assert hint.format_map(known) in caught.value.hint


@pytest.mark.parametrize(("name", "variant"), PRUNED)
@pytest.mark.parametrize("block", [0, -1, None])
def test_rejects_pruning_blocks_out_of_range(name, variant, block):
    """Before the first block no token has seen another; after the last there is nothing to save."""
    depth = family(name).size.depth
    block = depth if block is None else block
    message = re.escape(f"prune_at is {block}, which is outside 1 to {depth - 1}.")
    with pytest.raises(UsageError, match=message) as caught:
        resolve(name, variant=variant, prune_at=block)
    assert f"there are {depth}, counted from 0" in caught.value.hint


@pytest.mark.parametrize("name", [name for name, variant in PRUNED if variant is Variant.TPC])
@pytest.mark.parametrize("recovery", RecoveryKind)
def test_rejects_recovery_for_tpc(name, recovery):
    with pytest.raises(UsageError, match="recovers no frames") as caught:
        resolve(name, variant="tpc", recovery=recovery)
    assert "the variant 'hot'" in caught.value.hint


@pytest.mark.parametrize("name", [name for name in list_models() if family(name).single_frame])
@pytest.mark.parametrize(
    "request_",
    [{"ratio": 0.5}, {"ratio": 1.0}, {"tokens": 2}, {"prune_at": 1}, {"variant": "hot"}],
)
def test_rejects_pruning_of_a_single_frame(name, request_):
    with pytest.raises(UsageError, match="lifts each frame by itself"):
        resolve(name, **request_)
    with pytest.raises(UsageError, match="lifts each frame by itself"):
        resolve(name, frames=27)


@FAMILIES
def test_every_published_size_resolves_by_name(name):
    for title, published in family(name).sizes.items():
        spec = resolve(name, size=title)
        assert (spec.frames, spec.size) == (published.frames, published.size)
    with pytest.raises(UsageError, match="has no size 'enormous'"):
        resolve(name, size="enormous")


# Several stages


def test_stages():
    spec = resolve("mixste", ratio=(0.7, 0.5, 0.33), prune_at=(1, 3, 5), selector="uniform")
    assert spec.stages == tuple(
        PruningStage(block, tokens, SelectorKind.UNIFORM)
        for block, tokens in ((1, 170), (3, 122), (5, 80))
    )
    assert (spec.tokens, spec.ratio, spec.output_frames) == (80, 80 / 243, 243)
    assert spec.variant is Variant.HOT
    mixed = resolve(
        "mixste", tokens=[100, 50], prune_at=[2, 4], selector=["tpc", "motion"], variant="tpc"
    )
    assert selectors(mixed) == [SelectorKind.TPC, SelectorKind.MOTION]
    assert mixed.output_frames == 50


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"ratio": (0.5, 0.7), "prune_at": (1, 3)}, "keeps 170 frames and the one before it 122"),
        ({"ratio": (0.5, 0.5), "prune_at": (1, 3)}, "keeps 122 frames and the one before it 122"),
        ({"ratio": (0.7, 0.5)}, "2 stages keep frames, but 1 values of prune_at"),
        ({"ratio": (0.7, 0.5), "prune_at": (3, 1)}, "prune_at is 3,1, which does not ascend"),
        ({"ratio": (0.7, 0.5), "prune_at": (3, 3)}, "prune_at is 3,3, which does not ascend"),
        ({"ratio": (0.7, 0.5), "prune_at": (3, 8)}, "prune_at is 8, which is outside 1 to 7"),
        (
            {"ratio": (0.7, 0.5, 0.3), "prune_at": (1, 2, 3), "selector": ("tpc", "motion")},
            "3 stages keep frames, but 2 values of selector",
        ),
        ({"ratio": (0.7, 1.5), "prune_at": (1, 3)}, "ratio is 1.5"),
        ({"tokens": (300, 5), "prune_at": (1, 3)}, "tokens is 300"),
    ],
)
def test_rejects_inconsistent_stages(request_, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        resolve("mixste", **request_)


def test_rejects_unknown_family():
    with pytest.raises(UsageError, match="Did you mean 'mixste'"):
        resolve("mixst")


def test_closest():
    assert closest("Interpolat", ["tra", "interpolate"]) == "Did you mean 'interpolate'?"
    assert closest("", ["tra", "interpolate"]) == "Known: tra, interpolate."


def test_options_cover_every_setting_of_a_network():
    assert SizeOptions.__annotations__.keys() == {field.name for field in fields(NetworkSize)}
    assert {*_LARGEST} == {*SizeOptions.__annotations__}


def test_reads_the_specification_of_an_older_file():
    spec = resolve("motionagformer", ratio=0.5)
    text = records.to_json(spec).replace('"neighbors"', '"neighbours"')
    assert '"neighbours": 2' in text
    assert records.build(ModelSpec, records.parse_object(text)) == spec

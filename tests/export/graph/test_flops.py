"""Counts of the published networks against what their authors and others counted."""

from pathlib import Path

import pytest
import torch
from published_products import difference, use_published_products
from small_networks import small_frames, small_size
from torch.utils.flop_counter import FlopCounterMode

from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.graph.flops import count_network, count_parameters
from hot_sdk.export.listing import cost_of, count_cost
from hot_sdk.export.models import build, family, list_models, resolve
from hot_sdk.export.models.published_costs import PUBLISHED_COSTS, NetworkCost

PAGE = (Path(__file__).parents[3] / "docs" / "published-networks.md").read_text(encoding="utf-8")
NETWORKS = [
    (name, variant) for name in list_models() for variant in (Variant.PLAIN, *family(name).pruning)
]
RECOVERING = [name for name, variant in NETWORKS if variant is Variant.HOT]
DEFAULT_SIZE = {name: next(iter(family(name).sizes)) for name in list_models()}
PUBLISHED = [(name, DEFAULT_SIZE[name], variant) for name, variant in NETWORKS]
OTHERS = [
    (name, size, Variant.PLAIN)
    for name in list_models()
    for size in family(name).sizes
    if size != DEFAULT_SIZE[name]
]
OTHERS += [(name, DEFAULT_SIZE[name], Variant.LIVE) for name in list_models() if family(name).live]
_MHFORMER_RECOVERY = (3 * 2 * (351 + 117) * 512**2 + (351 - 117) * 1536 * 51) * 2e-9
# Each layer attends twice over joints, twice over frames: two layers of 243 frames, three of 121.
_MOTIONBERT_ATTENTION = sum(
    layers * 2 * (frames * 17**2 + 17 * frames**2) * 2 * 256 * 2e-9
    for layers, frames in ((2, 243), (3, 121))
)
# Of three layers, each four attentions and MLPs and a blend; and of the layers to the poses.
_MOTIONBERT_PRUNED = (
    ((243 - 121) * 17)
    * (3 * (4 * (4 * 256**2 + 2 * 256 * 1024) + 2 * 256 * 2) + 256 * 512 + 512 * 3)
    * 2e-9
)
# Giga-operations of linear layers and, by torch's counter, of all products, and millions of
# parameters, of the authors' code at its published sizes.
MEASURED = {
    ("htnet", Variant.PLAIN): (0.061419, 0.07584, 3.048),
    # The linear layers by hand: two embeddings, three blocks over 17 joints and as many over 9
    # coefficients, with the limbs in the former, and three layers to the poses.
    ("nanohtnet", Variant.PLAIN): (
        (17 * 486 * 240 + 9 * 34 * 240) * 2e-9
        + 3 * (17 * (4 * 80**2 + 2 * 240 * 256) + 4 * (5 * 80**2 + 4 * 80 * 256)) * 2e-9
        + 3 * 9 * (4 * 120**2 + 2 * 240 * 256) * 2e-9
        + (17 * 240 * 72 + 9 * 240 * 136 + 9 * 17 * 16 * 3) * 2e-9,
        0.061922,
        2.492,
    ),
    ("mhformer", Variant.PLAIN): (14.146, 16.44, 31.516),
    ("mhformer", Variant.TPC): (8.220, 9.16, 31.516),
    # Not published: TPC-MHFormer and, by hand, the recovery of three tokens a frame, and the head
    # for the frames that it brings back.
    ("mhformer", Variant.HOT): (
        8.220 + _MHFORMER_RECOVERY,
        9.165 + _MHFORMER_RECOVERY + 3 * 2 * 351 * 117 * 512 * 2e-9,
        31.516 + (4 * (512 + 1) * 512 + (351 + 117) * 512) * 1e-6,
    ),
    ("motionagformer", Variant.PLAIN): (95.922, 128.92, 11.724),
    ("motionagformer", Variant.HOT): (60.521, 76.66, 11.828),
    ("motionbert", Variant.PLAIN): (131.094, 142.09, 16.002),
    ("motionbert", Variant.HOT): (63.209, 66.86, 16.348),
    # By hand, since its code is not published: the plain network less the linear layers that 122
    # frames do not see; and attention.
    ("motionbert", Variant.TPC): (
        131.094 - _MOTIONBERT_PRUNED,
        131.094 - _MOTIONBERT_PRUNED + _MOTIONBERT_ATTENTION,
        16.002,
    ),
    ("mixste", Variant.PLAIN): (277.248, 294.85, 33.784),
    ("mixste", Variant.HOT): (167.512, 176.18, 35.000),
    ("mixste", Variant.TPC): (251.284, 266.85, 33.784),
}


def test_every_published_network_was_measured():
    assert MEASURED.keys() == {*NETWORKS}


def _row(name, variant):
    """Return what the page of published networks says of one of them, without others' figures."""
    (line,) = (line for line in PAGE.splitlines() if f"| `{name}` | {variant.value} |" in line)
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    return [*cells[2:6], *cells[7:9]]


@pytest.mark.parametrize(("name", "variant"), NETWORKS)
def test_published_networks(name, variant):
    linear, products, parameters = MEASURED[name, variant]
    spec = resolve(name, variant=variant)
    counted = count_network(spec)
    assert counted.papers / 1e9 == pytest.approx(linear, abs=6e-4 if linear > 1.0 else 6e-7)
    published = counted.matmuls + difference(spec)
    figures = counted.papers, counted.matmuls, published
    assert _row(name, variant) == [
        *(str(spec.frames), str(spec.tokens or ""), f"{count_parameters(spec) / 1e6:.3f}"),
        *(f"{figure / 1e9:.3f}" for figure in figures),
    ]
    assert published / 1e9 == pytest.approx(products, abs=6e-3 if products > 1.0 else 1e-6)
    assert count_parameters(spec) / 1e6 == pytest.approx(parameters, abs=6e-4)
    cost = NetworkCost(count_parameters(spec), counted.papers, counted.matmuls)
    assert PUBLISHED_COSTS[name, DEFAULT_SIZE[name], variant] == cost


def test_every_listed_network_has_its_cost():
    assert PUBLISHED_COSTS.keys() == {*PUBLISHED, *OTHERS}


@pytest.mark.parametrize(("name", "size", "variant"), OTHERS)
def test_costs_of_other_sizes(name, size, variant):
    spec = resolve(name, size=size, variant=variant)
    assert PUBLISHED_COSTS[name, size, variant] == count_cost(spec)


def test_network_that_is_not_in_the_list_is_counted():
    spec = small("mixste")
    cost = cost_of(spec, "small")
    assert cost == (count_parameters(spec), count_network(spec).papers, count_network(spec).matmuls)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "variant"), NETWORKS)
def test_torchs_counter_on_the_published_products(name, variant, monkeypatch):
    """The authors' products give the same poses; what they cost more or less is computed."""
    options = {} if variant is Variant.PLAIN else {"variant": variant, "prune_at": 1}
    spec = resolve(name, frames=small_frames(name, 27), **small_size(name), **options)
    counted = count_network(spec)
    network = build(spec).requires_grad_(False).double()
    network.load_state_dict(random_state_dict(network))
    generator = torch.Generator().manual_seed(0)
    shape = (1, spec.frames, spec.joints, spec.size.channels)
    window = torch.randn(shape, generator=generator, dtype=torch.float64)
    with FlopCounterMode(display=False) as ours:
        poses, kept = network(window)
    use_published_products(monkeypatch, network)
    with FlopCounterMode(display=False) as published:
        same, chosen = network(window)
    torch.testing.assert_close(same, poses, rtol=1e-9, atol=1e-9)
    assert kept is None or torch.equal(chosen, kept)
    assert published.get_total_flops() == counted.matmuls + difference(spec)
    repeated = spec.frame_tokens - 1 if spec.recovery is RecoveryKind.TRA else 0
    projected = 2 * repeated * spec.frames * spec.size.width**2
    assert ours.get_total_flops() == counted.matmuls - projected


def test_full_size_of_motionbert():
    spec = resolve("motionbert", size="full")
    counted = count_network(spec)
    assert counted.papers / 1e9 == pytest.approx(348.81, rel=5e-4)
    assert counted.matmuls / 1e9 == pytest.approx(370.81, rel=5e-4)
    assert count_parameters(spec) / 1e6 == pytest.approx(42.466, abs=6e-4)


@pytest.mark.parametrize(
    ("tokens", "prune_at", "giga"),
    [(27, 1, 39.9), (61, 1, 54.6), (121, 1, 80.5), (81, 2, 80.5), (81, 3, 97.9), (81, 4, 115.2)],
)
def test_ablations_of_motionbert(tokens, prune_at, giga):
    spec = resolve("motionbert", variant=Variant.HOT, tokens=tokens, prune_at=prune_at)
    assert count_network(spec).papers / 1e9 == pytest.approx(giga, abs=0.06)


# Tables of the paper's ablations: tokens, block before which frames are pruned, giga-operations.
HOT = [
    *[(16, 3, 120.0), (27, 3, 128.0), (41, 3, 138.3), (61, 3, 152.9), (121, 3, 196.7)],
    *[(135, 3, 207.0), (162, 3, 226.7)],
    *[(81, 1, 121.3), (81, 2, 144.4), (81, 4, 190.6), (81, 5, 213.7), (81, 6, 236.8)],
    (81, 7, 259.9),
]
TPC = [
    *[(61, 1, 95.6), (61, 3, 147.5), (61, 5, 199.4), (61, 6, 225.3)],
    *[(9, 7, 243.9), (27, 7, 246.4), (81, 7, 254.1), (121, 7, 259.8)],
]


@pytest.mark.parametrize(
    ("variant", "tokens", "prune_at", "giga"),
    [(Variant.HOT, *row) for row in HOT] + [(Variant.TPC, *row) for row in TPC],
)
def test_ablations_of_mixste(variant, tokens, prune_at, giga):
    spec = resolve("mixste", variant=variant, tokens=tokens, prune_at=prune_at)
    assert count_network(spec).papers / 1e9 == pytest.approx(giga, abs=0.06)


@pytest.mark.parametrize(("frames", "giga"), [(27, 30.8), (81, 92.4)])
def test_shorter_windows_of_mixste(frames, giga):
    assert count_network(resolve("mixste", frames=frames)).papers / 1e9 == pytest.approx(
        giga, abs=0.06
    )


@pytest.mark.parametrize(("frames", "giga"), [(27, 1.03), (81, 3.12), (243, 9.62)])
def test_shorter_windows_of_mhformer(frames, giga):
    spec = resolve("mhformer", size=str(frames))
    assert count_network(spec).papers / 1e9 == pytest.approx(giga, abs=0.006)


@pytest.mark.parametrize(("tokens", "giga"), [(39, 6.25), (88, 7.49), (176, 9.71)])
def test_ablations_of_mhformer(tokens, giga):
    spec = resolve("mhformer", variant="tpc", tokens=tokens)
    assert count_network(spec).papers / 1e9 == pytest.approx(giga, abs=0.006)


def small(name, **request):
    return resolve(name, frames=27, **small_size(name), **request)


@pytest.mark.parametrize("name", RECOVERING)
def test_selector_costs_only_its_distances(name):
    counts = {
        kind: count_network(
            small(name, tokens=9, prune_at=1, selector=kind, recovery=RecoveryKind.INTERPOLATE)
        )
        for kind in SelectorKind
    }
    assert len({count.papers for count in counts.values()}) == 1
    assert counts[SelectorKind.UNIFORM] == counts[SelectorKind.MOTION]
    assert counts[SelectorKind.UNIFORM] == counts[SelectorKind.ATTENTION]
    distances = counts[SelectorKind.TPC].matmuls - counts[SelectorKind.UNIFORM].matmuls
    # Between all tokens of a frame where they are hypotheses, else between their average.
    assert distances == 2 * 27**2 * 32 * (family(name).hypotheses or 1)


# MotionAGFormer's queries, keys and values have no bias, and the norms of two layers know the
# scale and shift of 9 ranks in place of 27 frames.
FEWER = {"motionagformer": 3 * 32 + 2 * 2 * (27 - 9)}


@pytest.mark.parametrize("name", RECOVERING)
def test_only_attention_adds_parameters(name):
    plain, recovering = small(name), small(name, tokens=9, prune_at=1)
    added = 9 * 32 + 27 * 32 + 4 * (32 * 32 + 32) - FEWER.get(name, 0)
    assert count_parameters(recovering) - count_parameters(plain) == added
    interpolating = small(name, tokens=9, prune_at=1, recovery=RecoveryKind.INTERPOLATE)
    assert count_parameters(interpolating) == count_parameters(plain)

"""Which frames are kept, and how the others come back."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.models import build, family, list_models, resolve
from hot_sdk.export.models.frame_selection import (
    FrameSelector,
    density_peak_scores,
    highest_frames,
    interpolate_frames,
    motion_scores,
    squared_distances,
    take_frames,
    uniform_frames,
    window_frames,
)
from hot_sdk.export.models.hourglass import TokenRecoveringAttention
from hot_sdk.manifest import PruningStage

FRAMES, TOKENS, CHANNELS, JOINTS = 243, 81, 512, 17
# What the network's attention chooses is tested with networks.
KINDS = [kind for kind in SelectorKind if kind is not SelectorKind.ATTENTION]
SELECTORS = pytest.mark.parametrize("kind", KINDS)
CENTERS = pytest.mark.parametrize("keep_center", [False, True])


pytestmark = pytest.mark.usefixtures("one_thread")


def smooth_walk(seed, columns, frames=FRAMES):
    """A random walk whose steps are averaged over 9 frames, (frames, columns)."""
    steps = np.random.default_rng(seed).standard_normal((frames + 8, columns))
    sums = np.cumsum(np.concatenate([np.zeros((1, columns)), steps]), axis=0)
    return np.cumsum((sums[9:] - sums[:-9]) / 9, axis=0)


def body_features(seed, speed):
    """Features that follow a body of eight degrees of freedom, (frames, channels)."""
    mixing = np.random.default_rng(seed).standard_normal((9, CHANNELS)) / math.sqrt(8)
    walk = smooth_walk(seed, 8) * speed
    return torch.from_numpy((walk @ mixing[:8] + mixing[8]).astype(np.float32))


def clips(count, frames=FRAMES, joints=JOINTS):
    """Features and keypoints of clips at several speeds, (count, frames, ...)."""
    speeds = [(1.0, 0.1, 0.01, 0.03)[clip % 4] for clip in range(count)]
    features = [body_features(clip, speed)[:frames] for clip, speed in enumerate(speeds)]
    walks = [smooth_walk(clip, joints * 2, frames) * 0.01 for clip in range(count)]
    keypoints = np.stack(walks).reshape(count, frames, joints, 2).astype(np.float32)
    return torch.stack(features), torch.from_numpy(keypoints)


def selector(kind, *, tokens=TOKENS, keep_center=False, mirrored_pairs=False, frames=FRAMES):
    return FrameSelector(
        (PruningStage(1, tokens, SelectorKind(kind)),),
        frames=frames,
        keep_center=keep_center,
        mirrored_pairs=mirrored_pairs,
    )


def published_choice(features, tokens):
    """``cluster_dpc_knn`` of the authors in float64, frame by frame, without its noise."""
    points = features.numpy().astype(np.float64)
    frames, channels = points.shape
    distance = np.array(
        [np.sqrt(np.square(points - point).sum(axis=1)) for point in points]
    ) / math.sqrt(channels)
    two_nearest = np.sort(distance, axis=1)[:, :2]
    density = np.exp(-np.square(two_nearest).mean(axis=1))
    separation = np.empty(frames)
    for i in range(frames):
        denser = [
            distance[i, j]
            for j in range(frames)
            if density[j] > density[i] or (density[j] == density[i] and j < i)
        ]
        separation[i] = min(denser, default=distance.max())
    return sorted(np.argsort(-separation * density, kind="stable")[:tokens].tolist())


def choose(features, tokens=TOKENS):
    return highest_frames(density_peak_scores(features), tokens)


# Clustering


@pytest.mark.parametrize("speed", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tokens", [2, 81])
def test_clustering_matches_the_published_one(seed, speed, tokens):
    features = body_features(seed, speed)
    assert choose(features[None].double(), tokens)[0].tolist() == published_choice(features, tokens)


def test_of_equally_dense_frames_the_earlier_outranks():
    """Two pairs, each the other's nearest: density exp(-1/2) for all four."""
    features = torch.tensor([[[0.0], [1.0], [5.0], [6.0]]])
    expected = math.exp(-0.5) * torch.tensor([[6.0, 1.0, 4.0, 1.0]])
    assert_close(density_peak_scores(features), expected)
    assert choose(features, 3).tolist() == [[0, 1, 2]]


SPEEDS = pytest.mark.parametrize("speed", [1.0, 0.1, 0.01, 0.001])
UNIT_ROUNDOFF = 2.0**-24


@functools.cache
def exact_distances(seed, speed):
    """Squared distances over channels by direct differences, and what rounding scales with."""
    points = body_features(seed, speed).numpy().astype(np.float64)
    distance_sq = np.stack([np.square(points - point).mean(axis=1) for point in points])
    square = np.square(points - points.mean(axis=0)).mean(axis=1)
    return distance_sq, square[:, None] + square


def decided_frames(distance_sq, error, tokens):
    """Frames that are chosen, and those that are not, for every error within a bound.

    Args:
        distance_sq: Exact squared distances, (frames, frames).
        error: Bound of their error, (frames, frames); distances stay symmetric.
        tokens: How many frames are chosen.
    """
    frames = np.arange(len(distance_sq))
    others = frames[:, None] != frames
    least_sq, most_sq = np.maximum(distance_sq - error, 0.0), distance_sq + error
    nearest = np.where(others, least_sq, np.inf).min(axis=1)
    nearest = nearest, np.where(others, most_sq, np.inf).min(axis=1)
    surely_denser = nearest[1] < nearest[0][:, None]
    maybe_denser = (nearest[0] <= nearest[1][:, None]) & others
    # Two frames that are each other's nearest are equally dense, so the earlier one outranks.
    partner = np.where(others, distance_sq, np.inf).argmin(axis=1)
    rivals = others & (partner[:, None] != frames)
    clear = np.where(rivals, least_sq, np.inf).min(axis=1) > nearest[1]
    (mutual,) = np.nonzero((partner[partner] == frames) & clear & clear[partner])
    surely_denser[mutual, partner[mutual]] = partner[mutual] < mutual
    maybe_denser[mutual, partner[mutual]] = partner[mutual] < mutual

    least, most = np.sqrt(least_sq), np.sqrt(most_sq)
    lowest = np.minimum(np.where(maybe_denser, least, np.inf).min(axis=1), least.max())
    highest = np.minimum(np.where(surely_denser, most, np.inf).min(axis=1), most.max())
    # Root, exponential and multiplication round, too.
    lowest *= np.exp(-0.5 * nearest[1]) * (1.0 - 8.0 * UNIT_ROUNDOFF)
    highest *= np.exp(-0.5 * nearest[0]) * (1.0 + 8.0 * UNIT_ROUNDOFF)
    chosen = ((highest >= lowest[:, None]) & others).sum(axis=1) < tokens
    dropped = ((lowest > highest[:, None]) & others).sum(axis=1) >= tokens
    return chosen, dropped


@SPEEDS
@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_float32_picks_the_frames_of_float64(speed, order):
    """Every frame whose choice the error of this machine's distances cannot change.

    The error depends on the order of sums; all orders keep to the same bound.
    """
    features = torch.stack([body_features(seed, speed) for seed in range(20)])
    features = features if order == "forwards" else features.flip(2)
    picked, distances = choose(features), squared_distances(features)
    for seed in range(20):
        distance_sq, scale = exact_distances(seed, speed)
        error = (np.abs(distances[seed].numpy() - distance_sq) / scale).max()
        # Two sums of squares and two Gram matrices, each a sum of CHANNELS rounded terms.
        assert error <= (2 * CHANNELS + 16) * UNIT_ROUNDOFF
        chosen, dropped = decided_frames(distance_sq, error * scale, TOKENS)
        found = np.isin(np.arange(FRAMES), picked[seed])
        assert found[chosen].all()
        assert not found[dropped].any()


@SPEEDS
def test_rounding_leaves_few_frames_open(speed):
    """In float64 alone: distances off by 24 roundings, as in a loop over channels, decide most."""
    undecided = []
    for seed in range(20):
        distance_sq, scale = exact_distances(seed, speed)
        chosen, dropped = decided_frames(distance_sq, 24 * UNIT_ROUNDOFF * scale, TOKENS)
        undecided.append(FRAMES - int((chosen | dropped).sum()))
        picked = choose(body_features(seed, speed)[None].double())[0]
        found = np.isin(np.arange(FRAMES), picked)
        assert found[chosen].all()
        assert not found[dropped].any()
    assert max(undecided) <= 12
    assert sum(undecided) <= 0.02 * 20 * FRAMES


def test_half_precision_is_scored_in_float32():
    features = body_features(0, 0.1)[None].half()
    scores = density_peak_scores(features)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, density_peak_scores(features.float()))
    assert density_peak_scores(features.double()).dtype == torch.float64


@SELECTORS
@CENTERS
def test_choice_is_deterministic(kind, keep_center):
    select, inputs = selector(kind, keep_center=keep_center), clips(2)
    assert torch.equal(select(*inputs), select(*(part.clone() for part in inputs)))
    assert torch.equal(density_peak_scores(inputs[0]), density_peak_scores(inputs[0].clone()))


@SELECTORS
@CENTERS
def test_choice_does_not_depend_on_the_batch(kind, keep_center):
    select, (features, keypoints) = selector(kind, keep_center=keep_center), clips(4)
    together = select(features, keypoints).expand(4, -1)
    alone = [select(features[i : i + 1], keypoints[i : i + 1]) for i in range(4)]
    assert torch.equal(together, torch.cat(alone))
    assert kind is SelectorKind.UNIFORM or len({*map(tuple, together.tolist())}) == 4


@pytest.mark.parametrize("kind", [SelectorKind.TPC, SelectorKind.MOTION])
def test_a_mirror_image_uses_the_frames_of_its_window(kind):
    features, keypoints = clips(4)
    pairs = selector(kind, mirrored_pairs=True)(features, keypoints)
    windows = selector(kind)(features[::2], keypoints[::2])
    assert torch.equal(pairs, windows.repeat_interleave(2, dim=0))


@SELECTORS
@CENTERS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("end", ["first", "last"])
def test_repeated_frames_get_at_most_their_share(kind, keep_center, dtype, end):
    """A third of each clip repeats one frame, as padding does; the copies are indistinguishable."""
    copies = slice(0, FRAMES // 3) if end == "first" else slice(FRAMES - FRAMES // 3, FRAMES)
    features, keypoints = (part.to(dtype) for part in clips(8))
    features[:, copies] = features[:, copies.start : copies.start + 1]
    keypoints[:, copies] = keypoints[:, copies.start : copies.start + 1]
    index = selector(kind, keep_center=keep_center)(features, keypoints)
    spent = ((index >= copies.start) & (index < copies.stop)).sum(dim=1)
    assert spent.max() <= TOKENS // 3
    assert kind is SelectorKind.UNIFORM or spent.max() <= 2


# What every choice holds to


@st.composite
def requests(draw):
    frames = draw(st.integers(3, 40))
    tokens = draw(st.one_of(st.just(2), st.just(frames - 1), st.integers(2, frames - 1)))
    kind = draw(st.sampled_from(KINDS))
    levels = draw(st.sampled_from([1, 2, 5, 10**6]), label="values; 1 is a constant clip")
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    features, keypoints = (
        torch.from_numpy(random.integers(0, levels, (2, frames, *rest)).astype(np.float32))
        for rest in ((3,), (2, 2))
    )
    centered = draw(st.booleans())
    choose = selector(kind, tokens=tokens, keep_center=centered, frames=frames)
    return choose, features, keypoints


@settings(deadline=None, max_examples=150)
@given(requests())
def test_choices_are_distinct_ascending_and_contain_the_center(request):
    select, features, keypoints = request
    frames = features.shape[1]
    index = select(features, keypoints)
    assert index.dtype == torch.int64
    assert index.shape[0] in (1, 2)
    for chosen in index.tolist():
        assert len(chosen) == select.stage.tokens
        assert chosen == sorted({*chosen})
        assert chosen[0] >= 0
        assert chosen[-1] < frames
        assert select.center is None or frames // 2 in chosen


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 1e-30, 0.5, 3.0, 1e30]), min_size=3, max_size=40),
    st.data(),
    st.booleans(),
)
def test_highest_frames_sorts_by_score_then_time(scores, data, keep_center):
    tokens = data.draw(st.integers(2, len(scores) - 1))
    center = len(scores) // 2 if keep_center else None
    order = sorted(range(len(scores)), key=lambda i: (i != center, -scores[i], i))
    keep = torch.tensor([[i == center for i in range(len(scores))]]) if keep_center else None
    index = highest_frames(torch.tensor([scores]), tokens, keep=keep)
    assert index.tolist() == [sorted(order[:tokens])]


def test_of_equal_scores_the_earlier_frame_wins():
    assert highest_frames(torch.zeros(1, 9), 4).tolist() == [[0, 1, 2, 3]]
    center = torch.arange(9)[None] == 4
    assert highest_frames(torch.zeros(1, 9), 3, keep=center).tolist() == [[0, 1, 4]]


# Uniform and motion


@given(st.integers(3, 400), st.data(), st.booleans())
def test_uniform_frames_are_even_and_contain_both_ends(frames, data, keep_center):
    tokens = data.draw(st.integers(2, frames - 1))
    chosen = uniform_frames(frames, tokens, center=frames // 2 if keep_center else None)
    gaps = np.diff(chosen)
    if keep_center:
        assert frames // 2 in chosen
    else:
        assert gaps.max() - gaps.min() <= 1
    # Of two frames, one makes room for the center.
    assert {chosen[0], chosen[-1]} >= {0, frames - 1} or (keep_center and tokens == 2)
    assert len(chosen) == tokens
    assert gaps.min() >= 1


def test_uniform_frames_round_half_up():
    assert uniform_frames(10, 3, center=None) == [0, 5, 9]
    assert uniform_frames(9, 4, center=None) == [0, 3, 5, 8]
    assert uniform_frames(9, 4, center=4) == [0, 4, 5, 8]


def test_motion_picks_the_frames_that_move():
    keypoints = torch.zeros(2, 20, JOINTS, 3)
    moving = [[3, 8, 9, 15], [5, 6, 11, 19]]
    for clip, frames in enumerate(moving):
        for frame in frames:
            keypoints[clip, frame:, 4:9, :2] += torch.tensor([0.01, -0.02])
    # The confidence changes wildly where nothing moves.
    keypoints[..., 2] = torch.rand(2, 20, JOINTS, generator=torch.Generator().manual_seed(1)) * 100
    scores = motion_scores(keypoints)
    assert highest_frames(scores, 4).tolist() == moving
    assert_close(scores[0, 3], torch.tensor(5 * math.hypot(0.01, 0.02)))
    assert torch.equal(scores, motion_scores(keypoints[..., :2]))


def test_motion_of_the_first_frame_is_that_of_the_second():
    keypoints = torch.arange(5.0).square().reshape(1, 5, 1, 1).expand(1, 5, 1, 2)
    root_2 = math.sqrt(2)
    assert_close(motion_scores(keypoints), torch.tensor([[1.0, 1.0, 3.0, 5.0, 7.0]]) * root_2)


# Taking and recovering


@pytest.mark.parametrize("rest", [(5, 3), (4,), ()])
@pytest.mark.parametrize(("batch", "choices"), [(1, 1), (3, 1), (3, 3)])
def test_take_frames_indexes(rest, batch, choices):
    random = np.random.default_rng(0)
    values = random.standard_normal((batch, 11, *rest))
    index = np.sort(np.stack([random.permutation(11)[:4] for _ in range(choices)]), axis=1)
    expected = values[np.arange(batch)[:, None], np.broadcast_to(index, (batch, 4))]
    taken = take_frames(torch.from_numpy(values), torch.from_numpy(index))
    assert torch.equal(taken, torch.from_numpy(expected))


@pytest.mark.parametrize("rounding", [-0.3, 0.3])
def test_a_count_that_an_engine_rounds_reads_no_other_item(monkeypatch, rounding):
    values = torch.arange(15 * 243).reshape(15, 243)
    index = torch.tensor([[0, 100, 242]]).repeat(15, 1)
    exact = take_frames(values, index)
    cumsum = torch.cumsum
    monkeypatch.setattr(torch, "cumsum", lambda *given, **how: cumsum(*given, **how) + rounding)
    assert torch.equal(take_frames(values, index), exact)


def test_later_stages_return_frames_of_the_window():
    kept, fixed = torch.tensor([[0, 3, 5, 9], [1, 2, 7, 8]]), torch.tensor([[0, 3, 5, 9]])
    positions = torch.tensor([[0, 2], [1, 3]])
    assert window_frames(kept, positions).tolist() == [[0, 5], [2, 8]]
    assert window_frames(fixed, positions).tolist() == [[0, 5], [3, 9]]
    assert window_frames(kept, positions[:1]).tolist() == [[0, 5], [1, 7]]
    assert window_frames(fixed, positions[:1]).tolist() == [[0, 5]]


@pytest.mark.parametrize(("batch", "choices"), [(1, 1), (3, 1), (3, 3)])
@pytest.mark.parametrize("kept", [2, 7, 29])
def test_interpolation_matches_numpy(batch, choices, kept):
    random, frames = np.random.default_rng(kept), 30
    tokens = random.standard_normal((batch, kept, 2, 3)).astype(np.float32)
    index = np.sort(np.stack([random.permutation(frames)[:kept] for _ in range(choices)]), axis=1)
    filled = interpolate_frames(torch.from_numpy(tokens), torch.from_numpy(index), frames).numpy()
    assert filled.shape == (batch, frames, 2, 3)
    for item, when in enumerate(np.broadcast_to(index, (batch, kept))):
        np.testing.assert_array_equal(filled[item, when], tokens[item])
        np.testing.assert_array_equal(filled[item, : when[0]] - tokens[item, 0], 0)
        np.testing.assert_array_equal(filled[item, when[-1] :] - tokens[item, -1], 0)
        for joint, channel in np.ndindex(2, 3):
            expected = np.interp(np.arange(frames), when, tokens[item, :, joint, channel])
            np.testing.assert_allclose(filled[item, :, joint, channel], expected, atol=1e-6)


def test_interpolation_is_exact_where_motion_is_linear():
    index = torch.tensor([[0, 1, 5, 13, 15], [0, 4, 8, 12, 15]])
    slope = torch.tensor([[0.5, -2.0, 4.0]])
    line = torch.arange(16.0).reshape(1, 16, 1, 1) * slope + 8.0
    filled = interpolate_frames(take_frames(line.expand(2, -1, -1, -1), index), index, 16)
    assert_close(filled, line.expand(2, -1, -1, -1), atol=1e-5, rtol=0)


def test_recovering_attention_matches_its_definition():
    generator = torch.Generator().manual_seed(3)
    layer = TokenRecoveringAttention(24, 4).double().requires_grad_(False)
    queries = torch.randn(1, 7, 24, generator=generator, dtype=torch.float64)
    tokens = torch.randn(2, 3, 5, 24, generator=generator, dtype=torch.float64)
    expected = torch.empty(2, 7, 5, 24, dtype=torch.float64)
    for item, joint in np.ndindex(2, 5):
        heads = []
        kept = tokens[item, :, joint]
        for head in range(4):
            own = slice(6 * head, 6 * head + 6)
            query, key, value = (
                part[:, own]
                for part in (layer.linear_q(queries[0]), layer.linear_k(kept), layer.linear_v(kept))
            )
            heads.append((query @ key.T / math.sqrt(6)).softmax(dim=1) @ value)
        expected[item, :, joint] = layer.proj(torch.cat(heads, dim=1))
    assert_close(layer(queries, tokens), expected)
    layer.fold_queries(queries)
    assert_close(layer(queries, tokens), expected)
    # Folded, neither the queries nor their projection are read any more.
    layer.linear_q.weight.zero_()
    assert_close(layer(queries * 0, tokens), expected)


# From a network's specification

PRUNED = [(name, variant) for name in list_models() for variant in family(name).pruning]


@pytest.mark.parametrize("name", list_models())
def test_a_plain_network_has_no_hourglass(name):
    with torch.device("meta"):
        network = build(resolve(name), mirrored_pairs=True)
    assert not network.selectors
    assert not {"pos_embed_token", "x_token"} & network.state_dict().keys()
    assert not hasattr(network, "interpolation")


@pytest.mark.parametrize(("name", "variant"), PRUNED)
@pytest.mark.parametrize("mirrored", [False, True])
def test_hourglass_of_a_published_network(name, variant, mirrored):
    published, centered = family(name).pruning[variant], variant is Variant.TPC
    with torch.device("meta"):
        network = build(resolve(name, variant=variant), mirrored_pairs=mirrored)
    (select,) = network.selectors
    assert select.stage == PruningStage(published.prune_at, published.tokens, SelectorKind.TPC)
    assert select.center == (network.frames // 2 if centered else None)
    assert select.mirrored_pairs == (mirrored and centered)
    assert network.spec.recovery is (None if centered else RecoveryKind.TRA)

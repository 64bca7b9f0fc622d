"""Small networks of every family, variant, selector and recovery, as the functions to export."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from small_networks import small_frames, small_size
from torch.testing import assert_close

from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import build, family, list_models, resolve

FRAMES, TOKENS, BATCH = 15, 5, 3
# One block before frames are pruned and one after each time.
PLAIN = [
    resolve(name, frames=small_frames(name, FRAMES), **small_size(name, depth=2))
    for name in list_models()
]
PRUNED = [
    resolve(
        spec.family,
        frames=FRAMES,
        tokens=TOKENS,
        prune_at=1,
        variant=variant,
        selector=selector,
        recovery=recovery,
        **small_size(spec.family, depth=2),
    )
    for spec in PLAIN
    for variant in family(spec.family).pruning
    for selector in SelectorKind
    for recovery in (RecoveryKind if variant is Variant.HOT else (None,))
]
PRUNED += [
    resolve(
        spec.family,
        frames=FRAMES,
        tokens=(9, TOKENS),
        prune_at=(1, 2),
        variant=variant,
        selector=selectors,
        recovery=recovery,
        **small_size(spec.family),
    )
    for spec in PLAIN
    for variant in family(spec.family).pruning
    for selectors, recovery in (
        (("tpc", "attention"), "tra"),
        (("motion", "tpc"), "interpolate"),
        (("uniform", "uniform"), "interpolate"),
        (("attention", "uniform"), "tra"),
    )
    for recovery in ((recovery,) if variant is Variant.HOT else (None,))
]


def label(spec):
    recovery = [] if spec.recovery is None else [spec.recovery.value]
    selectors = [stage.selector for stage in spec.stages]
    return "-".join([spec.family, spec.variant.value, *selectors, *recovery])


NETWORKS = pytest.mark.parametrize("spec", [*PLAIN, *PRUNED], ids=label)
PRUNING_NETWORKS = pytest.mark.parametrize("spec", PRUNED, ids=label)


pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def lifting_of(spec, *, flip=False, dtype=torch.float32):
    return build_lifter(spec, random_state_dict(build(spec)), flip=flip).to(dtype)


def clips_for(spec, dtype=torch.float32):
    """Clips of joints that wander smoothly."""
    joints, channels = len(family(spec.family).skeleton.joints), spec.size.channels
    steps = np.random.default_rng(5).standard_normal((BATCH, spec.frames + 8, joints, channels))
    smooth = sum(steps[:, lag : lag + spec.frames] for lag in range(9)) / 9
    return torch.from_numpy(np.cumsum(smooth, axis=1) * 0.02).to(dtype)


def mirrored(points, spec):
    """Left and right exchanged; works for keypoints and for poses."""
    swapped = points[:, :, list(family(spec.family).skeleton.mirror)].clone()
    swapped[..., 0] *= -1
    return swapped


@NETWORKS
@pytest.mark.parametrize("flip", [False, True])
def test_shapes(spec, flip):
    clips = clips_for(spec)
    for batch in (1, BATCH):
        poses, *index = lifting_of(spec, flip=flip)(clips[:batch])
        assert poses.shape == (batch, spec.output_frames, clips.shape[2], 3)
        assert poses.isfinite().all()
        assert len(index) == (spec.variant is not Variant.PLAIN)
        for chosen in index:
            assert chosen.dtype == torch.int64
            before = torch.arange(spec.frames).expand(*chosen.shape[:-1], -1)
            for stage, kept in zip(spec.stages, by_stage(chosen, spec), strict=True):
                assert kept.shape == (batch, *((2,) if flip else ()), stage.tokens)
                assert (kept.diff(dim=-1) > 0).all()
                assert (kept.unsqueeze(-1) == before.unsqueeze(-2)).any(dim=-1).all()
                before = kept


@NETWORKS
def test_two_runs_are_bitwise_equal(spec):
    lifter, clips = lifting_of(spec), clips_for(spec)
    for first, second in zip(lifter(clips), lifter(clips.clone()), strict=True):
        assert torch.equal(first, second)


@NETWORKS
@pytest.mark.parametrize(
    ("flip", "dtype", "tolerance"),
    [(False, torch.float32, 1e-5), (False, torch.float64, 1e-12), (True, torch.float64, 1e-12)],
)
def test_batch_equals_each_clip_alone(spec, flip, dtype, tolerance):
    lifter, clips = lifting_of(spec, flip=flip, dtype=dtype), clips_for(spec, dtype)
    together = lifter(clips)
    for item, clip in enumerate(clips):
        poses, *index = lifter(clip[None])
        assert_close(poses[0], together[0][item], atol=tolerance, rtol=0)
        assert all(torch.equal(a[0], b[item]) for a, b in zip(index, together[1:], strict=True))


def by_stage(index, spec):
    """The choices of each stage."""
    return index.split([stage.tokens for stage in spec.stages], dim=-1)


def looks_at_attention(spec):
    return any(stage.selector == SelectorKind.ATTENTION for stage in spec.stages)


# MHFormer's hypotheses come from layers over the frames of a path, whose weights are each frame's
# own: random ones distinguish equal frames. Without them each path is left as it is.
WEIGHTS_OF_FRAMES = {
    "mhformer": (
        "Transformer_encoder_1.norm.",
        "Transformer_encoder_2.norm.",
        "Transformer_encoder_3.norm.",
    )
}


# Attention may well rest on the frames of a tail.
@pytest.mark.parametrize(
    "spec", [spec for spec in PRUNED if not looks_at_attention(spec)], ids=label
)
def test_still_tail_gets_no_more_than_its_share(spec):
    stages = [replace(stage, tokens=81 * stage.tokens // FRAMES) for stage in spec.stages]
    spec = replace(spec, frames=81, stages=tuple(stages))
    clips = clips_for(spec)
    clips[:, 54:] = clips[:, 54:55]
    state = random_state_dict(build(spec))
    for key, tensor in state.items():
        if key.startswith(WEIGHTS_OF_FRAMES.get(spec.family, ())):
            tensor.zero_()
    _, index = build_lifter(spec, state, flip=False)(clips)
    assert (by_stage(index, spec)[-1] >= 54).sum(dim=1).max() <= 27 * 27 // 81


# Frames given from outside


@PRUNING_NETWORKS
@pytest.mark.parametrize("flip", [False, True])
def test_forced_frames_replace_the_selection(spec, flip):
    lifter, clips = lifting_of(spec, flip=flip), clips_for(spec)
    poses, chosen = lifter(clips)
    assert all(
        torch.equal(a, b) for a, b in zip(lifter(clips, chosen), (poses, chosen), strict=True)
    )
    # Every frame one later, but for the last, which makes room; what a later stage keeps stays
    # among what the one before it kept.
    stages = [
        torch.where(kept == FRAMES - 1, 0, kept + 1).sort(dim=-1).values
        for kept in by_stage(chosen, spec)
    ]
    other = torch.cat(stages, dim=-1)
    given_poses, given = lifter(clips, other)
    assert torch.equal(given, other)
    assert (given_poses - poses).abs().amax(dim=(1, 2, 3)).min() > 1e-3


@PRUNING_NETWORKS
def test_one_selection_serves_a_whole_batch(spec):
    lifter, clips = lifting_of(spec), clips_for(spec)
    stages = {9: [0, 2, 4, 5, 7, 8, 9, 11, 13], TOKENS: [0, 4, 7, 8, 13]}
    one = torch.tensor([[frame for stage in spec.stages for frame in stages[stage.tokens]]])
    poses, given = lifter(clips, one)
    assert torch.equal(given, one.expand(BATCH, -1))
    assert_close(poses, lifter(clips, one.repeat(BATCH, 1))[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "spec", [spec for spec in PRUNED if spec.recovery is RecoveryKind.INTERPOLATE], ids=label
)
def test_interpolated_frame_depends_on_its_two_neighbors_only(spec):
    network = build(spec)
    tokens = torch.randn(1, TOKENS, 5, 32, generator=torch.Generator().manual_seed(0))
    kept = (torch.arange(TOKENS)[None] * 3,)
    moved = tokens.clone()
    moved[:, 2] += 1.0
    difference = network.recover(moved, kept) - network.recover(tokens, kept)
    changed = difference.abs().amax((0, 2, 3))
    assert changed.nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


# Folding


@NETWORKS
@pytest.mark.parametrize("flip", [False, True])
def test_folding_constants_changes_no_output(spec, flip):
    lifter = lifting_of(spec, flip=flip, dtype=torch.float64)
    clips = clips_for(spec, torch.float64)
    poses, *index = lifter(clips)
    quick = fold_constants(lifter)
    folded_poses, *folded_index = quick(clips)
    assert (folded_poses - poses).abs().max() < 1e-13 * poses.abs().max()
    assert all(torch.equal(a, b) for a, b in zip(folded_index, index, strict=True))
    assert list(quick.state_dict()) == list(lifter.state_dict())
    assert constants(quick)
    assert not constants(lifter)
    assert torch.equal(lifter(clips)[0], poses)


def constants(lifter):
    return [module for module in lifter.modules() if vars(module).get("_folded") is not None]


# Averaging with the mirror image


@NETWORKS
def test_mirror_average_is_two_passes_by_hand(spec):
    """The mirror image uses the window's frames in the ``tpc`` variant, its own in the others."""
    single, clips = lifting_of(spec, dtype=torch.float64), clips_for(spec, torch.float64)
    direct, *index = single(clips)
    shared = index[0] if spec.variant is Variant.TPC else None
    back, *back_index = single(mirrored(clips, spec), shared)
    poses, *kept = lifting_of(spec, flip=True, dtype=torch.float64)(clips)
    assert_close(poses, (direct + mirrored(back, spec)) / 2, atol=1e-12, rtol=0)
    for both, first, second in zip(kept, index, back_index, strict=True):
        assert torch.equal(both, torch.stack([first, second], dim=1))


@NETWORKS
def test_mirrored_input_gives_mirrored_poses(spec):
    lifter = lifting_of(spec, flip=True, dtype=torch.float64)
    clips = clips_for(spec, torch.float64)
    poses, *index = lifter(clips)
    given = [both.flip(1) for both in index]
    # Where the mirror image has no choice of its own, it is given the window's.
    forced = given if spec.variant is Variant.TPC else []
    back, *back_index = lifter(mirrored(clips, spec), *forced)
    assert_close(back, mirrored(poses, spec), atol=1e-12, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(back_index, given, strict=True))
    assert (back - poses).abs().max() > 1e-3


@NETWORKS
def test_confidence_is_mirrored_but_not_negated(spec):
    spec = replace(spec, size=replace(spec.size, channels=3))
    single, double = (lifting_of(spec, flip=flip, dtype=torch.float64) for flip in (False, True))
    clips = clips_for(spec, torch.float64)
    shared = single(clips)[1] if spec.variant is Variant.TPC else None
    back = mirrored(single(mirrored(clips, spec), shared)[0], spec)
    assert_close(double(clips)[0], (single(clips)[0] + back) / 2, atol=1e-12, rtol=0)


# Building


@NETWORKS
def test_built_for_inference(spec):
    lifter = lifting_of(spec)
    assert not lifter.training
    assert not any(parameter.requires_grad for parameter in lifter.parameters())


@NETWORKS
@pytest.mark.parametrize("flip", [False, True])
def test_weights_must_fit_exactly(spec, flip):
    state = random_state_dict(build(spec))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        build_lifter(spec, {**state, "surplus": torch.zeros(1)}, flip=flip)
    del state[next(iter(state))]
    with pytest.raises(RuntimeError, match="Missing key"):
        build_lifter(spec, state, flip=flip)


@PRUNING_NETWORKS
def test_only_recovering_attention_adds_weights(spec):
    def shapes(built):
        return {key: tensor.shape for key, tensor in build(built).state_dict().items()}

    own, plain = shapes(spec), shapes(spec.plain())
    recovering = spec.recovery is RecoveryKind.TRA
    assert bool(own.keys() - plain.keys()) == recovering
    assert plain.keys() <= own.keys()
    reshaped = {key for key in plain if own[key] != plain[key]}
    # Norms that have numbers for each frame are trained for the kept ones, as all the rest is then.
    assert all("graph_temporal.mixer.batch_norm" in key for key in reshaped)
    assert recovering or not reshaped


def test_rejects_frames_for_another_number_of_windows():
    network = build(resolve("mixste", frames=9, tokens=3, prune_at=1, width=16, depth=2))
    with pytest.raises(ValueError, match="for 2 windows, but there are 4"):
        network(torch.zeros(4, 9, 17, 2), torch.tensor([[0, 1, 2], [3, 4, 5]]))

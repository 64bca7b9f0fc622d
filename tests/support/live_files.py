"""Write files of a small live network with random weights, without verifying them."""

import dataclasses

import onnx
import torch
from live_networks import live_lifter, live_spec

from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import fold_constants
from hot_sdk.export.models.live_mixste import LiveMixSTE
from hot_sdk.manifest import CONDITION_NAMES, read_manifest
from hot_sdk.starter import STARTER, resolve_model

FPS = 30.0


def make_live_file(path, *, lookahead=0, memory="12", batch=None):
    """Write a file; return its network, to lift clips at once."""
    torch.manual_seed(3)
    spec = live_spec(lookahead=lookahead, memory=memory)
    lifter = live_lifter(spec)
    network = next(one for one in lifter.modules() if isinstance(one, LiveMixSTE))
    model = trace(fold_constants(lifter), spec, batch=batch, opset=18)
    manifest = dataclasses.replace(
        read_manifest(resolve_model(STARTER)),
        variant="live",
        frames=1,
        output_frames=1,
        ratio=1.0,
        tokens=None,
        stages=(),
        recovery=None,
        conditions=CONDITION_NAMES,
        spread=True,
        batch=batch,
        flip=False,
        token_index=False,
        training_fps=FPS,
        precision="fp32",
        opset=18,
        step=spec.step,
    )
    onnx.helper.set_model_props(model, manifest.to_metadata())
    onnx.save(model, path)
    return network


def lifted_at_once(network, keypoints, times, conditions, *, lookahead, memory):
    """Lift a clip at once, (frames, 17, 3), the root at 0 as the runtime has it."""
    with torch.inference_mode():
        poses, _ = network.lift_clip(
            torch.from_numpy(keypoints)[None],
            torch.from_numpy(times).float(),
            torch.from_numpy(conditions)[None],
            lookahead=lookahead,
            memory=memory,
        )
    poses = poses[0].numpy().copy()
    poses[:, 0] = 0.0
    return poses

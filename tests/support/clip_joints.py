"""Joints of the example clip in the orders of several tools, (frames, joints, 3)."""

from pathlib import Path

import numpy as np

SIZE = (1768, 994)
FRAMES = 12
CLIP = np.load(Path(__file__).parents[2] / "examples/data/jump_mediapipe33.npz")["kp"][60:72]


def middle(a, b):
    return np.concatenate([(a[..., :2] + b[..., :2]) / 2, np.minimum(a[..., 2:], b[..., 2:])], -1)


NECK = middle(CLIP[:, 11], CLIP[:, 12])
HIP = middle(CLIP[:, 23], CLIP[:, 24])
EARS = middle(CLIP[:, 7], CLIP[:, 8])
HEAD = EARS.copy()
HEAD[..., :2] += 0.55 * (EARS - NECK)[..., :2]
COCO = CLIP[:, [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]]
LEGS = [24, 26, 28, 23, 25, 27]
BODY25 = np.concatenate(
    [
        CLIP[:, :1],
        NECK[:, None],
        CLIP[:, [12, 14, 16, 11, 13, 15]],
        HIP[:, None],
        CLIP[:, [*LEGS, 5, 2, 8, 7, 31, 31, 29, 32, 32, 30]],
    ],
    axis=1,
)
BODY18 = BODY25[:, [*range(8), *range(9, 19)]]
FEET = CLIP[:, [31, 31, 29, 32, 32, 30]]
BODY25B = np.concatenate([COCO, NECK[:, None], HEAD[:, None], FEET], axis=1)
HALPE = np.concatenate(
    [COCO, HEAD[:, None], NECK[:, None], HIP[:, None], CLIP[:, [31, 32, 31, 32, 29, 30]]], axis=1
)

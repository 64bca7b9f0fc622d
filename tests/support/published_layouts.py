"""Tiny data sets in the published layouts, as the field's scripts save them."""

import pickle

import numpy as np

from hot_sdk.benchmarks.evaluation.data_sets.human36m import ACTIONS, KEPT_OF_32, camera
from hot_sdk.benchmarks.evaluation.data_sets.mpi_inf_3dhp import SEQUENCES
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.skeletons import TO_H36M17

RECORDINGS = {
    "S9": ("Directions", "Directions 1", "WalkDog 1", "Walking"),
    "S11": ("Directions 1", "Walking", "SittingDown 2"),
}
LENGTHS = {
    "Directions": 31,
    "Directions 1": 54,
    "WalkDog 1": 20,
    "Walking": 83,
    "SittingDown 2": 27,
}


def body(frames, start=0):
    """Return a person in a room whose z is up, (frames, 17, 3), meters."""
    clip = load_starter_val(views=1)[11]
    poses = clip.truth[start : start + frames].astype(np.float64)
    # Upright: the camera of the clip is nearly level.
    return poses[..., [0, 2, 1]] * [1.0, 1.0, -1.0] + [0.1, -0.2, 0.95]


def save_h36m(
    folder,
    *,
    detections=("gt", "cpn_ft_h36m_dbb"),
    longer=3,
    noise=4.0,
    recordings=RECORDINGS,
):
    """Write both files of VideoPose3D; return the poses in the room by subject and recording."""
    random = np.random.default_rng(0)
    room = {
        subject: {name: body(LENGTHS[name], 40 * place) for place, name in enumerate(names)}
        for subject, names in recordings.items()
    }
    recorded = {"S1": {"Walking": np.zeros((2, 32, 3), dtype=np.float32)}}
    for subject, held in room.items():
        recorded[subject] = {}
        for name, poses in held.items():
            all32 = random.normal(size=(len(poses), 32, 3))
            all32[:, KEPT_OF_32] = poses
            recorded[subject][name] = all32.astype(np.float32)
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=recorded)
    for kind in detections:
        seen = {
            subject: {
                name: [
                    projected(subject, number, poses, longer if kind != "gt" else 0)
                    + random.normal(0.0, 0.0 if kind == "gt" else noise, 2).astype(np.float32)
                    for number in range(4)
                ]
                for name, poses in held.items()
            }
            for subject, held in room.items()
        }
        metadata = {"num_joints": 17, "keypoints_symmetry": [[4, 5, 6], [1, 2, 3]]}
        np.savez_compressed(
            folder / f"data_2d_h36m_{kind}.npz", positions_2d=seen, metadata=metadata
        )
    return room


def projected(subject, number, poses, longer=0):
    """Return pixels of a camera, with frames past the last pose."""
    pose, intrinsics, _, _ = camera(subject, number)
    points = intrinsics.project((poses - pose.translation) @ pose.rotation)
    return np.concatenate([points, points[-1:].repeat(longer, axis=0)]).astype(np.float32)


def save_3dhp(folder, frames=30):
    """Write the file of the test set; return poses in H36M17's joints, mm, by sequence."""
    random = np.random.default_rng(1)
    data, poses = {}, {}
    for place, name in enumerate(SEQUENCES):
        lying = body(frames + place, 25 * place)[..., [0, 2, 1]] * [1.0, -1.0, 1.0]
        ours = lying * 1000.0 + np.array([100.0, 50.0, 3500.0])
        theirs = np.empty_like(ours)
        theirs[:, TO_H36M17["mpi_inf_3dhp17"]] = ours
        data[name] = {
            "data_2d": theirs[..., :2] / theirs[..., 2:] * 1500.0 + 900.0,
            "data_3d": theirs,
            "valid": (random.random(len(ours)) < 0.6).astype(np.float64),
        }
        poses[name] = ours
    np.savez_compressed(folder / "data_test_3dhp.npz", data=data)
    return data, poses


assert set(ACTIONS) > {name.partition(" ")[0] for name in LENGTHS}


MOTIONBERT_CLIPS = (
    ("s_11_act_02_subact_01_ca_01", "direct", "54138969", 54),
    ("s_11_act_02_subact_01_ca_02", "direct", "55011271", 31),
    ("s_09_act_05_subact_02_ca_03", "greet", "58860488", 40),  # Left out by every evaluation.
    ("s_09_act_05_subact_01_ca_03", "greet", "58860488", 20),  # Shorter than a window.
    ("s_09_act_06_subact_01_ca_04", "phone", "60457274", 83),
    ("s_09_act_06_subact_02_ca_01", "phone", "54138969", 27),
)
"""Source, action, camera and frames of each clip."""


def save_h36m_motionbert(folder, protocol=4, as_lists=False, **changes):
    """Write MotionBERT's file; return the arrays of its test set.

    ``as_lists`` writes what the authors' code passes through ``np.array`` as lists.
    """
    random = np.random.default_rng(3)
    test = {}
    for place, (source, action, camera_id, frames) in enumerate(MOTIONBERT_CLIPS):
        number = int(source[-1]) - 1
        pose, intrinsics, identity, _ = camera(f"S{int(source[2:4])}", number)
        assert identity == camera_id
        placed = (body(frames, 30 * place) - pose.translation) @ pose.rotation
        pixels = intrinsics.project(placed)
        factor = 1000.0 * placed[:, 0, 2] / intrinsics.fx
        depth = 1000.0 * placed[..., 2:]
        part = {
            "joint_2d": pixels + random.normal(0.0, 3.0, pixels.shape),
            "confidence": random.uniform(0.2, 1.0, pixels.shape[:2]).astype(np.float32),
            "joint3d_image": np.concatenate(
                [pixels, (depth - depth[:, :1]) / factor[:, None, None]], axis=-1
            ),
            "joints_2.5d_image": np.concatenate(
                [pixels * factor[:, None, None], depth - depth[:, :1]], axis=-1
            ),
            "2.5d_factor": factor,
            "camera_name": np.array([camera_id] * frames),
            "action": np.array([action] * frames),
            "source": np.array([source] * frames),
        }
        for name, values in part.items():
            test.setdefault(name, []).append(values)
    test = {name: np.concatenate(parts) for name, parts in test.items()} | changes
    held = dict(test)
    for name in ("camera_name", "action", "source"):
        held[name] = list(map(str, test[name]))
    if as_lists:
        held |= {name: list(test[name]) for name in ("2.5d_factor", "joints_2.5d_image")}
    train = {name: values[:5] for name, values in held.items()}
    with (folder / "h36m_sh_conf_cam_source_final.pkl").open("wb") as file:
        pickle.dump({"train": train, "test": held}, file, protocol=protocol)
    return test

"""Lift several people of one video: each has a track id and a separate result.

    python examples/multi_person.py starter|model.onnx [tracked_keypoints.json]

Without a file, the man of the example data walks twice, the second time half a second later.
"""

import argparse
from pathlib import Path

import numpy as np

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.people import read_people


def two_people() -> tuple[Keypoints, ...]:
    """Return one clip, and the same clip fifteen frames later next to it."""
    clip = Keypoints.from_file(Path(__file__).parent / "data" / "jump_mediapipe33.npz")
    later = np.full_like(clip.points, np.nan)
    later[15:] = clip.points[:-15] - [300.0, 0.0]
    known = {"skeleton": clip.skeleton, "image_size": clip.image_size, "fps": clip.fps}
    return (
        Keypoints(clip.points, clip.scores, track_id="first", **known),
        Keypoints(later, track_id="second", **known),
    )


def main(model: str, keypoints: Path | None) -> None:
    """Lift all people, and print where they are relative to the robot."""
    people = two_people() if keypoints is None else read_people(keypoints)
    camera = CameraPose.mounted((0.2, 0.0, 1.1), pitch=0.1)
    with Pose3DEngine(model) as engine:
        for person, result in zip(people, engine.lift(people), strict=True):
            lens = Intrinsics.from_field_of_view(70.0, person.image_size)
            placed = result.with_root_from_reprojection(person, lens).to_robot_frame(camera)
            path = placed.save(f"{result.track_id}_3d.npz")
            print(placed)
            if placed.root is not None and np.isfinite(placed.root).any():
                x, y, z = np.nanmedian(placed.root, axis=0)
                print(f"mostly {x:.2f} m ahead, {y:.2f} m to the left, pelvis {z:.2f} m up")
            print(f"Made: {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="starter, or a model file")
    parser.add_argument("keypoints", nargs="?", type=Path, help="a file with track ids")
    options = parser.parse_args()
    main(options.model, options.keypoints)

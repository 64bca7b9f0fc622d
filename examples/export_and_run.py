"""Export a network, run one window of real keypoints, and print the position of a wrist.

    python examples/export_and_run.py [checkpoint.pth]

Without a checkpoint the weights are random and the position means nothing.
"""

import argparse
from pathlib import Path

from hot_sdk.engines import open_session
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.models import resolve
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING, Manifest
from hot_sdk.model_inputs import feeds


def main(checkpoint: Path | None) -> None:
    """Export and run."""
    target = Path("lifter.onnx")
    request = ExportRequest(
        "mixste",
        checkpoint=checkpoint,
        random_weights=checkpoint is None,
        output=target,
        force=True,
    )
    export_model(request, progress=print)

    with open_session(target) as session:
        manifest = Manifest.from_metadata(session.metadata)
        window = verification_windows(resolve(manifest.family, frames=manifest.frames))[0]
        # Of a network that can be told about the camera, nothing is known here.
        poses = session.run(feeds(manifest, window.keypoints[None]))["poses_3d"][0]
    wrist = poses[-1, manifest.joints.names.index("right_wrist")]
    if manifest.weights.random:
        print(f"Warning: {RANDOM_WEIGHTS_WARNING}")
    print(
        f"right wrist, relative to the pelvis: {wrist.round(3)} {manifest.unit} ({manifest.axes})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", nargs="?", type=Path, help="weights (default: random)")
    main(parser.parse_args().checkpoint)

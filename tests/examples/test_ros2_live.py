"""The live ROS 2 example, with itself as the detector, and a subscriber of its own types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cyclonedds", reason="cyclonedds, of the extra ros, is not installed")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "ros2_live.py"
CLIP = ROOT / "examples" / "data" / "jump_mediapipe33.npz"
POSES = "/humans/bodies/p1/poses"


def test_poses_of_a_detector_are_published():
    # The range that ROS keeps on this computer; the domain is no other test's.
    domain = 90 + os.getpid() % 10
    environment = {**os.environ, "ROS_LOCALHOST_ONLY": "1", "ROS_DOMAIN_ID": str(domain)}
    environment.pop("CYCLONEDDS_URI", None)
    loopback = """<CycloneDDS><Domain><General><Interfaces>
        <NetworkInterface address="127.0.0.1"/></Interfaces><AllowMulticast>false</AllowMulticast>
        </General><Discovery><ParticipantIndex>auto</ParticipantIndex>
        <MaxAutoParticipantIndex>50</MaxAutoParticipantIndex><Peers><Peer address="127.0.0.1"/>
        </Peers></Discovery></Domain></CycloneDDS>"""
    subscriber = [ROOT / "tests" / "support" / "ros2_subscriber.py", str(domain)]
    kinds = [f"{POSES}=geometry_msgs/PoseArray", "/tf=tf2_msgs/TFMessage"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(
            [sys.executable, *subscriber, *kinds],
            env={**environment, "CYCLONEDDS_URI": loopback},
            **pipes,
        ) as listener,
        subprocess.Popen([sys.executable, EXAMPLE, "--play", CLIP], env=environment) as detector,
    ):
        try:
            assert listener.stdout.readline() == "ready\n"
            lifted = subprocess.run(
                [sys.executable, EXAMPLE, "starter", "--seconds", "4"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=200,
            )
            assert lifted.returncode == 0, lifted.stderr
            assert "poses were published" in lifted.stdout
            listener.stdin.write("\n")
            listener.stdin.flush()
            found = json.loads(listener.stdout.readline())
        finally:
            detector.kill()
            listener.kill()
    arrays = [message for _, message in found[POSES]]
    assert len(arrays) > 3
    assert {one["header"]["frame_id"] for one in arrays} == {"camera_color_optical_frame"}
    points = np.array(
        [[[pose["position"][a] for a in "xyz"] for pose in one["poses"]] for one in arrays]
    )
    assert points.shape[1:] == (17, 3)
    seen = np.isfinite(points).all(axis=-1)
    assert seen.mean() > 0.5
    assert (points[seen][:, 2] > 1.0).all()  # In front of the camera.
    assert found["/tf"][-1][1]["transforms"][0]["child_frame_id"] == "body_p1"


def test_no_detector_is_an_error_in_one_line():
    run = subprocess.run(
        [sys.executable, EXAMPLE, "no-such-model.onnx"],
        env={**os.environ, "ROS_LOCALHOST_ONLY": "1", "ROS_DOMAIN_ID": "300"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "ROS_DOMAIN_ID is '300'" in run.stderr

"""Count messages that a subscriber in another process gets, and how late; on loopback alone.

    OMP_NUM_THREADS=1 python tests/hot_sdk/ros/deliver.py [--frames 1000] [--rate 30] [--people 1]

Prints one line of JSON. Nothing leaves the computer, and it ends by itself.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SUPPORT = Path(__file__).parents[2] / "support"
DOMAIN = 85
LOOPBACK = """\
<CycloneDDS><Domain><General><Interfaces><NetworkInterface address="127.0.0.1"/></Interfaces>
<AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto</ParticipantIndex>
<MaxAutoParticipantIndex>50</MaxAutoParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers>
</Discovery></Domain></CycloneDDS>"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--people", type=int, default=1)
    given = parser.parse_args()
    sys.path.insert(0, str(SUPPORT))
    os.environ["CYCLONEDDS_URI"] = LOOPBACK
    from standing_person import pose_of

    from hot_sdk.ros import PosePublisher

    kinds = {
        "/humans/bodies/tracked": "hri_msgs/IdsList",
        "/poses/markers": "visualization_msgs/MarkerArray",
        "/tf": "tf2_msgs/TFMessage",
    }
    for number in range(1, given.people + 1):
        kinds[f"/humans/bodies/p{number}/poses"] = "geometry_msgs/PoseArray"
        kinds[f"/humans/bodies/p{number}/joints"] = "sensor_msgs/PointCloud2"
        kinds[f"/humans/bodies/p{number}/joint_states"] = "sensor_msgs/JointState"
    process = subprocess.Popen(
        [
            *(sys.executable, SUPPORT / "ros2_subscriber.py", str(DOMAIN)),
            *(f"{topic}={kind}" for topic, kind in kinds.items()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, PosePublisher(domain=DOMAIN, epoch_ns=0) as publisher:
        assert process.stdout.readline() == "ready\n"
        assert publisher.wait_for_subscribers(list(kinds), 30.0)
        sent, cost, busy = [], [], time.thread_time()
        start = time.monotonic()
        for number in range(given.frames):
            time.sleep(max(0.0, start + number / given.rate - time.monotonic()))
            timestamp = (number + 1) / given.rate
            poses = [pose_of(timestamp, who) for who in range(1, given.people + 1)]
            busy = time.thread_time()
            sent.append(time.time_ns())
            publisher.publish(poses, timestamp)
            cost.append(time.thread_time() - busy)
        seconds = time.monotonic() - start
        process.stdin.write("\n")
        process.stdin.flush()
        found = json.loads(process.stdout.readline())
        process.kill()
    late = [came - sent[at] for at, (came, _) in enumerate(found["/humans/bodies/p1/poses"])]
    print(
        json.dumps(
            {
                "frames": given.frames,
                "people": given.people,
                "seconds": round(seconds, 2),
                "received": {topic: len(messages) for topic, messages in found.items()},
                "lost": sum(given.frames - len(messages) for messages in found.values()),
                "publish_cpu_ms_median": round(1e3 * float(np.median(cost)), 2),
                "late_ms": {
                    name: round(float(np.percentile(late, q)) / 1e6, 2)
                    for name, q in (("median", 50), ("p95", 95), ("p99", 99))
                },
            }
        )
    )


if __name__ == "__main__":
    main()

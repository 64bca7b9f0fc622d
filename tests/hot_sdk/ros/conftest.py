"""DDS on the loopback interface alone, and subscribers in processes of their own."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cyclonedds", reason="cyclonedds, of the extra ros, is not installed")
pytest.importorskip("rosbags", reason="rosbags, of the extra ros, is not installed")

SUPPORT = Path(__file__).parents[2] / "support"
LOOPBACK = """\
<CycloneDDS><Domain><General><Interfaces><NetworkInterface address="127.0.0.1"/></Interfaces>
<AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto</ParticipantIndex>
<MaxAutoParticipantIndex>50</MaxAutoParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers>
</Discovery></Domain></CycloneDDS>"""


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    """No message of a test leaves this computer."""
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    for name in ("ROS_DOMAIN_ID", "ROS_LOCALHOST_ONLY", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def domain():
    """A domain that no other test process uses; its ports are below those that Linux gives out."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return 20 + int(worker.removeprefix("gw")) % 60


@pytest.fixture(scope="session")
def subscriber(domain):
    """Start a subscriber to topics; the function that is returned tells what came since then."""
    with contextlib.ExitStack() as stack:

        def start(topics):
            process = subprocess.Popen(
                [
                    *(sys.executable, SUPPORT / "ros2_subscriber.py", str(domain)),
                    *(f"{topic}={kind}" for topic, kind in topics.items()),
                ],
                env={**os.environ, "CYCLONEDDS_URI": LOOPBACK},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)

            def came():
                process.stdin.write("\n")
                process.stdin.flush()
                return json.loads(process.stdout.readline())

            assert process.stdout.readline() == "ready\n"
            return came

        yield start

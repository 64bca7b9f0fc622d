"""Subscribe to ROS 2 topics; print what came, as a line of JSON, for each line of standard input.

    python ros2_subscriber.py DOMAIN TOPIC=TYPE ...

A process of its own, with types of its own, as a ROS node would be. Nothing of hot_sdk.
"""

import dataclasses
import json
import queue
import sys
import threading
import time

from cyclonedds.domain import DomainParticipant
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from ros2_definitions import idl_type

QUIET_S = 0.15  # Without a message for so long, no more are under way.

# What rmw_cyclonedds asks for a subscription of the default profile, but for its depth of 10: how
# fast this subscriber reads is not what is tested.
DEFAULT = Qos(
    Policy.Reliability.Reliable(max_blocking_time=100_000_000),
    Policy.Durability.Volatile,
    Policy.History.KeepLast(2000),
    Policy.DataRepresentation(use_cdrv0_representation=True),
)
LATCHED = Qos(
    Policy.Reliability.Reliable(max_blocking_time=100_000_000),
    Policy.Durability.TransientLocal,
    Policy.History.KeepLast(1),
    Policy.DataRepresentation(use_cdrv0_representation=True),
)


def plain(value):
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else list(value)


def listen(asked):
    for line in sys.stdin:
        asked.put(line)
    asked.put(None)


def main(domain, *topics):
    participant = DomainParticipant(int(domain))
    readers = {}
    for topic, kind in (one.split("=") for one in topics):
        qos = LATCHED if topic.endswith("static") else DEFAULT
        described = Topic(participant, f"rt{topic}", idl_type(kind), qos=qos)
        readers[topic] = DataReader(participant, described, qos=qos)
    asked = queue.Queue()
    threading.Thread(target=listen, args=(asked,), daemon=True).start()
    print("ready", flush=True)
    found = {topic: [] for topic in readers}
    quiet_since = None
    while True:
        came = [
            (topic, message)
            for topic, reader in readers.items()
            for message in reader.take(N=100)
            if isinstance(message, reader.topic.data_type)  # Else it says that a writer ended.
        ]
        for topic, message in came:
            found[topic].append([time.time_ns(), message])
        if quiet_since is None and not asked.empty():
            if asked.get() is None:
                return
            quiet_since = time.monotonic()
        elif quiet_since is not None and came:
            quiet_since = time.monotonic()
        elif quiet_since is not None and time.monotonic() > quiet_since + QUIET_S:
            print(json.dumps(found, default=plain), flush=True)
            found = {topic: [] for topic in readers}
            quiet_since = None
        time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Join ROS 2's network, with the domain, range of discovery and quality of service that ROS has."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hot_sdk._base.optional import require
from hot_sdk.errors import UsageError
from hot_sdk.ros.names import dds_topic
from hot_sdk.ros.type_hashes import type_hash

PURPOSE = "Publishing to ROS"

RELIABLE, BEST_EFFORT = "reliable", "best_effort"
RELIABILITIES = (RELIABLE, BEST_EFFORT)

LARGEST_DOMAIN = 232
"""Beyond it the ports that DDS derives from a domain do not exist."""

# As many processes of one computer find each other without multicast, which loopback often lacks.
_LOOPBACK = """\
<CycloneDDS><Domain><General><Interfaces><NetworkInterface address="127.0.0.1"/></Interfaces>
<AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto</ParticipantIndex>
<MaxAutoParticipantIndex>100</MaxAutoParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers>
</Discovery></Domain></CycloneDDS>"""

_local_domains: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_making = threading.Lock()


@dataclass(frozen=True)
class Quality:
    """Quality of service of a topic; see ROS 2's policies of the same names.

    Attributes:
        reliability: ``reliable`` or ``best_effort``.
        depth: Messages that a writer keeps for a reader which is behind.
        latched: The last message reaches readers that come later (transient local).
    """

    reliability: str = RELIABLE
    depth: int = 10
    latched: bool = False


@functools.cache
def messages() -> ModuleType:
    """Return the module of ROS's messages.

    Raises:
        MissingDependencyError: cyclonedds is not installed.
    """
    require("cyclonedds.idl", extra="ros", purpose=PURPOSE)
    from hot_sdk.ros import messages as types

    return types


def ros_domain(domain: int | None = None) -> int:
    """Return a domain's number; None for that of ``ROS_DOMAIN_ID``, or else 0.

    Raises:
        UsageError: It is no whole number from 0 to 232.
    """
    name, text = "The domain", str(domain)
    if domain is None:
        name, text = "ROS_DOMAIN_ID", os.environ.get("ROS_DOMAIN_ID", "").strip() or "0"
    if not text.isdecimal() or int(text) > LARGEST_DOMAIN:
        raise UsageError(
            f"{name} is '{text}'; expected a whole number from 0 to {LARGEST_DOMAIN}.",
            hint="Give that of the other ROS programs; theirs is 0 unless it was set.",
        )
    return int(text)


def is_local_only() -> bool:
    """Return whether ROS's environment keeps messages on this computer."""
    discovery = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper()
    return os.environ.get("ROS_LOCALHOST_ONLY") == "1" or discovery == "LOCALHOST"


class Network:
    """This process as a participant of ROS 2's network; DDS is CycloneDDS.

    ``CYCLONEDDS_URI`` says which interfaces are used; without it, all computers of the local
    network can read what is published, unless ``ROS_LOCALHOST_ONLY=1`` or
    ``ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST`` is set, as for ROS's own programs.

    Args:
        domain: ROS's domain; None for that of ``ROS_DOMAIN_ID``, or else 0.

    Raises:
        UsageError: There is no such domain, or the configuration of DDS is refused.
        MissingDependencyError: cyclonedds is not installed.
    """

    def __init__(self, domain: int | None = None) -> None:
        self.domain = ros_domain(domain)
        self._core, self._qos, domains, self._topics, self._pub, self._sub = (
            require(f"cyclonedds.{name}", extra="ros", purpose=PURPOSE)
            for name in ("core", "qos", "domain", "topic", "pub", "sub")
        )
        policy = self._qos.Policy
        self._domain: Any = None
        try:
            if is_local_only() and not os.environ.get("CYCLONEDDS_URI"):
                self._domain = _local_domain(domains, self.domain)
            # ROS's tools list participants that say which enclave they are in.
            qos = self._qos.Qos(policy.Userdata(b"enclave=/;"))
            self.participant: Any = domains.DomainParticipant(self.domain, qos=qos)
        except self._core.DDSException as error:
            raise UsageError(
                f"DDS does not start in domain {self.domain} ({_text(error)}).",
                hint="Check CYCLONEDDS_URI and the network's interfaces; those of this computer"
                " alone: ROS_LOCALHOST_ONLY=1.",
            ) from error

    def writer(self, topic: str, kind: type, quality: Quality) -> Any:  # noqa: ANN401
        """Return CycloneDDS's writer of a topic of ROS.

        Raises:
            UsageError: It is no name of a topic.
        """
        qos = self._policies(quality)
        described = self._topic(topic, kind, qos)
        return self._pub.DataWriter(self.participant, described, qos=self._typed(kind, qos))

    def reader(self, topic: str, kind: type, quality: Quality) -> Any:  # noqa: ANN401
        """Return CycloneDDS's reader of a topic of ROS.

        Raises:
            UsageError: It is no name of a topic.
        """
        qos = self._policies(quality)
        described = self._topic(topic, kind, qos)
        return self._sub.DataReader(self.participant, described, qos=self._typed(kind, qos))

    def close(self) -> None:
        """Leave the network, with all readers and writers; closing twice is allowed."""
        if self.participant is not None:
            # CycloneDDS has no other way to end one that something still refers to.
            self.participant.__del__()
        self.participant = self._domain = None

    def _topic(self, topic: str, kind: type, qos: Any) -> Any:  # noqa: ANN401
        return self._topics.Topic(self.participant, dds_topic(topic), kind, qos=qos)

    def _typed(self, kind: type, qos: Any) -> Any:  # noqa: ANN401
        """Return policies that say which definition of a type this is."""
        hashed = f"typehash={type_hash(kind)};".encode()
        return self._qos.Qos(self._qos.Policy.Userdata(hashed), base=qos)

    def _policies(self, quality: Quality) -> Any:  # noqa: ANN401
        policy, duration = self._qos.Policy, 100_000_000
        durability = policy.Durability
        return self._qos.Qos(
            policy.Reliability.BestEffort
            if quality.reliability == BEST_EFFORT
            else policy.Reliability.Reliable(max_blocking_time=duration),
            durability.TransientLocal if quality.latched else durability.Volatile,
            policy.History.KeepLast(quality.depth),
            # Without it, readers get an empty message when a writer ends.
            policy.WriterDataLifecycle(autodispose=False),
            # ROS's middlewares read no other.
            policy.DataRepresentation(use_cdrv0_representation=True),
        )


def checked_reliability(reliability: str) -> str:
    """Return a kind of reliability.

    Raises:
        UsageError: There is no such kind.
    """
    if reliability not in RELIABILITIES:
        raise UsageError(
            f"The reliability is {reliability!r}.", hint=f"Give {' or '.join(RELIABILITIES)}."
        )
    return reliability


def _local_domain(domains: ModuleType, number: int) -> Any:  # noqa: ANN401
    """Return the process's domain on the loopback interface, which can be made once."""
    with _making:
        found = _local_domains.get(number)
        if found is None:
            found = _local_domains[number] = domains.Domain(number, _LOOPBACK)
        return found


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

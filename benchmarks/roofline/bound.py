"""A roofline: how fast a graph can run at most, by operations and by bytes.

Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009. It is a bound and no
prediction: nothing says that it is reached.

The roof of the CPU that a measurement ran on, from its instruction sets and its clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hot_sdk.benchmarks.machine import MachineStamp

_BYTES_OF = {"fp32": 1.0, "fp16": 0.5, "int8": 0.25}
"""What a tensor takes against float32."""


@dataclass(frozen=True)
class Roof:
    """Ceilings of a machine.

    Attributes:
        flops_per_s: Operations a second of matrix products.
        bytes_per_s: Of the memory.
        compute_share: Share of the first that is reached in practice.
        memory_share: Share of the second.
        launch_s: Seconds that each kernel takes in any case.
    """

    flops_per_s: float
    bytes_per_s: float
    compute_share: float = 1.0
    memory_share: float = 1.0
    launch_s: float = 0.0


@dataclass(frozen=True)
class Bound:
    """Least time of one run.

    Attributes:
        seconds: By the peaks, were everything in one kernel: the weights, the input and the output
            go through the memory once, and nothing else does.
        derated_seconds: By the shares of the peaks that are reached in practice, kernel by kernel,
            with a launch for each.
        limited_by: ``compute`` or ``memory``: what the first is limited by.
    """

    seconds: float
    derated_seconds: float
    limited_by: str


def bound(
    roof: Roof,
    *,
    flops: int,
    least_bytes: int,
    kernels: Sequence[tuple[int, int]],
    precision: str = "fp32",
) -> Bound:
    """The bound of a graph on a machine.

    Args:
        roof: The machine.
        flops: Operations of the graph.
        least_bytes: Weights, input and output, in float32.
        kernels: Operations, and bytes in float32, of each kernel.
        precision: Arithmetic that the roof is for; tensors are as narrow.
    """
    narrow = _BYTES_OF.get(precision.partition("-")[0], 1.0)
    computing, moving = flops / roof.flops_per_s, narrow * least_bytes / roof.bytes_per_s
    each = sum(
        max(
            operations / (roof.compute_share * roof.flops_per_s),
            narrow * moved / (roof.memory_share * roof.bytes_per_s),
        )
        + roof.launch_s
        for operations, moved in kernels
    )
    seconds = max(computing, moving)
    return Bound(seconds, max(seconds, each), "compute" if computing >= moving else "memory")


_LANES = (("avx512f", 16), ("avx2", 8), ("sve", 16), ("asimd", 4))
"""float32 lanes of a vector instruction, the widest first; SVE as wide as it is built."""

_UNITS = 2
"""Fused multiply-adds that a core starts in each clock, at most, on CPUs of today."""

_BOOST = 2.0
"""Virtual machines tell the base clock only; no CPU of today runs at twice its base clock with all
cores busy with such work."""

_BYTES_PER_S = 1e12
"""More than the memory of any CPU of today gives."""


_NARROWER = {"fp16": 2.0, "int8": 4.0}
"""How many times as many operations an instruction holds, in float16 and in integers of 8 bits."""


def cpu_roof(stamp: MachineStamp, precision: str = "fp32") -> Roof | None:
    """Ceilings that no CPU of this kind can exceed; None where its clock is not known.

    They are far off on purpose: a bound that is wrong on one CPU is none. What the machine really
    reaches is measured, see ``yardsticks``.
    """
    lanes = next((width for name, width in _LANES if name in stamp.instructions), None)
    if lanes is None or stamp.cpu_mhz is None:
        return None
    narrower = _NARROWER.get(precision.partition("-")[0], 1.0)
    each = narrower * 2.0 * lanes * _UNITS * stamp.cpu_mhz * 1e6 * _BOOST
    return Roof(flops_per_s=each * stamp.processors, bytes_per_s=_BYTES_PER_S)

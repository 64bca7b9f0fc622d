"""A roofline: the least time of a graph, by its operations and by its bytes.

Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009. It is a bound and not
a prediction: it need not be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hot_sdk.benchmarks.machine import MachineStamp

_SIZES = {"fp32": 1.0, "fp16": 0.5, "int8": 0.25}
"""Size of a tensor relative to float32."""

_LANES = (("avx512f", 16), ("avx2", 8), ("sve", 16), ("asimd", 4))
"""float32 lanes of a vector instruction, the widest first; SVE at its widest implementation."""

_UNITS = 2
"""Fused multiply-adds that a core of today's CPUs starts in each clock, at most."""

_BOOST = 2.0
"""Virtual machines report only the base clock; no CPU of today runs at twice its base clock with
all cores busy with such work."""

_BYTES_PER_S = 1e12
"""More than the memory bandwidth of any CPU of today."""


@dataclass(frozen=True)
class Roof:
    """The ceilings of a machine.

    Attributes:
        flops_per_s: Operations per second of matrix multiplications.
        bytes_per_s: Bandwidth of the memory.
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
    """The least time of one run.

    Attributes:
        seconds: By the peaks, if everything were one kernel: the weights, the input and the output
            go through the memory once, and nothing else does.
        derated_seconds: By the shares of the peaks that are reached in practice, kernel by kernel,
            with a launch for each.
        limited_by: ``compute`` or ``memory``: what limits the first.
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
    """Return the bound of a graph on a machine.

    Args:
        roof: The machine.
        flops: Operations of the graph.
        least_bytes: Weights, input and output, in float32.
        kernels: Operations, and bytes in float32, of each kernel.
        precision: Arithmetic that the roof is for; tensors are as narrow.
    """
    size = _SIZES.get(precision.replace("+", "-").partition("-")[0], 1.0)
    compute_s, memory_s = flops / roof.flops_per_s, size * least_bytes / roof.bytes_per_s
    kernels_s = sum(
        max(
            operations / (roof.compute_share * roof.flops_per_s),
            size * moved / (roof.memory_share * roof.bytes_per_s),
        )
        + roof.launch_s
        for operations, moved in kernels
    )
    seconds = max(compute_s, memory_s)
    return Bound(seconds, max(seconds, kernels_s), "compute" if compute_s >= memory_s else "memory")


def cpu_roof(stamp: MachineStamp, precision: str = "fp32") -> Roof | None:
    """Return ceilings that no CPU of this kind exceeds; None if its clock is unknown.

    They are far off on purpose, so that they hold on every CPU. What the machine really reaches is
    measured, see ``hot_sdk.benchmarks.speed.worker.ceilings``.
    """
    lanes = next((width for name, width in _LANES if name in stamp.instructions), None)
    if lanes is None or stamp.cpu_mhz is None:
        return None
    size = _SIZES.get(precision.replace("+", "-").partition("-")[0], 1.0)
    each = 2.0 * lanes / size * _UNITS * stamp.cpu_mhz * 1e6 * _BOOST
    return Roof(flops_per_s=each * stamp.processors, bytes_per_s=_BYTES_PER_S)

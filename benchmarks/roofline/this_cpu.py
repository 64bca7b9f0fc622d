"""The roof of the CPU that a measurement ran on, from its instruction sets and its clock."""

from __future__ import annotations

from hot_sdk.benchmarks.roofline.bound import Roof
from hot_sdk.benchmarks.speed.stamp import MachineStamp

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

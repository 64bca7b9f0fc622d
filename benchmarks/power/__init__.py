"""The power that a machine draws while a model runs, if the machine can measure it."""

from hot_sdk.benchmarks.power.registry import SOURCES, open_source
from hot_sdk.benchmarks.power.source import (
    PowerSampler,
    PowerSamples,
    PowerSource,
    UnavailableError,
)

__all__ = [
    "SOURCES",
    "PowerSampler",
    "PowerSamples",
    "PowerSource",
    "UnavailableError",
    "open_source",
]

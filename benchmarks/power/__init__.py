"""What the machine draws while a model runs, where the machine can tell."""

from hot_sdk.benchmarks.power.registry import SOURCES, open_source
from hot_sdk.benchmarks.power.sampling import PowerSampler, PowerSamples
from hot_sdk.benchmarks.power.source import PowerSource, UnavailableError

__all__ = [
    "SOURCES",
    "PowerSampler",
    "PowerSamples",
    "PowerSource",
    "UnavailableError",
    "open_source",
]

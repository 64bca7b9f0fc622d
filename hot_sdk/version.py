"""The version of the SDK, the one place that states it."""

__version__ = "0.1.0"

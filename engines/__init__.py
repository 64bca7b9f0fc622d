"""Inference engines behind one small interface: named arrays in, named arrays out.

Importing this package imports no engine's library; opening a session does.
"""

from hot_sdk.engines.registry import AUTO, DEFAULT_ENGINE, list_engines, open_session
from hot_sdk.engines.session import Session, SessionOptions, TensorSpec

__all__ = [
    "AUTO",
    "DEFAULT_ENGINE",
    "Session",
    "SessionOptions",
    "TensorSpec",
    "list_engines",
    "open_session",
]

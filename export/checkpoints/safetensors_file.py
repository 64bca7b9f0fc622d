"""Check the header of a safetensors file before its library reads the tensors."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from hot_sdk._base.budget import input_budget, require
from hot_sdk._base.files import open_input
from hot_sdk._base.safe_json import parse_json

_MOST_VALUES = 1 << 40
_METADATA = "__metadata__"


def check_header(path: Path) -> None:
    """Check that every shape in a safetensors file is possible.

    The library compares the bytes of a tensor with its shape; a shape with a 0 has none, however
    large its other sizes are.

    Raises:
        OSError: The file cannot be read, or is no regular file.
        ValueError: The header is broken, over the budget, or names an impossible shape.
    """
    budget = input_budget()
    with open_input(path) as stream:
        start = stream.read(8)
        if len(start) < 8:
            raise ValueError("its header is cut off")
        (size,) = struct.unpack("<Q", start)
        require(size, budget.record_bytes, "bytes in its header")
        content = stream.read(size)
    if len(content) < size:
        raise ValueError("its header is cut off")
    header = parse_json(content, budget)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    for name, entry in header.items():
        if name == _METADATA:
            continue
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"{name[:80]!a} has no shape")
        if math.prod(max(n, 1) for n in shape) > _MOST_VALUES or len(shape) > 64:
            raise ValueError(f"{name[:80]!a} has the impossible shape {str(shape)[:80]}")

"""In which types a plan really computes, read back from the plan itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from types import ModuleType

from hot_sdk.engines.tensorrt_api import ICudaEngine

# The words of TensorRT's layer information for types, which differ between its releases.
_TYPES = {
    "float": "fp32",
    "float32": "fp32",
    "fp32": "fp32",
    "half": "fp16",
    "float16": "fp16",
    "fp16": "fp16",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "fp8": "fp8",
    "fp4": "fp4",
    "int8": "int8",
    "int4": "int4",
}
_NARROW = ("fp16", "bf16", "fp8", "fp4", "int8", "int4")
# What a file of a declared precision has to have, at least one of them.
_EXPECTED = {
    "fp16": ("fp16",),
    "bf16": ("bf16",),
    "mixed": ("fp16", "bf16"),
    "int8": ("int8",),
    "fp8": ("fp8",),
}


def read_layer_types(trt: ModuleType, engine: ICudaEngine) -> dict[str, int]:
    """How many tensors between an engine's layers are of each floating-point or quantised type.

    Returns:
        Counts by ``fp32``, ``fp16`` and so on; empty where the engine does not tell.
    """
    inspector = engine.create_engine_inspector()
    return count_types(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def count_types(information: str) -> dict[str, int]:
    """The same of the text that TensorRT's inspector gives."""
    try:
        data = json.loads(information)
    except (ValueError, RecursionError):
        return {}
    found: Counter[str] = Counter()
    for text in _type_texts(data):
        words = re.findall(r"[a-z]+\d*", text.lower())
        found.update({_TYPES[word] for word in words if word in _TYPES})
    return dict(found)


def precision_mismatch(declared: str, found: Mapping[str, int]) -> str | None:
    """What is wrong between the precision that a file declares and the types of its engine.

    Args:
        declared: Such as ``fp32`` or ``fp16``.
        found: Of :func:`read_layer_types`.

    Returns:
        A sentence, or None where they agree.
    """
    shown = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    if not found:
        return "The engine does not tell the types of its layers, so they were not checked."
    if declared == "fp32":
        narrow = [name for name in _NARROW if name in found]
        if narrow:
            return f"The file declares fp32, but the engine's tensors are: {shown}."
        return None
    expected = _EXPECTED.get(declared)
    if expected is not None and not any(name in found for name in expected):
        return f"The file declares {declared}, but the engine's tensors are: {shown}."
    return None


def _type_texts(data: object) -> Iterator[str]:
    """Every text under a key that names a data type, wherever it stands."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and "datatype" in str(key).lower().replace(" ", ""):
                yield value
            else:
                yield from _type_texts(value)
    elif isinstance(data, list):
        for item in data:
            yield from _type_texts(item)

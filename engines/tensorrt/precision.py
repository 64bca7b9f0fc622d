"""Which types a plan computes in, by what TensorRT's inspector reports about its layers."""

from __future__ import annotations

import functools
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from hot_sdk.engines.tensorrt.bindings import ICudaEngine

# Names of types in TensorRT's layer information, which differ between its releases.
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
_NARROW = {*_TYPES.values()} - {"fp32"}
# For each declared precision, types of which the plan has to have at least one.
_EXPECTED = {
    "fp16": ("fp16",),
    "bf16": ("bf16",),
    "mixed": ("fp16", "bf16"),
    "int8": ("int8",),
    "int8+fp16": ("int8",),
    "fp8": ("fp8",),
}

# A layer that holds a part of the network, compiled as a whole: its type, and what its name begins
# with.
_OPAQUE_TYPE = "myelin"
_OPAQUE_NAME = "{foreignnode"

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


@dataclass(frozen=True)
class LayerReport:
    """What a plan reports about its layers.

    Attributes:
        types: Number of tensors between the layers by floating-point or quantized type, ``fp32``,
            ``fp16`` and so on; empty if the plan does not report them.
        opaque_regions: Number of layers that hold a whole part of the network; the types inside are
            not reported.
        text: The report itself.
    """

    types: Mapping[str, int] = field(default_factory=dict)
    opaque_regions: int = 0
    text: str = field(default="", repr=False, compare=False)


def read_layers(trt: ModuleType, engine: ICudaEngine) -> LayerReport:
    """Read what a loaded plan reports about its layers."""
    inspector = engine.create_engine_inspector()
    if inspector is None:
        return LayerReport()
    # None if the inspector fails.
    found = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return parse_layers(found or "")


def parse_layers(information: str) -> LayerReport:
    """Read the text of TensorRT's inspector; see :func:`read_layers`."""
    try:
        data = json.loads(information)
    except (ValueError, RecursionError):
        return LayerReport(text=information)
    found: Counter[str] = Counter()
    for text in _type_texts(data):
        words = re.findall(r"[a-z]+\d*", text.lower())
        found.update({_TYPES[word] for word in words if word in _TYPES})
    return LayerReport(dict(found), sum(map(_is_opaque, _layers(data))), information)


def precision_mismatch(declared: str, layers: LayerReport) -> str | None:
    """Return how the precision that a file declares and the types of its plan disagree.

    Args:
        declared: The precision, such as ``fp32`` or ``fp16``.
        layers: What the plan reports.

    Returns:
        A sentence; None if they agree, or if the report does not show it.
    """
    found = layers.types
    if not found:
        return None
    if declared == "fp32":
        wrong = not _NARROW.isdisjoint(found)
    else:
        # A type that is not seen may be inside of a region.
        seen = any(name in found for name in _EXPECTED.get(declared, found))
        wrong = not seen and not layers.opaque_regions
    shown = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    return f"The file declares {declared}, but the plan's tensors are: {shown}." if wrong else None


def report_precision(declared: str, layers: LayerReport, name: str) -> None:
    """Log a mismatch as a warning, and once for a process that there is nothing to compare."""
    problem = precision_mismatch(declared, layers)
    if problem is not None:
        _logger.warning("'%s': %s", name, problem)
    elif not layers.types:
        _say_once(
            "The plan does not report the types of its layers, as is usual with an open batch, so"
            " they were not checked."
        )
    elif layers.opaque_regions:
        _say_once(
            "TensorRT compiled parts of the plan as one layer each, and does not report the types"
            " inside; those between them fit the file."
        )


@functools.cache
def _say_once(text: str) -> None:
    _logger.info("%s", text)


def _layers(data: object) -> list[object]:
    layers = data.get("Layers") if isinstance(data, dict) else None
    return layers if isinstance(layers, list) else []


def _is_opaque(layer: object) -> bool:
    # Without details a layer is its name alone.
    if isinstance(layer, dict):
        kind, name = str(layer.get("LayerType", "")), str(layer.get("Name", ""))
    else:
        kind, name = "", str(layer)
    return kind.lower() == _OPAQUE_TYPE or name.lower().startswith(_OPAQUE_NAME)


def _type_texts(data: object) -> Iterator[str]:
    """Yield every text under a key that names a data type, at any depth."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and "datatype" in str(key).lower().replace(" ", ""):
                yield value
            else:
                yield from _type_texts(value)
    elif isinstance(data, list):
        for item in data:
            yield from _type_texts(item)

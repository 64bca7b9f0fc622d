"""Find the matrix multiplications of an ONNX file that are int8: both factors are dequantized.

The package ``onnx`` is not needed; robots do not have it.
"""

from __future__ import annotations

from hot_sdk.engines.onnx_file import OnnxFile
from hot_sdk.engines.onnx_nodes import read_nodes
from hot_sdk.errors import EngineError

_MULTIPLICATIONS = ("MatMul", "Gemm", "Conv")
_DEQUANTIZED = "DequantizeLinear"


def quantized_products(file: OnnxFile) -> frozenset[str]:
    """Return the names of the nodes that multiply between quantizing nodes.

    Multiplications of integers, as dynamic int8 files hold them, show by their operator and are not
    among them.

    Raises:
        EngineError: The file changed since it was checked.
    """
    try:
        with file.opened() as buffer:
            graph = read_nodes(buffer)
    except ValueError as error:
        raise EngineError(
            f"The graph of the model '{file.name}' cannot be read: {error}.",
            hint="Export the model again.",
        ) from error
    return frozenset(
        node.name
        for node in graph.nodes
        if node.operator in _MULTIPLICATIONS
        and len(node.inputs) >= 2
        and all(graph.maker(name, _DEQUANTIZED) is not None for name in node.inputs[:2])
    )

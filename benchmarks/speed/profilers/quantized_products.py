"""Find the matrix multiplications of an ONNX file that are int8: both factors are dequantized.

The package ``onnx`` is not needed; robots do not have it.
"""

from __future__ import annotations

from hot_sdk.engines.onnx_file import OnnxFile
from hot_sdk.engines.protobuf import Buffer, Field, read_fields
from hot_sdk.errors import EngineError

_MODEL_GRAPH, _GRAPH_NODE = 7, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
_MULTIPLICATIONS = ("MatMul", "Gemm", "Conv")
_DEQUANTIZED = "DequantizeLinear"


def quantized_products(file: OnnxFile) -> frozenset[str]:
    """Return the names of the nodes that multiply between quantizing nodes.

    Multiplications of integers, as dynamic int8 files hold them, show by their operator and are not
    among them.

    Raises:
        EngineError: The file changed since it was checked.
    """
    dequantized: set[str] = set()
    factors: dict[str, list[str]] = {}
    try:
        with file.opened() as buffer:
            for graph in _parts(buffer, 0, len(buffer), _MODEL_GRAPH):
                for node in _parts(buffer, graph.begin, graph.end, _GRAPH_NODE):
                    texts = _texts(buffer, node)
                    (operator,) = texts[_NODE_OPERATOR] or [""]
                    if operator == _DEQUANTIZED:
                        dequantized.update(texts[_NODE_OUTPUT])
                    elif operator in _MULTIPLICATIONS:
                        (name,) = texts[_NODE_NAME] or [""]
                        factors[name] = texts[_NODE_INPUT][:2]
    except ValueError as error:
        raise EngineError(
            f"The graph of the model '{file.name}' cannot be read: {error}.",
            hint="Export the model again.",
        ) from error
    return frozenset(
        name for name, both in factors.items() if both and dequantized.issuperset(both)
    )


def _parts(buffer: Buffer, start: int, stop: int, number: int) -> list[Field]:
    return [field for field in read_fields(buffer, start, stop) if field.number == number]


def _texts(buffer: Buffer, node: Field) -> dict[int, list[str]]:
    """Return inputs, outputs, name and operator of a node."""
    found: dict[int, list[str]] = {
        number: [] for number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR)
    }
    for field in read_fields(buffer, node.begin, node.end):
        if field.number in found:
            found[field.number].append(bytes(buffer[field.begin : field.end]).decode())
    return found

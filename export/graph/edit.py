"""What a graph holds that nothing needs, taken out."""

from __future__ import annotations

from onnx import GraphProto


def drop_dead_nodes(graph: GraphProto) -> None:
    """Remove, in place, the nodes and initializers that no output depends on."""
    wanted = {output.name for output in graph.output}
    needed = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            needed.append(node)
            wanted.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(needed))
    drop_unused_initializers(graph)


def drop_unused_initializers(graph: GraphProto) -> None:
    """Remove, in place, the initializers that no node reads."""
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)

"""Compare a manifest with the graph of its file, before a pose is computed.

A manifest is a text that anyone can change. What it says about batches, mirroring, precision, opset
and outputs decides how poses are computed and what users believe about them, and the graph shows
whether it is true.
"""

from __future__ import annotations

from pathlib import Path

from hot_sdk.engines.onnx_file import OnnxFile, Signature, check_onnx, read_signature
from hot_sdk.engines.onnx_graph import GraphFacts, read_graph_facts
from hot_sdk.engines.registry import ONNX, model_format
from hot_sdk.engines.session import format_shape
from hot_sdk.errors import ManifestError
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, POSES, SPREAD, TOKEN_INDEX, Manifest
from hot_sdk.skeletons import NETWORK_SKELETONS

_STATIC_INT8 = frozenset({"QuantizeLinear", "DequantizeLinear"})
_DYNAMIC_INT8 = frozenset({"DynamicQuantizeLinear", "MatMulInteger"})


def check_against_graph(model: Path | bytes | OnnxFile, manifest: Manifest) -> None:
    """Check what a manifest says against its skeleton, and against the graph of its file.

    Graphs of other formats than ONNX are left to their engine, which builds the network from them.

    Args:
        model: The file, or its bytes; or what ``check_onnx`` made of them.
        manifest: Its manifest.

    Raises:
        ManifestError: They disagree.
        EngineError: The file cannot be read.
    """
    _check_joints(manifest)
    if not isinstance(model, OnnxFile):
        if model_format(model) != ONNX:
            return
        model = check_onnx(model)
    signature, graph = read_signature(model), read_graph_facts(model)
    for what, said, found in (
        *_shapes(manifest, signature),
        ("opset", manifest.opset, graph.opset),
        ("precision", manifest.precision, _precision(graph)),
        ("flip", manifest.flip, _mirror(manifest) in graph.indices),
    ):
        if said != found:
            raise ManifestError(
                f"The model file's manifest is wrong: it says {what} {_shown(said)}, and the graph"
                f" has {_shown(found)}.",
                hint="Do not use the file unless you know who changed it; export the model again"
                " with hot-export.",
            )


def _check_joints(manifest: Manifest) -> None:
    """Raise if the joints of a known skeleton hang or mirror otherwise than in that skeleton."""
    joints = manifest.joints
    known = NETWORK_SKELETONS.get(joints.skeleton)
    # Other names or another order are for the caller, which knows what it can lift.
    if known is None or joints.names != known.joints:
        return
    for what, said, true in (
        ("parents", joints.parents, known.parents),
        ("flip_pairs", _mirror(manifest), known.mirror),
    ):
        if said != true:
            raise ManifestError(
                f"The model file's manifest is wrong: its {what} are not those of '{known.name}'.",
                hint="Do not use the file unless you know who changed it; export the model again"
                " with hot-export.",
            )


def _shapes(manifest: Manifest, signature: Signature) -> list[tuple[str, object, object]]:
    """Return each shape with what the manifest says and what the graph has."""
    joints = len(manifest.joints.names)
    batch = "any" if manifest.batch is None else manifest.batch
    expected: dict[str, tuple[int | str, ...]] = {
        KEYPOINTS: (batch, manifest.frames, joints, manifest.channels),
        POSES: (batch, manifest.output_frames, joints, 3),
    }
    if manifest.conditions:
        expected[CONDITIONS] = (batch, manifest.frames, len(manifest.conditions))
    if manifest.spread:
        expected[SPREAD] = expected[POSES]
    if manifest.token_index:
        chosen = sum(stage.tokens for stage in manifest.stages)
        pair = (2,) if manifest.flip else ()
        expected[TOKEN_INDEX] = (batch, *pair, chosen)
    if manifest.step is not None:
        tensors = {**manifest.step.states(joints), **manifest.step.updates(joints)}
        expected |= {name: (batch, *shape) for name, shape in tensors.items()}
    found: dict[str, tuple[int | str, ...]] = {}
    for spec in (*signature.inputs, *signature.outputs):
        first = spec.shape[:1]
        found[spec.name] = (
            *("any" if isinstance(size, str) else size for size in first),
            *spec.shape[1:],
        )
    names = ("inputs and outputs", ", ".join(sorted(expected)), ", ".join(sorted(found)))
    return [names, *((name, shape, found.get(name, ())) for name, shape in expected.items())]


def _precision(graph: GraphFacts) -> str:
    """Return the precision that a graph's operators and constants show."""
    if _DYNAMIC_INT8 & graph.operators:
        return "int8-dynamic"
    int8, half = bool(_STATIC_INT8 & graph.operators), graph.has_float16
    if int8:
        return "int8+fp16" if half else "int8"
    return "fp16" if half else "fp32"


def _mirror(manifest: Manifest) -> tuple[int, ...]:
    """Return the order of joints in a mirror, which a graph that averages with one gathers by."""
    order = list(range(len(manifest.joints.names)))
    for left, right in manifest.joints.flip_pairs:
        order[left], order[right] = right, left
    return tuple(order)


def _shown(value: object) -> str:
    return format_shape(value) if isinstance(value, tuple) else ascii(value)[:200]

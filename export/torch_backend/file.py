"""The file that PyTorch runs: weights in safetensors, with the manifest and the architecture.

It holds everything that rebuilds the network, and loads no pickle, unlike PyTorch's own formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hot_sdk._base import records
from hot_sdk.errors import EngineError, HotSDKError
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.export.checkpoints.safetensors_file import check_header
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import ModelSpec, build, family, resolve
from hot_sdk.manifest import Manifest
from hot_sdk.skeletons import H36M17, NETWORK_SKELETONS

SUFFIX = ".safetensors"

_SPEC_KEY = "hot_sdk.network"


@dataclass(frozen=True)
class TorchModel:
    """The content of such a file.

    Attributes:
        spec: The architecture.
        manifest: The file's manifest.
        metadata: All texts of its header.
        lifter: The function of keypoints, with its weights, on the CPU; constants are not folded.
    """

    spec: ModelSpec
    manifest: Manifest
    metadata: Mapping[str, str]
    lifter: nn.Module


def save_torch_model(
    path: Path, spec: ModelSpec, state: Mapping[str, Tensor], manifest: Manifest
) -> None:
    """Write such a file.

    Args:
        path: The file.
        spec: The architecture.
        state: A state-dict that fits it.
        manifest: The file's manifest.
    """
    metadata = {**manifest.to_metadata(), _SPEC_KEY: records.to_json(spec)}
    # safetensors refuses tensors that share memory.
    tensors = {key: tensor.detach().clone().contiguous() for key, tensor in state.items()}
    # Not by save_file, which makes files that only their owner may read.
    path.write_bytes(save(tensors, metadata=metadata))


def load_torch_model(path: Path) -> TorchModel:
    """Read such a file.

    Raises:
        EngineError: It is absent, another format, damaged, or its parts contradict each other.
        ManifestError: Its manifest is broken, or a newer version's.
    """
    metadata, shapes = _header(path)
    if _SPEC_KEY not in metadata:
        raise _wrong_file(f"'{path}' holds weights but does not name their network")
    spec = _spec(metadata[_SPEC_KEY], path)
    # Before any memory is allocated: an architecture can claim more than a file of weights holds.
    with torch.device("meta"):
        network = build(spec)
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    if expected != shapes:
        raise EngineError(
            f"The weights in '{path}' do not fit the network that it names.",
            hint="Export the model again with hot-export.",
        )
    manifest = Manifest.from_metadata(metadata)
    try:
        state = dict(read_checkpoint(path).tensors)
    except HotSDKError as error:
        raise EngineError(error.message, hint=error.hint) from error
    return TorchModel(spec, manifest, metadata, build_lifter(spec, state, flip=manifest.flip))


def _header(path: Path) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    if not path.is_file():
        raise EngineError(
            f"There is no model file at '{path}'.", hint="Check the path, or export the model."
        )
    try:
        check_header(path)
        with safe_open(path, framework="pt", device="cpu") as held:
            shapes = {key: tuple(held.get_slice(key).get_shape()) for key in held.keys()}  # noqa: SIM118
            return held.metadata() or {}, shapes
    except (SafetensorError, OSError, ValueError) as error:
        raise _wrong_file(f"'{path}' is no safetensors file, or a damaged one ({error})") from error


def _spec(text: str, path: Path) -> ModelSpec:
    """Read the architecture, which has to be one that ``resolve`` would return."""
    try:
        # Files of schema 1 and 2 do not state these.
        known = {"root_relative": True, "joint_order": H36M17.name, "millimeters": False}
        data = {**known, **records.parse_object(text)}
        if isinstance(data.get("size"), dict):
            # Nor do those of schema 3 state these.
            data["size"] = {"conditions": 0, "spread": 0, **data["size"]}
        spec = records.build(ModelSpec, data)
        stated = {name: getattr(spec, name) for name in known}
        settings = {name: getattr(spec.size, name) for name in family(spec.family).settings}
        complete = resolve(
            spec.family,
            frames=spec.frames,
            tokens=[stage.tokens for stage in spec.stages] or None,
            prune_at=[stage.prune_at for stage in spec.stages] or None,
            selector=[stage.selector for stage in spec.stages] or None,
            variant=spec.variant,
            recovery=spec.recovery,
            elastic=spec.elastic,
            **settings,
        )
    except (records.TypedJSONError, HotSDKError) as error:
        raise EngineError(
            f"The network that '{path}' names is broken: {str(error).rstrip('.')}.",
            hint="Export the model again with hot-export.",
        ) from error
    if replace(complete, **stated) != spec or spec.joint_order not in NETWORK_SKELETONS:
        raise EngineError(
            f"The network that '{path}' names contradicts itself.",
            hint="Export the model again with hot-export.",
        )
    return spec


def _wrong_file(problem: str) -> EngineError:
    return EngineError(
        f"{problem}; PyTorch runs the files that hot-export writes for it.",
        hint="Run: hot-export --engine torch --model FAMILY --checkpoint FILE",
    )

"""Write ``config.pbtxt``, the configuration of a model for Triton Inference Server.

The fields are those of ``ModelConfig`` in its protobuf schema, model_config.proto of
triton-inference-server/common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hot_sdk.engines.session import TensorSpec

MARK = "# Written by hot-export"
"""Beginning of every file; a folder without it is not ours to replace."""

_MARK_LINE = f"{MARK}, which overwrites it when the model is exported again."
_TYPES = {"float32": "TYPE_FP32", "int32": "TYPE_INT32", "int64": "TYPE_INT64"}


@dataclass(frozen=True)
class ModelConfig:
    """One model of the repository.

    Attributes:
        name: Name of the model and of its folder.
        max_batch: Most windows per run; 0 if the file's batch is fixed, which shapes then include.
        inputs: The file's inputs.
        outputs: The file's outputs.
        instances: Number of instances that run at a time; 0 for an ensemble, which has none.
        gpu: The instances are on GPUs, that number on each of the server's.
        preferred: Sizes of the batches formed of waiting requests; if empty, none are formed.
        accelerators: Execution providers of the ONNX Runtime backend, in order, and their settings.
        warm_up: Sizes of the batches that are run before the model counts as ready.
        steps: The models that an ensemble runs; their tensors keep their names in the ensemble.
        notes: What a reader of the file should know, a line each.
    """

    name: str
    max_batch: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    instances: int = 1
    gpu: bool = False
    preferred: tuple[int, ...] = ()
    accelerators: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    warm_up: tuple[int, ...] = ()
    steps: tuple[ModelConfig, ...] = ()
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return the content of the file."""
        lines = [
            _MARK_LINE,
            *(f"# {note}" for note in self.notes),
            f'name: "{self.name}"',
            'platform: "ensemble"' if self.steps else 'backend: "onnxruntime"',
            f"max_batch_size: {self.max_batch}",
        ]
        for what, specs in (("input", self.inputs), ("output", self.outputs)):
            lines += [f'{what} {{ name: "{spec.name}" {self._typed(spec)} }}' for spec in specs]
        if self.preferred:
            sizes = ", ".join(map(str, self.preferred))
            lines.append(f"dynamic_batching {{ preferred_batch_size: [ {sizes} ] }}")
        if self.instances:
            where = "KIND_GPU" if self.gpu else "KIND_CPU"
            lines.append(f"instance_group {{ count: {self.instances} kind: {where} }}")
        lines += [*self._optimization(), *self._warm_up(), *self._ensemble()]
        return "\n".join(lines) + "\n"

    def _typed(self, spec: TensorSpec) -> str:
        sizes = spec.shape[1:] if self.max_batch else spec.shape
        return f"data_type: {_TYPES[spec.dtype]} dims: [ {', '.join(map(str, sizes))} ]"

    def _optimization(self) -> list[str]:
        if not self.accelerators:
            return []
        lines = ["optimization {", "  execution_accelerators {"]
        for name, settings in self.accelerators.items():
            lines += ["    gpu_execution_accelerator {", f'      name: "{name}"']
            lines += [
                f'      parameters {{ key: "{key}" value: "{value}" }}'
                for key, value in settings.items()
            ]
            lines.append("    }")
        return [*lines, "  }", "}"]

    def _warm_up(self) -> list[str]:
        lines = []
        for size in self.warm_up:
            lines += ["model_warmup {", f'  name: "{size}"', f"  batch_size: {size}"]
            lines += [
                f'  inputs {{ key: "{spec.name}" value {{ {self._typed(spec)} zero_data: true }} }}'
                for spec in self.inputs
            ]
            lines.append("}")
        return lines

    def _ensemble(self) -> list[str]:
        if not self.steps:
            return []
        lines = ["ensemble_scheduling {"]
        for step in self.steps:
            lines += ["  step {", f'    model_name: "{step.name}"', "    model_version: -1"]
            for what, specs in (("input_map", step.inputs), ("output_map", step.outputs)):
                names = [spec.name for spec in specs]
                lines += [f'    {what} {{ key: "{name}" value: "{name}" }}' for name in names]
            lines.append("  }")
        return [*lines, "}"]

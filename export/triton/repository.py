"""Write a model repository for Triton Inference Server from an exported and verified file.

It holds three models: the network, which takes normalized keypoints; a small one that normalizes;
and an ensemble of both, which takes pixels. See docs/serving.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx

from hot_sdk._base.leftovers import temporary_folder
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.session import TensorSpec
from hot_sdk.errors import UsageError
from hot_sdk.export.graph.trace import BATCH
from hot_sdk.export.triton.config import ModelConfig
from hot_sdk.export.triton.options import (
    CONFIG,
    MODEL,
    TritonOptions,
    check_folder,
    check_models,
    model_names,
)
from hot_sdk.export.triton.pixel_input import pixel_input_graph, require_same_input
from hot_sdk.inference import DYNAMIC_BATCH, SINGLE_FRAMES
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING, Manifest

# By default ONNX Runtime computes float32 in the narrower TensorFloat-32, which picks other frames.
_CUDA = {"cuda": {"use_tf32": "0"}}
_TENSORRT = {"tensorrt": {"precision_mode": "FP32"}}

_Write = Callable[[Path], object]


def write_triton(file: Path, options: TritonOptions) -> tuple[Path, ...]:
    """Write the models of an exported file into a repository.

    Each folder is complete or absent, and the ensemble is written last. Models that an earlier
    export wrote under the same names are replaced.

    Args:
        file: A file made by ``hot-export``.
        options: The repository and how the server runs the network.

    Returns:
        The folders of the normalizing model, the network and the ensemble.

    Raises:
        UsageError: A folder cannot be written, or holds files that hot-export did not write; or
            TensorRT was requested for a file in another precision than fp32.
        ManifestError: The file was not made by hot-export.
        VerificationError: The step from pixels does not compute what the runtime does.
    """
    check_folder(options)
    check_models(options, file)
    with open_session(file, SessionOptions(graph_optimization="none")) as session:
        manifest = Manifest.from_metadata(session.metadata)
        inputs, outputs = session.inputs, session.outputs
    if options.backend == "tensorrt" and manifest.precision != "fp32":
        # Once narrower types are allowed, TensorRT chooses where to use them.
        raise UsageError(
            f"The file computes in {manifest.precision}, and TensorRT would narrow the selection of"
            " frames with the rest.",
            hint="Use the backend 'onnxruntime', or export in fp32.",
        )
    batch = BATCH if manifest.batch is None else manifest.batch
    pixels = pixel_input_graph(manifest, batch)
    require_same_input(pixels, manifest)
    with open_session(pixels.SerializeToString()) as session:
        raw = session.inputs
    normalizer, network, ensemble = _configs(file, manifest, options, inputs, outputs, raw)
    options.folder.mkdir(exist_ok=True)
    return (
        _write_model(options.folder, normalizer, lambda target: onnx.save(pixels, target)),
        _write_model(options.folder, network, lambda target: shutil.copyfile(file, target)),
        _write_model(options.folder, ensemble, None),
    )


def _configs(
    file: Path,
    manifest: Manifest,
    options: TritonOptions,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    pixels: tuple[TensorSpec, ...],
) -> tuple[ModelConfig, ModelConfig, ModelConfig]:
    """Return the configurations of the normalizing model, the network and the ensemble."""
    names = model_names(file)
    most = 0
    if manifest.batch is None:
        most = SINGLE_FRAMES if manifest.frames == 1 else DYNAMIC_BATCH
    tensorrt = options.backend == "tensorrt"
    notes = (f"Warning: {RANDOM_WEIGHTS_WARNING}.",) if manifest.weights.random else ()
    built = ("The server builds a TensorRT plan when it loads the model, which takes minutes.",)
    normalizer = ModelConfig(names.normalizer, most, pixels, inputs, options.instances)
    network = ModelConfig(
        name=names.network,
        max_batch=most,
        inputs=inputs,
        outputs=outputs,
        instances=options.instances,
        gpu=options.gpu,
        preferred=(most // 2, most) if most else (),
        accelerators={**(_TENSORRT if tensorrt else {}), **(_CUDA if options.gpu else {})},
        # For a dynamic batch, TensorRT's plan spans the sizes that it has seen, and is rebuilt for
        # one outside of them; for a fixed one it is built when the file is loaded.
        warm_up=(1, most) if tensorrt and most else (),
        notes=notes + built * tensorrt,
    )
    ensemble = ModelConfig(
        name=names.ensemble,
        max_batch=most,
        inputs=pixels,
        outputs=outputs,
        instances=0,
        steps=(normalizer, network),
        notes=notes,
    )
    return normalizer, network, ensemble


def _write_model(repository: Path, config: ModelConfig, write: _Write | None) -> Path:
    """Write one model's folder to a temporary place in the repository, and move it into place."""
    target = repository / config.name
    # In the repository, since renaming works only within one file system.
    with temporary_folder(".writing", repository) as temporary:
        made = temporary / "new"
        version = (made / MODEL).parent
        version.mkdir(parents=True)
        if write is not None:
            write(made / MODEL)
        (made / CONFIG).write_text(config.to_text(), encoding="utf-8")
        for path in made.rglob("*"):
            if path.is_file():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        if target.exists():
            target.rename(temporary / "old")
        made.rename(target)
    return target

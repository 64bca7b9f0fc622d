"""Read trained weights from untrusted checkpoint files.

Published pose lifters come as bare state-dicts (HoT, MHFormer, HTNet), under ``model_pos`` next to
an optimizer and a random state (MixSTE, MotionBERT) or under ``model`` (MotionAGFormer), often with
the ``module.`` that ``DataParallel`` puts before each key. People's own come as their training
scripts save them; :mod:`hot_sdk.export.checkpoints.containers` finds the weights in those.

A safetensors file also has room for text. The trainer in examples/ writes a ``TrainingRecord``
there as JSON, so that users need not repeat what tensor shapes do not encode.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hot_sdk._base import records
from hot_sdk._base.files import open_input, sha256_of
from hot_sdk.errors import CheckpointError
from hot_sdk.export.checkpoint_file import find_checkpoint
from hot_sdk.export.checkpoints.containers import (
    SAVE_WEIGHTS_ALONE,
    Found,
    find_weights,
    name_weights,
    no_weights,
)
from hot_sdk.export.checkpoints.safetensors_file import check_header
from hot_sdk.export.checkpoints.torch_file import TorchScriptError, load_torch_file
from hot_sdk.export.enums import DATA_SETS
from hot_sdk.manifest import KEY as MANIFEST_KEY

KEY = "hot_sdk.training"
"""Key of the training record in the header of a safetensors file."""

MAX_BYTES = 2 * 1024**3
"""Largest checkpoint that is read. The largest published lifter, of 42 million parameters, takes
0.5 GB with the state of its optimizer."""

_LOG = logging.getLogger(__name__)

_COPY_AGAIN = "Download or copy it again."
_HEAD_BYTES = 512


@dataclass(frozen=True)
class TrainingRecord:
    """How weights were trained.

    Attributes:
        fps: Frames per second of the training data.
        heads: Number of attention heads.
        prune_at: Block before which frames were pruned; None if none were.
        license: License of the weights.
        credit: Whom users of the weights have to name; None if no credit is required.
        limits: What the training data lacks, in words.
        neighbors: Frames that a graph over time connects to each frame; 0 if the family has none.
        trained_on: The data set, ``h36m`` or ``mpi-inf-3dhp``; None for another one with the joints
            of Human3.6M in their order.
        root_relative: The network was trained to predict joints relative to the root.
    """

    fps: float
    heads: int
    prune_at: int | None
    license: str = field(metadata={records.WAS: "licence"})
    credit: str | None
    limits: str | None
    neighbors: int = 0
    trained_on: str | None = None
    root_relative: bool = True


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one file.

    Attributes:
        path: The file.
        sha256: Its digest, in hexadecimal.
        tensors: The weights by the network's own keys; floating-point ones in float32.
        container: Where they were found: ``bare``, ``safetensors``, or the path of a dictionary in
            the file, as ``model_pos``.
        dropped: Names of the objects next to the weights that were not rebuilt.
        training: The file's record of its training; None if it has none.
        notes: What was done to find the weights and to name them, in words.
        exported: The file is one that hot-export made for PyTorch.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    container: str
    dropped: tuple[str, ...]
    training: TrainingRecord | None = None
    notes: tuple[str, ...] = ()
    exported: bool = False


def read_checkpoint(
    path: Path, *, weights: str | None = None, allow_extra: Sequence[str] = ()
) -> Checkpoint:
    """Read the weights in a file of ``torch.save`` (either layout) or of safetensors.

    The format is detected from the content, not from the name. Nothing that the file names is
    imported or called; see :mod:`hot_sdk.export.checkpoints.unpickler`.

    Args:
        path: The file, or a folder with one checkpoint.
        weights: Which of several sets of weights to take: the name of its dictionary in the file,
            or the prefix of its keys.
        allow_extra: Shell patterns of keys that may belong to something else than the network.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe, too large or no checkpoint; its
            weights are ambiguous, incomplete or not finite.
    """
    path = find_checkpoint(path)
    _require_regular_file(path)
    training, exported = None, False
    dropped: set[str] = set()
    try:
        digest = sha256_of(path)
        with open_input(path) as stream:
            head = stream.read(_HEAD_BYTES)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_BYTES:
            entries, training, exported = _read_safetensors(path)
            notes: list[str] = []
            named = name_weights(entries, path.name, notes, chosen=weights, extra=allow_extra)
            found = Found("safetensors", named, tuple(notes))
        else:
            value = _read_torch(path, head, dropped)
            found = find_weights(value, path.name, chosen=weights, extra=allow_extra)
    except OSError as error:
        raise CheckpointError(
            f"'{path}' cannot be read: {error.strerror or error}.", hint="Check its permissions."
        ) from error
    if not found.tensors:
        raise no_weights(path.name, "nothing")
    tensors = _all_as_weights(found.tensors, path.name)
    _LOG.info("%s: %s", path.name, ", ".join((f"{len(tensors)} tensors", *found.notes)))
    if dropped:
        _LOG.info("%s: dropped: %s", path.name, ", ".join(sorted(dropped)))
    return Checkpoint(
        path,
        digest,
        MappingProxyType(tensors),
        found.container,
        tuple(sorted(dropped)),
        training,
        found.notes,
        exported,
    )


def _require_regular_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(
            f"There is no checkpoint '{path}' ({error.strerror}).", hint="Check the path."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"'{path}' is not a regular file.", hint="Copy it to a file first.")
    if status.st_size == 0:
        raise CheckpointError(f"'{path}' is empty.", hint=_COPY_AGAIN)
    if status.st_size > MAX_BYTES:
        raise CheckpointError(
            f"'{path}' has {status.st_size} bytes; at most {MAX_BYTES} are read.",
            hint=SAVE_WEIGHTS_ALONE,
        )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], TrainingRecord | None, bool]:
    """Return the weights, the record of their training, and whether hot-export made the file."""
    try:
        check_header(path)
        with safe_open(path, framework="pt", device="cpu") as held:
            tensors = {key: held.get_tensor(key) for key in held.keys()}  # noqa: SIM118
            metadata = held.metadata() or {}
    except (SafetensorError, LookupError, ValueError) as error:
        raise CheckpointError(
            f"{path.name!r} is a damaged safetensors file ({error}).", hint=_COPY_AGAIN
        ) from error
    text = metadata.get(KEY)
    training = None if text is None else _parse_training_record(text, path.name)
    return tensors, training, MANIFEST_KEY in metadata


def _parse_training_record(text: str, source: str) -> TrainingRecord:
    hint = "Download or copy it again, or save the weights without it."
    # Records of earlier versions lack what has a default.
    known = {
        each.name: each.default for each in fields(TrainingRecord) if each.default is not MISSING
    }
    try:
        record = records.build(TrainingRecord, {**known, **records.parse_object(text)})
    except records.TypedJSONError as error:
        raise CheckpointError(
            f"The training record of {source!r} is broken: {error}.", hint=hint
        ) from error
    if record.trained_on not in (None, *DATA_SETS):
        raise CheckpointError(
            f"The training record of {source!r} names the data set {record.trained_on!r:.80}; "
            f"known are {', '.join(DATA_SETS)}.",
            hint=hint,
        )
    if record.fps <= 0.0 or record.heads < 1 or (record.prune_at or 1) < 1:
        raise CheckpointError(
            f"The training record of {source!r} is impossible: {record.fps} frames per second,"
            f" {record.heads} heads, pruned at {record.prune_at}.",
            hint=hint,
        )
    return record


def _read_torch(path: Path, head: bytes, dropped: set[str]) -> object:
    """Return what the file holds; collect names of what is not rebuilt."""
    _refuse_lookalikes(head, path.name)
    try:
        return load_torch_file(path, dropped)
    except (CheckpointError, OSError):
        raise
    except TorchScriptError as error:
        raise CheckpointError(
            f"'{path.name}' is a TorchScript program, not a checkpoint.",
            hint="Save model.state_dict() instead.",
        ) from error
    # Parsers raise nearly anything on damaged bytes.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"'{path.name}' is damaged, or is no checkpoint ({reason:.200}).", hint=_COPY_AGAIN
        ) from error


def _refuse_lookalikes(head: bytes, source: str) -> None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    problem = None
    if head.startswith(b"version https://git-lfs"):
        problem = "a Git LFS pointer: it names the checkpoint, but does not hold it"
        hint = "Run 'git lfs pull' in its repository."
    elif text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        problem = (
            "a web page, not a checkpoint; file hosts send one in place of a file that is large, "
            "private or requested too often"
        )
        hint = "Open the link in a browser, and download the file from there."
    elif head[257:262] == b"ustar":
        problem = "a tar archive"
        hint = "If the checkpoint is inside it, unpack the archive first."
    elif not head.startswith((b"PK", b"\x80")):
        problem = f"neither a file of torch.save nor of safetensors: it starts with {head[:8]!r}"
        hint = "Give a checkpoint: .pth, .pt, .bin, .pth.tr or .safetensors."
    if problem is not None:
        raise CheckpointError(f"{source!r} is {problem}.", hint=hint)


def _all_as_weights(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Convert each tensor once, under however many names it is there."""
    converted: dict[int, Tensor] = {}
    for key, tensor in tensors.items():
        if id(tensor) not in converted:
            converted[id(tensor)] = _as_weights(key, tensor, source)
    return {key: converted[id(tensor)] for key, tensor in tensors.items()}


def _as_weights(key: str, tensor: Tensor, source: str) -> Tensor:
    if tensor.is_complex():
        raise CheckpointError(
            f"In {source!r}, {key!r:.80} is complex.", hint="Pose lifters have real weights."
        )
    if not tensor.is_floating_point():
        return tensor
    if tensor.dtype.itemsize == 1:
        raise CheckpointError(
            f"In {source!r}, {key!r:.80} is stored in 8 bits ({tensor.dtype}), without its scale.",
            hint="Save the weights in float32, float16 or bfloat16.",
        )
    weights = tensor.to(torch.float32)
    # NumPy stays on one thread; waking torch's for each of many small tensors takes far longer.
    bad = weights.numel() - int(np.count_nonzero(np.isfinite(weights.numpy())))
    if bad:
        raise CheckpointError(
            f"In {source!r}, {bad} of the {weights.numel()} numbers of {key!r:.80} are NaN, "
            "infinite or too large for float32.",
            hint="Training diverged or the file is damaged; use another checkpoint.",
        )
    return weights

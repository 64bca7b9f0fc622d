"""Trained weights from the files people have.

Published pose lifters come as bare state-dicts (HoT, MHFormer, HTNet), under ``model_pos`` beside
an optimiser and a random state (MixSTE, MotionBERT) or under ``model`` (MotionAGFormer), often with
the ``module.`` that ``DataParallel`` puts before each key.

What a checkpoint says of its own training, beside its weights.

A safetensors file has room for text. The trainer in examples/ writes this record there as JSON, so
that nobody has to repeat on a command line what weights' shapes do not tell.
"""

from __future__ import annotations

import logging
import pickle
import stat
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from hot_sdk._base import records
from hot_sdk._base.files import sha256_of
from hot_sdk.errors import CheckpointError
from hot_sdk.export.checkpoints.unpickler import Placeholder, tensors_only

KEY = "hot_sdk.training"


@dataclass(frozen=True)
class TrainingRecord:
    """How weights were trained.

    Attributes:
        fps: Frames a second of the training data.
        heads: Attention heads.
        prune_at: Block before which frames were pruned; None where none were.
        licence: Of the weights.
        credit: Whom users of the weights have to name; None where nobody asks for it.
        limits: What the training data does not hold, in words.
    """

    fps: float
    heads: int
    prune_at: int | None
    licence: str
    credit: str | None
    limits: str | None


def parse_training_record(text: str, source: str) -> TrainingRecord:
    """Read a record.

    Raises:
        CheckpointError: It is broken; ``source`` names the file.
    """
    try:
        record = records.build(TrainingRecord, records.parse_object(text))
    except records.TypedJSONError as error:
        raise CheckpointError(
            f"What {source!r} says of its training is broken: {error}.",
            hint="Download or copy it again, or save the weights without it.",
        ) from error
    if record.fps <= 0.0 or record.heads < 1 or (record.prune_at or 1) < 1:
        raise CheckpointError(
            f"What {source!r} says of its training cannot be: {record.fps} frames a second,"
            f" {record.heads} heads, pruned at {record.prune_at}.",
            hint="Download or copy it again, or save the weights without it.",
        )
    return record


_LOG = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024**3
"""Largest checkpoint that is read. The largest published lifter, of 42 million parameters, takes
0.5 GB with the state of its optimiser."""
COPY_AGAIN = "Download or copy it again."

_CONTAINERS = ("model_pos", "model", "state_dict")
_PARALLEL_PREFIX = "module."
_LISTED = 10
_HEAD_BYTES = 512


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one file.

    Attributes:
        path: The file.
        sha256: Of the file, in hexadecimal.
        tensors: By state-dict key without ``module.``; contiguous, on the CPU, finite; float32
            where they were floating point, else of the type they were saved in.
        container: Entry that held them (``model_pos``, ``model`` or ``state_dict``), ``bare`` or
            ``safetensors``.
        dropped: Names of the objects beside the weights that were not rebuilt.
        training: What the file says of its training; None where it says nothing.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    container: str
    dropped: tuple[str, ...]
    training: TrainingRecord | None = None

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Checkpoint:
        """The same checkpoint with other tensors."""
        return replace(self, tensors=MappingProxyType(dict(tensors)))


@dataclass(frozen=True)
class _Found:
    tensors: dict[str, Tensor]
    container: str
    dropped: tuple[str, ...]
    training: TrainingRecord | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights in a file of ``torch.save`` (either layout) or of safetensors.

    The format is told from the content, not from the name. Nothing that the file names is imported
    or called; see ``tensor_unpickler``.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe, too large or no checkpoint; its
            weights are ambiguous, incomplete or not finite.
    """
    _require_regular_file(path)
    try:
        digest = sha256_of(path)
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if _looks_like_safetensors(head):
            found = _Found(_read_safetensors(path), "safetensors", (), _read_training(path))
        else:
            found = _read_torch(path, head)
    except OSError as error:
        raise CheckpointError(
            f"'{path}' cannot be read: {error.strerror or error}.", hint="Check its permissions."
        ) from error
    if not found.tensors:
        raise _no_weights(path.name, "nothing")
    named = _strip_parallel_prefix(found.tensors, source=path.name)
    tensors = {key: _as_weights(key, tensor, path.name) for key, tensor in named.items()}
    _LOG.info("%s: %d tensors (%s)", path.name, len(tensors), found.container)
    if found.dropped:
        _LOG.info("%s: dropped: %s", path.name, ", ".join(found.dropped))
    return Checkpoint(
        path, digest, MappingProxyType(tensors), found.container, found.dropped, found.training
    )


def _require_regular_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(
            f"There is no checkpoint '{path}' ({error.strerror}).", hint="Check the path."
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise CheckpointError(
            f"'{path}' is a directory, not a checkpoint.", hint="Give the file inside it."
        )
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"'{path}' is not a regular file.", hint="Copy it to a file first.")
    if status.st_size == 0:
        raise CheckpointError(f"'{path}' is empty.", hint=COPY_AGAIN)
    if status.st_size > MAX_BYTES:
        raise CheckpointError(
            f"'{path}' has {status.st_size} bytes; at most {MAX_BYTES} are read.",
            hint="Save model.state_dict() alone, without the optimiser.",
        )


def _looks_like_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_BYTES


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, LookupError, ValueError) as error:
        raise CheckpointError(
            f"{path.name!r} is a damaged safetensors file ({error}).", hint=COPY_AGAIN
        ) from error
    return tensors


def _read_training(path: Path) -> TrainingRecord | None:
    with safe_open(path, framework="pt", device="cpu") as held:
        text = (held.metadata() or {}).get(KEY)
    return None if text is None else parse_training_record(text, path.name)


def _read_torch(path: Path, head: bytes) -> _Found:
    _refuse_lookalikes(head, path.name)
    dropped: set[str] = set()
    try:
        value = _torch_load(path, dropped)
    except CheckpointError:
        raise
    # torch.load raises what its parsers meet in damaged bytes, which is nearly anything.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if "TorchScript" in reason:
            raise CheckpointError(
                f"'{path.name}' is a TorchScript program, not a checkpoint.",
                hint="Save model.state_dict() instead.",
            ) from error
        raise CheckpointError(
            f"'{path.name}' is damaged, or is no checkpoint ({reason:.200}).", hint=COPY_AGAIN
        ) from error
    container, entries = _find_weights(value, path.name)
    return _Found(entries, container, tuple(sorted(dropped)))


def _torch_load(path: Path, dropped: set[str]) -> object:
    with warnings.catch_warnings():
        # It warns of classes whose source it cannot find: ours, which stand for what was dropped.
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            # Companions of the weights, or something worse: read again, telling the two apart.
            reader = tensors_only(path.name, dropped)
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)


def _refuse_lookalikes(head: bytes, source: str) -> None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{source!r} is a Git LFS pointer: it names the checkpoint, but does not hold it.",
            hint="Run 'git lfs pull' in its repository.",
        )
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise CheckpointError(
            f"{source!r} is a web page, not a checkpoint; file hosts send one in place of a file "
            "that is large, private or asked for too often.",
            hint="Open the link in a browser, and download the file from there.",
        )
    if head[257:262] == b"ustar":
        raise CheckpointError(
            f"{source!r} is a tar archive.",
            hint="If the checkpoint is inside it, unpack the archive first.",
        )
    if not head.startswith((b"PK", b"\x80")):
        raise CheckpointError(
            f"{source!r} is neither a file of torch.save nor of safetensors: it starts with "
            f"{head[:8]!r}.",
            hint="Give a checkpoint: .pth, .pt, .bin, .pth.tr or .safetensors.",
        )


def _find_weights(value: object, source: str) -> tuple[str, dict[str, Tensor]]:
    if not isinstance(value, dict):
        raise _no_weights(source, f"a whole object, {_describe(value)}")
    found = [name for name in _CONTAINERS if isinstance(value.get(name), dict)]
    if len(found) > 1:
        raise CheckpointError(
            f"{source!r} holds several sets of weights: {', '.join(found)}.",
            hint="Save the one that is meant on its own.",
        )
    container, entries = (found[0], value[found[0]]) if found else ("bare", value)
    others = {key: entry for key, entry in entries.items() if not isinstance(entry, Tensor)}
    if len(others) == len(entries):
        raise _no_weights(source, name_some([f"{key!r:.80}" for key in entries]) or "nothing")
    for key, entry in others.items():
        raise CheckpointError(
            f"{source!r} has {len(others)} entries among its weights that are no tensors; "
            f"{key!r:.80} is {_describe(entry)}.",
            hint="Save model.state_dict() alone.",
        )
    for key in entries:
        if not isinstance(key, str):
            raise CheckpointError(
                f"{source!r} has weights under {key!r:.80}, which is no name.",
                hint="Save model.state_dict() alone.",
            )
    return container, entries


def _describe(value: object) -> str:
    if isinstance(value, Placeholder):
        return value.of
    return "a tensor" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _no_weights(source: str, content: str) -> CheckpointError:
    return CheckpointError(
        f"{source!r} holds no state-dict, neither bare nor under {', '.join(_CONTAINERS)}; it "
        f"holds {content}.",
        hint="Save the weights with torch.save(model.state_dict(), ...).",
    )


def _strip_parallel_prefix(tensors: dict[str, Tensor], *, source: str) -> dict[str, Tensor]:
    prefixed = sum(key.startswith(_PARALLEL_PREFIX) for key in tensors)
    if prefixed not in (0, len(tensors)):
        raise CheckpointError(
            f"In {source!r}, {prefixed} of {len(tensors)} keys start with {_PARALLEL_PREFIX!r}: "
            "these are the weights of more than one model.",
            hint="Save model.state_dict() alone.",
        )
    return {key.removeprefix(_PARALLEL_PREFIX): tensor for key, tensor in tensors.items()}


def _as_weights(key: str, tensor: Tensor, source: str) -> Tensor:
    if tensor.is_complex():
        raise CheckpointError(
            f"In {source!r}, {key!r:.80} is complex.", hint="Pose lifters have real weights."
        )
    if not tensor.is_floating_point():
        return tensor
    weights = tensor.to(torch.float32)
    # numpy stays on one thread; waking torch's for each of many small tensors takes far longer.
    bad = weights.numel() - int(np.count_nonzero(np.isfinite(weights.numpy())))
    if bad:
        raise CheckpointError(
            f"In {source!r}, {bad} of the {weights.numel()} numbers of {key!r:.80} are NaN, "
            "infinite or too large for float32.",
            hint="Training diverged or the file is damaged; use another checkpoint.",
        )
    return weights


def name_some(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more

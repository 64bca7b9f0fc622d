"""Read trained weights from untrusted checkpoint files.

Published pose lifters come as bare state-dicts (HoT, MHFormer, HTNet), under ``model_pos`` next to
an optimizer and a random state (MixSTE, MotionBERT) or under ``model`` (MotionAGFormer), often with
the ``module.`` that ``DataParallel`` puts before each key.

A safetensors file also has room for text. The trainer in examples/ writes a ``TrainingRecord``
there as JSON, so that users need not repeat what tensor shapes do not encode.
"""

from __future__ import annotations

import logging
import pickle
import stat
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hot_sdk._base import records
from hot_sdk._base.files import sha256_of
from hot_sdk.errors import CheckpointError
from hot_sdk.export.checkpoints.unpickler import Placeholder, tensors_only

KEY = "hot_sdk.training"
"""Key of the training record in the header of a safetensors file."""

MAX_BYTES = 2 * 1024**3
"""Largest checkpoint that is read. The largest published lifter, of 42 million parameters, takes
0.5 GB with the state of its optimizer."""

_LOG = logging.getLogger(__name__)

_COPY_AGAIN = "Download or copy it again."
_SAVE_WEIGHTS_ALONE = "Save model.state_dict() alone."
_CONTAINERS = ("model_pos", "model", "state_dict")
_PARALLEL_PREFIX = "module."
_LISTED = 10
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
    """

    fps: float
    heads: int
    prune_at: int | None
    license: str = field(metadata={records.WAS: "licence"})
    credit: str | None
    limits: str | None


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one file.

    Attributes:
        path: The file.
        sha256: Its digest, in hexadecimal.
        tensors: The weights by state-dict key, without ``module.``; floating-point ones in float32.
        container: Where they were found: ``bare``, ``model_pos``, ``model``, ``state_dict`` or
            ``safetensors``.
        dropped: Names of the objects next to the weights that were not rebuilt.
        training: The file's record of its training; None if it has none.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    container: str
    dropped: tuple[str, ...]
    training: TrainingRecord | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights in a file of ``torch.save`` (either layout) or of safetensors.

    The format is detected from the content, not from the name. Nothing that the file names is
    imported or called; see :mod:`hot_sdk.export.checkpoints.unpickler`.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe, too large or no checkpoint; its
            weights are ambiguous, incomplete or not finite.
    """
    _require_regular_file(path)
    training = None
    dropped: set[str] = set()
    try:
        digest = sha256_of(path)
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_BYTES:
            container = "safetensors"
            entries, training = _read_safetensors(path)
        else:
            container, entries = _read_torch(path, head, dropped)
    except OSError as error:
        raise CheckpointError(
            f"'{path}' cannot be read: {error.strerror or error}.", hint="Check its permissions."
        ) from error
    if not entries:
        raise _no_weights(path.name, "nothing")
    named = _strip_parallel_prefix(entries, source=path.name)
    tensors = {key: _as_weights(key, tensor, path.name) for key, tensor in named.items()}
    _LOG.info("%s: %d tensors (%s)", path.name, len(tensors), container)
    if dropped:
        _LOG.info("%s: dropped: %s", path.name, ", ".join(sorted(dropped)))
    held = MappingProxyType(tensors)
    return Checkpoint(path, digest, held, container, tuple(sorted(dropped)), training)


def name_some(names: Sequence[str]) -> str:
    """Return the first ten names, and the number of the others."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


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
        raise CheckpointError(f"'{path}' is empty.", hint=_COPY_AGAIN)
    if status.st_size > MAX_BYTES:
        raise CheckpointError(
            f"'{path}' has {status.st_size} bytes; at most {MAX_BYTES} are read.",
            hint="Save model.state_dict() alone, without the optimizer.",
        )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], TrainingRecord | None]:
    try:
        with safe_open(path, framework="pt", device="cpu") as held:
            tensors = {key: held.get_tensor(key) for key in held.keys()}  # noqa: SIM118
            text = (held.metadata() or {}).get(KEY)
    except (SafetensorError, LookupError, ValueError) as error:
        raise CheckpointError(
            f"{path.name!r} is a damaged safetensors file ({error}).", hint=_COPY_AGAIN
        ) from error
    return tensors, None if text is None else _parse_training_record(text, path.name)


def _parse_training_record(text: str, source: str) -> TrainingRecord:
    hint = "Download or copy it again, or save the weights without it."
    try:
        record = records.build(TrainingRecord, records.parse_object(text))
    except records.TypedJSONError as error:
        raise CheckpointError(
            f"The training record of {source!r} is broken: {error}.", hint=hint
        ) from error
    if record.fps <= 0.0 or record.heads < 1 or (record.prune_at or 1) < 1:
        raise CheckpointError(
            f"The training record of {source!r} is impossible: {record.fps} frames per second,"
            f" {record.heads} heads, pruned at {record.prune_at}.",
            hint=hint,
        )
    return record


def _read_torch(path: Path, head: bytes, dropped: set[str]) -> tuple[str, dict[str, Tensor]]:
    """Return the container and the weights; collect names of what is not rebuilt."""
    _refuse_lookalikes(head, path.name)
    try:
        value = _torch_load(path, dropped)
    except CheckpointError:
        raise
    # torch.load raises whatever its parsers raise on damaged bytes, which is nearly anything.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if "TorchScript" in reason:
            raise CheckpointError(
                f"'{path.name}' is a TorchScript program, not a checkpoint.",
                hint="Save model.state_dict() instead.",
            ) from error
        raise CheckpointError(
            f"'{path.name}' is damaged, or is no checkpoint ({reason:.200}).", hint=_COPY_AGAIN
        ) from error
    return _find_weights(value, path.name)


def _torch_load(path: Path, dropped: set[str]) -> object:
    with warnings.catch_warnings():
        # It warns of classes whose source it cannot find: our placeholders for dropped objects.
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            # Companions of the weights, or something worse: the second reading distinguishes them.
            reader = tensors_only(path.name, dropped)
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)


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


def _find_weights(value: object, source: str) -> tuple[str, dict[str, Tensor]]:
    if not isinstance(value, dict):
        raise _no_weights(source, f"a whole object, {_describe(value)}")
    found = [name for name in _CONTAINERS if isinstance(value.get(name), dict)]
    if len(found) > 1:
        raise CheckpointError(
            f"{source!r} holds several sets of weights: {', '.join(found)}.",
            hint="Save only the intended one.",
        )
    container, entries = (found[0], value[found[0]]) if found else ("bare", value)
    others = {key: entry for key, entry in entries.items() if not isinstance(entry, Tensor)}
    if len(others) == len(entries):
        raise _no_weights(source, name_some([f"{key!r:.80}" for key in entries]) or "nothing")
    for key, entry in others.items():
        raise CheckpointError(
            f"{source!r} has {len(others)} entries among its weights that are no tensors; "
            f"{key!r:.80} is {_describe(entry)}.",
            hint=_SAVE_WEIGHTS_ALONE,
        )
    for key in entries:
        if not isinstance(key, str):
            raise CheckpointError(
                f"{source!r} has weights under {key!r:.80}, which is no name.",
                hint=_SAVE_WEIGHTS_ALONE,
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
            hint=_SAVE_WEIGHTS_ALONE,
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
    # NumPy stays on one thread; waking torch's for each of many small tensors takes far longer.
    bad = weights.numel() - int(np.count_nonzero(np.isfinite(weights.numpy())))
    if bad:
        raise CheckpointError(
            f"In {source!r}, {bad} of the {weights.numel()} numbers of {key!r:.80} are NaN, "
            "infinite or too large for float32.",
            hint="Training diverged or the file is damaged; use another checkpoint.",
        )
    return weights

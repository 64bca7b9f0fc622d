"""Damage files of every kind that is read, to find untyped errors and slow inputs.

    PYTHONPATH=tests/support python tests/fuzz/fuzz_files.py [--inputs 2000] [--seconds 60]

Mutates a small valid file of each kind: its bytes, the values of JSON, the members of an archive,
whose checksums stay right. Needs no atheris, and repeats itself for a seed. Prints the inputs, how
many were read and refused, the longest, and each untyped exception with the input that raises it;
ends with status 1 if there is one, or if an input took over ``SLOW_S`` seconds of the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import logging
import pickle
import random
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from benchmark_records import record, result
from fuzz_readers import _other_json
from fuzz_readers import _seeds as keypoint_files
from small_models import make_affine, make_external
from small_networks import small_size

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk._base import records
from hot_sdk._base.safe_npz import BROKEN_ARCHIVE
from hot_sdk.benchmarks.evaluation.data_sets.safe_pickle import read_object, read_pickled_file
from hot_sdk.benchmarks.speed.record import read_record
from hot_sdk.engines.auto import Choice, Trial, _recall
from hot_sdk.engines.cache import CachedFile
from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.errors import HotSDKError
from hot_sdk.infer import batch_job
from hot_sdk.keypoints import LARGEST
from hot_sdk.manifest import KEY, Manifest, read_manifest
from hot_sdk.people import read_people
from hot_sdk.results.result import Pose3DResult

SLOW_S = 5.0
_SHOWN = 300
_PLAN = b"plan"
_WEIGHTS = "weights.bin"
_LIKED = (0x00, 0x01, 0x02, 0x07, 0x08, 0x0A, 0x22, 0x2C, 0x2D, 0x30, 0x39, 0x5B, 0x7F, 0x80, 0xFF)
_WORDS = (
    b"\xff" * 8,
    b"\0" * 8,
    struct.pack("<q", -1),
    struct.pack("<I", 2**31),
    b"9" * 20,
    b"9" * 5000,  # More digits than Python turns into a number.
    b"1e999",
    b"NaN",
    b"null",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
)

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """A kind of file: a small valid one, and what reads it, in turn."""

    seed: bytes
    reads: tuple[Read, ...]


@dataclass
class Report:
    """What became of the inputs of a kind."""

    inputs: int = 0
    read: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    seconds: float = 0.0
    untyped: dict[str, str] = field(default_factory=dict)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Damage a file in one to four places."""
    if content[:4] == b"PK\x03\x04" and chance.random() < 0.8:
        with contextlib.suppress(*BROKEN_ARCHIVE):
            return _other_archive(content, chance)
    if content[:1] in b"{[" and chance.random() < 0.7:
        changed = _other_json(content, chance)
        if changed is not None:
            return changed
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data)) if data else 0
        kind = chance.randrange(8)
        if kind == 0 and data:
            data[at] = chance.randrange(256)
        elif kind == 1 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 2 and data:
            data[at] = chance.choice(_LIKED)
        elif kind == 3:
            del data[at : at + chance.randint(1, 64)]
        elif kind == 4:
            data[at:at] = chance.choice(_WORDS)
        elif kind == 5:
            word = chance.choice(_WORDS)
            data[at : at + len(word)] = word
        elif kind == 6:
            data[at:at] = data[at : at + chance.randint(1, 200)] * chance.randint(1, 3)
        else:
            del data[at:]
    return bytes(data)


def _other_archive(content: bytes, chance: random.Random) -> bytes:
    """Return the archive with one member damaged, left out or repeated."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = chance.randrange(len(members))
    name, inner = members[at]
    kind = chance.randrange(8)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.append((chance.choice(members)[0], inner))
    else:
        # Not as JSON or an archive of its own.
        members[at] = (name, mutate(b"\n" + inner, chance)[1:])
    made = io.BytesIO()
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as archive:
        warnings.simplefilter("ignore")  # Of a name that is there twice.
        for name, inner in members:
            archive.writestr(name, inner)
    return made.getvalue()


def _read_described(path: Path) -> None:
    read_people(path, image_size=(640, 480), skeleton="coco17")


def _read_largest(path: Path) -> None:
    Keypoints.from_file(path, image_size=(640, 480), track_id=LARGEST)


def _read_onnx(path: Path) -> None:
    # What one of the files names; otherwise every file would end at its absence.
    weights = path.with_name(_WEIGHTS)
    if not weights.exists():
        weights.write_bytes(bytes(64))
    file = check_onnx(path)
    read_signature(file)
    file.digest()


def _read_onnx_bytes(path: Path) -> None:
    read_signature(check_onnx(path.read_bytes()))


def _read_plan(path: Path) -> None:
    """Read an entry of a cache, whose record is the file."""
    entry = CachedFile(path.with_suffix(".plan"), "model", {"model": "a", "gpu": "b"})
    if not entry.path.exists():
        entry.path.write_bytes(_PLAN)
    path.replace(entry.record)
    if entry.read() is None:
        entry.why_missing()


def _read_manifest(path: Path) -> None:
    Manifest.from_metadata({KEY: path.read_bytes().decode("utf-8", "surrogateescape")})


@cache
def kinds() -> dict[str, Kind]:
    """Return every kind of file, with a small valid one."""
    people = (read_people, _read_described, _read_largest)
    found = {f"keypoints: {name}": Kind(seed, people) for name, seed in _keypoints()}
    found |= {f"result: {name}": Kind(seed, (Pose3DResult.load,)) for name, seed in _results()}
    metadata = _starter_manifest().to_metadata()
    onnx = (_read_onnx, _read_onnx_bytes)
    found["ONNX"] = Kind(make_affine(metadata=metadata).SerializeToString(), onnx)
    found["ONNX, external"] = Kind(make_external(_WEIGHTS).SerializeToString(), onnx)
    found["ONNX, manifest"] = Kind(found["ONNX"].seed, (read_manifest,))
    found["manifest"] = Kind(metadata[KEY].encode(), (_read_manifest,))
    found["record of hot-benchmark"] = Kind(
        records.to_json(record(result("a", 1.0))).encode(), (read_record,)
    )
    job = batch_job.Record(1, "a", "0" * 64, "0" * 64, "{}", ("a_3d.npz",), "0.1.0")
    found["record of a batch"] = Kind(records.to_json(job).encode(), (batch_job._read_record,))
    digest = hashlib.sha256(_PLAN).hexdigest()
    plan = {"schema": 1, "name": "model", "sha256": digest, "fields": {"model": "a", "gpu": "b"}}
    found["record of a plan"] = Kind(json.dumps(plan).encode(), (_read_plan,))
    choice = Choice("onnxruntime", (Trial("onnxruntime", "1", 1.0, None),))
    found["choice of an engine"] = Kind(
        records.to_json(choice).encode(), (lambda path: _recall(path, ("onnxruntime",)),)
    )
    poses = {"S1": {"a": [np.ones((2, 3), np.float32)]}, "meta": ("text", 3, 1.5)}
    found["data set: pickle"] = Kind(pickle.dumps(poses, protocol=4), (read_pickled_file,))
    archive = io.BytesIO()
    np.savez(archive, positions_3d=np.array(poses, dtype=object))
    found["data set: npz"] = Kind(
        archive.getvalue(), (lambda path: read_object(path, "positions_3d"),)
    )
    return found | _checkpoints()


def _keypoints() -> Iterator[tuple[str, bytes]]:
    for name, seed in keypoint_files().items():
        if name != "npz members":  # The archive is mutated by its members anyway.
            yield name, seed


@cache
def _starter_manifest() -> Manifest:
    with Pose3DEngine() as engine:
        return engine.manifest


def _results() -> Iterator[tuple[str, bytes]]:
    points = np.random.default_rng(0).uniform(100.0, 400.0, (3, 17, 2)).astype(np.float32)
    with Pose3DEngine() as engine, tempfile.TemporaryDirectory() as folder:
        lifted = engine(Keypoints(points, skeleton="h36m17", image_size=(640, 480), fps=30.0))
        for suffix in ("npz", "json", "csv"):
            yield suffix, lifted.save(Path(folder) / f"a.{suffix}").read_bytes()


def _checkpoints() -> dict[str, Kind]:
    import torch
    from safetensors.torch import save

    from hot_sdk.export.checkpoints.reader import read_checkpoint
    from hot_sdk.export.models import build, resolve
    from hot_sdk.export.torch_backend.file import load_torch_model, save_torch_model

    state = {"epoch": 3, "model_pos": {"module.a": torch.ones(2, 3), "module.b": torch.zeros(4)}}
    found = {}
    for name, new in (("zip", True), ("legacy", False)):
        content = io.BytesIO()
        torch.save(state, content, _use_new_zipfile_serialization=new)
        found[f"checkpoint: {name}"] = Kind(content.getvalue(), (read_checkpoint,))
    weights = {"a": torch.ones(2, 3), "b": torch.zeros(4)}
    found["checkpoint: safetensors"] = Kind(save(weights, {"note": "x"}), (read_checkpoint,))
    sizes = {**small_size("mixste"), "width": 8, "depth": 1, "heads": 2, "mlp_hidden": 8}
    spec = resolve("mixste", frames=3, **sizes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        save_torch_model(path, spec, build(spec).state_dict(), _starter_manifest())
        found["network of torch"] = Kind(path.read_bytes(), (load_torch_model,))
    return found


def fuzz(kind: Kind, folder: Path, *, inputs: int, seconds: float, seed: int) -> Report:
    """Read damaged files of a kind until there were so many, or for so long."""
    report, chance = Report(), random.Random(seed)
    start = time.monotonic()
    content = kind.seed
    while report.inputs < inputs and time.monotonic() - start < seconds:
        # Damage adds up for a while.
        content = mutate(content if chance.random() < 0.25 else kind.seed, chance)[: 1 << 16]
        path = folder / "input"
        # To write over a file takes milliseconds on some file systems: the old content is flushed.
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        began = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # NumPy's.
                kind.reads[report.inputs % len(kind.reads)](path)
            report.read += 1
        except HotSDKError:
            pass
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
            report.untyped.setdefault(where, f"{error!s:.200} {len(content)} bytes: {content!r}")
        taken = time.process_time() - began
        report.inputs += 1
        if taken > report.slowest_s:
            report.slowest_s, report.slowest = taken, f"{content[:_SHOWN]!r}"
    report.seconds = time.monotonic() - start
    return report


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000, help="inputs of each kind")
    parser.add_argument("--seconds", type=float, default=60.0, help="longest time for each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=kinds(), action="append", help="repeatable")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    total: Counter[str] = Counter()
    failed = False
    print(f"{'kind':<32}{'inputs':>8}{'read':>8}{'inputs/s':>10}{'slowest ms':>12}  untyped")
    for name in options.kind or kinds():
        with tempfile.TemporaryDirectory() as folder:
            report = fuzz(
                kinds()[name],
                Path(folder),
                inputs=options.inputs,
                seconds=options.seconds,
                seed=options.seed,
            )
        rate = report.inputs / max(report.seconds, 1e-9)
        print(
            f"{name:<32}{report.inputs:>8}{report.read:>8}{rate:>10.0f}"
            f"{1e3 * report.slowest_s:>12.1f}  {len(report.untyped)}",
            flush=True,
        )
        total.update(inputs=report.inputs, untyped=len(report.untyped))
        for where, shown in report.untyped.items():
            print(f"  {where}: {shown[:2000]}", flush=True)
        if report.slowest_s > SLOW_S:
            print(f"  slow: {report.slowest}", flush=True)
        failed |= bool(report.untyped) or report.slowest_s > SLOW_S
    print(f"{total['inputs']} inputs, {total['untyped']} places of untyped errors")
    sys.exit(failed)


if __name__ == "__main__":
    main()

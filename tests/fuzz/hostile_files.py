"""Read files that are made to take all memory or time, each in a process of its own.

    PYTHONPATH=tests/support python tests/fuzz/hostile_files.py [--only TEXT]

Prints for each what became of it, the seconds of the processor, and the peak memory of the process
(of which about 400 MB are PyTorch and what else is imported). Ends with status 1 if one was neither
read nor refused with an error of ``hot_sdk.errors``, took over 10 s of the processor, or a process
more than 1 GB.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import pickle
import resource
import signal
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from small_models import make_affine

from hot_sdk.benchmarks.evaluation.data_sets.safe_pickle import read_object, read_pickled_file
from hot_sdk.benchmarks.speed.record import read_record
from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.errors import HotSDKError
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.manifest import read_manifest
from hot_sdk.people import read_people
from hot_sdk.results.result import Pose3DResult
from hot_sdk.skeletons import skeleton_format

_SECONDS, _PEAK_MB, _LONGEST_S = 10.0, 1024.0, 300
_MILLION = 1_000_000

Make = Callable[[Path], object]
Read = Callable[[Path], object]


def _keypoints(path: Path) -> object:
    return read_people(path, image_size=(640, 480), skeleton="coco17")


def _onnx(path: Path) -> object:
    read_manifest(path)
    return read_signature(check_onnx(path))


def _text(content: str | bytes | Callable[[], str | bytes]) -> Make:
    """A file of a content; what is large is made in the child alone."""

    def make(path: Path) -> None:
        text = content() if callable(content) else content
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    return make


def _header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def _array(kind: str, shape: str, values: bytes = b"") -> bytes:
    return _header(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n") + values


def _zip(method: int = zipfile.ZIP_STORED, **members: bytes | int) -> Make:
    """An archive of arrays, or so many zeros."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members.items():
                data = bytes(content) if isinstance(content, int) else content
                archive.writestr(f"{name}.npy", data)

    return make


def _zeros(mb: int, method: int, name: str = "points") -> Make:
    """An archive of one array of zeros."""

    def make(path: Path) -> None:
        frames, part = mb * 2**20 // (17 * 2 * 8), bytes(2**20)
        with (
            zipfile.ZipFile(path, "w", method) as archive,
            archive.open(f"{name}.npy", "w") as out,
        ):
            out.write(_array("<f8", f"({frames}, 17, 2)"))
            for first in range(0, frames * 17 * 2 * 8, len(part)):
                out.write(part[: frames * 17 * 2 * 8 - first])

    return make


def _patched(make: Make, mark: bytes, at: int, value: bytes) -> Make:
    """A file with other bytes some places after the first occurrence of a mark."""

    def patched(path: Path) -> None:
        make(path)
        content = bytearray(path.read_bytes())
        start = content.index(mark) + at
        content[start : start + len(value)] = value
        path.write_bytes(content)

    return patched


def _sparse(size: int, start: bytes) -> Make:
    """A file of any size that takes no room on the disk."""

    def make(path: Path) -> None:
        path.write_bytes(start)
        os.truncate(path, size)

    return make


def _overlapping(path: Path) -> None:
    """An archive whose table of contents names one member 20 000 times."""
    _zeros(20, zipfile.ZIP_DEFLATED)(path)
    content = path.read_bytes()
    at, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry, last = content[at:end], bytearray(content[end:])
    last[8:12] = struct.pack("<HH", 20_000, 20_000)
    last[12:16] = struct.pack("<L", 20_000 * len(entry))
    path.write_bytes(content[:at] + entry * 20_000 + last)


def _csv(columns: int = 0, rows: str = "") -> str:
    names = [f"{j}_{axis}" for j in skeleton_format("coco17").joints for axis in ("x", "y")]
    return ",".join(["frame", *names, *(f"c{number}" for number in range(columns))]) + "\n" + rows


def _row(frame: str) -> str:
    return frame + ",1.5" * 34 + "\n"


def _person(**more: object) -> dict[str, object]:
    return {"image_id": 0, "keypoints": [1.0, 2.0, 0.5] * 17, **more}


def _checkpoint(tensor: torch.Tensor | dict[str, object], *, is_zip: bool = True) -> Make:
    state = tensor if isinstance(tensor, dict) else {"a": tensor}
    return lambda path: torch.save(
        {"model_pos": state}, path, _use_new_zipfile_serialization=is_zip
    )


def _deflated(path: Path) -> None:
    inner = io.BytesIO()
    torch.save({"model_pos": {"a": torch.zeros(50 * _MILLION)}}, inner)
    with (
        zipfile.ZipFile(inner) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))


def _safetensors(header: str | bytes, size: int | None = None, data: bytes = b"") -> Make:
    text = header.encode() if isinstance(header, str) else header
    return _text(struct.pack("<Q", len(text) if size is None else size) + text + data)


def _tensor(shape: list[int], offsets: list[int], name: str = "a") -> str:
    return json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": offsets}})


def _nested(levels: int) -> bytes:
    """An ONNX file of graphs in attributes of nodes of graphs."""
    content = b""
    for _ in range(levels):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # The graph of an attribute, it, and its node.
            size, length = len(content), bytearray()
            while size > 127:
                length.append(size & 127 | 128)
                size >>= 7
            content = tag + bytes([*length, size]) + content
    return content


def cases() -> Iterator[tuple[str, Make, Read]]:
    """Yield the name of each file, what makes it, and what reads it."""
    deflated, stored = zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED
    arrays: dict[str, bytes] = {
        "claims 10^12 frames": _array("<f8", "(1000000000000, 17, 2)"),
        "empty shape of 10^9": _array("<f8", "(1000000000, 0, 2)"),
        "empty texts, 10^12": _array("<U0", "(1000000000000,)"),
        "text of 10^9 characters": _array("<U1000000000", "(1,)"),
        "void of 2^31": _array("|V2147483647", "(1000,)"),
        "negative shape": _array("<f8", "(-1, 17, 2)"),
        "shape of 4000 digits": _array("<f8", f"({'9' * 4000}, 17, 2)"),
        "pickle": _array("|O", "(1, 17, 2)", b"\x80\x04."),
        "64 dimensions": _array("<f8", f"({'2, ' * 64})"),
        "parentheses": _header("(" * 60_000),
        "no end": _header("{'descr': '<f8', 'shape': (2, 17, 2"),
    }
    for name, content in arrays.items():
        yield f"npz: {name}", _zip(points=content), _keypoints
        yield f"npy: {name}", _text(content), _keypoints
    archives: dict[str, Make] = {
        "250 MB of zeros": _zeros(250, deflated),
        "300 MB of zeros": _zeros(300, deflated),
        "300 MB, bzip2": _zeros(300, zipfile.ZIP_BZIP2),
        "300 MB, LZMA": _zeros(300, zipfile.ZIP_LZMA),
        "claims 3 GB": _patched(_zip(points=b""), b"PK\x01\x02", 24, struct.pack("<L", 3 * 10**9)),
        "60 000 members": _zip(**{f"a{number}": b"" for number in range(60_000)}),
        "one member 20 000 times": _overlapping,
        "no array, 50 MB": _zip(deflated, points=50 * _MILLION),
        "1 TB of nothing": _sparse(10**12, b"PK\x03\x04"),
    }
    for name, make in archives.items():
        yield f"npz: {name}", make, _keypoints
    everyone = json.dumps([_person() for _ in range(2)])
    texts: dict[str, Callable[[], str | bytes]] = {
        "10^6 lists deep": lambda: "[" * _MILLION,
        "10^5 objects deep": lambda: '{"a":' * 100_000,
        "4 million empty lists": lambda: "[" + "[]," * (4 * _MILLION) + "[]]",
        "3 million keys": lambda: "{" + ",".join(f'"k{n}":{n}' for n in range(3 * _MILLION)) + "}",
        "20 million numbers": lambda: "[" + "0," * (20 * _MILLION) + "0]",
        "a number of 10^7 digits": lambda: "[" + "9" * (10 * _MILLION) + "]",
        "100 MB of escapes": lambda: '["' + "\\u00e9" * (17 * _MILLION) + '"]',
        "100 MB of one emoji": lambda: '["' + "\N{GRINNING FACE}" * (25 * _MILLION) + '"]',
        "a person of 10^7 numbers": lambda: json.dumps([_person(keypoints=[1] * (10 * _MILLION))]),
        "frame 10^18": lambda: json.dumps([_person(), _person(image_id=10**18)]),
        "frame of 5000 digits": lambda: everyone.replace('_id": 0', f'_id": {"9" * 5000}'),
        "1e400": lambda: everyone.replace("2.0", "1e400"),
        "a million people": lambda: json.dumps([{"image_id": 0, "keypoints": []}] * _MILLION),
        "2 million lines": lambda: "{}\n" * (2 * _MILLION),
        "one line of 200 MB": lambda: '{"a": "' + "x" * (200 * _MILLION) + '"}\n{}\n',
        "not UTF-8": lambda: b"\xff\xfe" * _MILLION,
    }
    for name, text in texts.items():
        yield f"json: {name}", _text(text), _keypoints
    tables: dict[str, Callable[[], str]] = {
        "a line of 200 MB": lambda: _csv() + "1" * (200 * _MILLION),
        "2 million rows": lambda: _csv(rows=_row("0") * (2 * _MILLION)),
        "a million columns": lambda: _csv(columns=_MILLION),
        "quotes without end": lambda: _csv() + '"' + "x" * (100 * _MILLION),
        "frame 10^15": lambda: _csv(rows=_row("0") + _row("1000000000000000")),
        "frame of 5000 digits": lambda: _csv(rows=_row("9" * 5000)),
        "zero bytes": lambda: _csv() + "\0" * (50 * _MILLION),
    }
    for name, text in tables.items():
        yield f"csv: {name}", _text(text), _keypoints
    reads = {
        "keypoints": _keypoints,
        "result": Pose3DResult.load,
        "record": read_record,
        "ONNX": _onnx,
        "checkpoint": read_checkpoint,
        "data set": read_pickled_file,
    }
    for name, read in reads.items():
        yield f"{name}: pipe", os.mkfifo, read
        yield f"{name}: link to /dev/zero", lambda path: path.symlink_to("/dev/zero"), read
        yield f"{name}: 1 TB of nothing", _sparse(10**12, b"{"), read
        yield f"{name}: 10^6 lists deep", _text("[" * _MILLION), read
    yield "result: 300 MB of zeros", _zeros(300, deflated, "poses"), Pose3DResult.load
    yield "result: long line", _text(lambda: "# {" + " " * (200 * _MILLION)), Pose3DResult.load
    yield "record: 3 million keys", _text(texts["3 million keys"]), read_record
    yield "ONNX: 10 000 graphs deep", _text(lambda: _nested(10_000)), _onnx
    yield "ONNX: 3 million fields", _text(b"\x08\x07" * (3 * _MILLION)), _onnx
    model = make_affine().SerializeToString()
    yield "ONNX: 3 GB of nothing", _sparse(3 * 10**9, model), _onnx
    one = torch.zeros(1)
    for is_zip in (True, False):
        kind = "zip" if is_zip else "legacy"
        strided = one.as_strided((2**40,), (0,))
        base = torch.zeros(1000)
        shared = {f"a{number}": base[:] for number in range(20_000)}
        yield f"checkpoint, {kind}: stride 0", _checkpoint(strided, is_zip=is_zip), read_checkpoint
        yield f"checkpoint, {kind}: shared", _checkpoint(shared, is_zip=is_zip), read_checkpoint
    yield "checkpoint: 200 MB of zeros", _deflated, read_checkpoint
    pickles = {
        "claims bytes of 2^60": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".",
        "claims a frame of 2^60": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
        "integer of 10 MB": b"\x80\x02\x8b" + struct.pack("<L", 10**7) + b"\x7f" * 10**7 + b".",
        "doubled 60 times": b"\x80\x02](" + b"2" * 60 + b"e.",
        "3 million steps": b"\x80\x02]" + b"N0" * 1_500_000 + b".",
        "memo of 10^6": b"\x80\x04]" + b"\x94" * _MILLION + b".",
        "10^6 lists deep": b"\x80\x02" + b"](" * _MILLION + b".",
        "calls a function": pickle.dumps(print),
    }
    for name, content in pickles.items():
        yield f"data set: {name}", _text(content), read_pickled_file
        yield f"checkpoint: {name}", _text(content), read_checkpoint
    objects = _zip(stored, positions_3d=_array("|O", "()", pickles["doubled 60 times"]))
    yield "data set: pickle in npz", objects, lambda path: read_object(path, "positions_3d")
    tensors = {
        "header of 2^60": _safetensors("{}", 2**60),
        "2^40 numbers": _safetensors(_tensor([2**40], [0, 4]), data=bytes(4)),
        "shape of 0 and 2^40": _safetensors(_tensor([0, 2**40], [0, 0])),
        "header 10^5 deep": _safetensors('{"a":' * 100_000),
        "shape of 10^6 ones": _safetensors(_tensor([1] * _MILLION, [0, 4]), data=bytes(4)),
    }
    for name, make in tensors.items():
        yield f"safetensors: {name}", _named(make), _read_safetensors


def _named(make: Make) -> Make:
    return lambda path: make(path.with_suffix(".safetensors"))


def _read_safetensors(path: Path) -> object:
    return read_checkpoint(path.with_suffix(".safetensors"))


def attempt(make: Make, read: Read, folder: Path) -> tuple[str, float, float]:
    """Make and read a file in child processes; returns the outcome, seconds, and megabytes."""
    path = folder / "input"
    if (maker := os.fork()) == 0:
        make(path)
        os._exit(0)
    _, made = os.waitpid(maker, 0)
    assert made == 0
    if (child := os.fork()) == 0:
        signal.alarm(_LONGEST_S)
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
        try:
            read(path)
            status = 0
        except HotSDKError:
            status = 1
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error!s:.300}\n")
            status = 2
        os._exit(status)
    _, ended, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(ended)
    outcome = {0: "read", 1: "refused", 2: "untyped"}.get(code, f"ended with {code}")
    return outcome, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="only files whose name contains it")
    only = parser.parse_args().only
    logging.disable(logging.CRITICAL)
    outcomes: list[tuple[str, float, float]] = []
    for name, make, read in cases():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome, seconds, peak = attempt(make, read, Path(folder))
        outcomes.append((outcome, seconds, peak))
        print(f"{name:<44}{outcome:<10}{seconds:>8.2f} s{peak:>8.0f} MB", flush=True)
    counts = {one: [name for name, *_ in outcomes].count(one) for one, *_ in outcomes}
    slowest, largest = (max(one[at] for one in outcomes) for at in (1, 2))
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{len(outcomes)} files: {said}; at most {slowest:.2f} s and {largest:.0f} MB")
    bad = not counts.keys() <= {"read", "refused"} or slowest > _SECONDS or largest > _PEAK_MB
    sys.exit(bad)


if __name__ == "__main__":
    main()

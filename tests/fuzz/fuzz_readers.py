"""Fuzz every reader of keypoint files, to find untyped errors and slow inputs.

    python tests/fuzz/fuzz_readers.py [--duration 6] [--reader NAME ...]

Runs Google's atheris on each reader for some seconds, in a separate process, from a valid file
that it mutates: bytes, and for JSON its values too. Prints the runs, the longest, the peak memory,
and each untyped exception with an input that raises it; ends with status 1 if there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.errors import HotSDKError

_LONGEST_INPUT = 16_384
_SHOWN = 300
_STRANGE = (None, True, -1, 0, 1, 10**12, 2**63, 1e308, float("nan"), float("inf"), "", "1.jpg")
_NAMES = ("", "-1", "0", "9" * 5000, "²", "\0", "\ud800", "nose", "frame", "keypoints")
_ARRAYS = (
    "kp",
    "wh",
    "fps",
    "reconstruction",
    "points",
    "scores",
    "skeleton",
    "image_size",
    "keypoints",
    "positions_2d",
    "metadata",
    "boxes",
    "track_id",
)


def main() -> None:
    """Run the command line."""
    seeds = _seeds()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--duration", type=float, default=6.0, help="seconds for each reader (default: 6)"
    )
    parser.add_argument(
        "--reader", choices=seeds, action="append", help="repeatable (default: all)"
    )
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        sys.exit("This needs the package 'atheris'. Run: pip install atheris")
    readers = options.reader or list(seeds)
    if options.report is not None:
        _fuzz(atheris, readers[0], seeds[readers[0]], options.duration, options.report)
    print(describe_machine("atheris", "numpy"))
    print(f"{'reader':<18}{'runs':>9}{'runs/s':>9}{'peak MB':>9}{'slowest ms':>12}  untyped")
    reports = [_in_a_process(name, options.duration) for name in readers]
    slowest = max(reports, key=lambda report: report["slowest_ms"])
    print(f"Slowest input: {slowest['reader']}, {slowest['slowest']}")
    for report in reports:
        for where, shown in report["untyped"].items():
            print(f"{report['reader']}: {where}\n  {shown}")
    sys.exit(any(report["untyped"] for report in reports))


def _in_a_process(name: str, seconds: float) -> dict[str, Any]:
    # libFuzzer does not return, and one reader's memory must not count as another's peak.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [sys.executable, str(Path(__file__).resolve())]
        command += ["--reader", name, "--duration", str(seconds), "--report", str(path)]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if not path.is_file():
            sys.exit(f"The process that fuzzed '{name}' died:\n{run.stderr[-2000:]}")
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    print(
        f"{name:<18}{report['runs']:>9}{report['runs'] / report['seconds']:>9.0f}"
        f"{report['peak_mb']:>9.0f}{report['slowest_ms']:>12.1f}  {len(report['untyped'])}",
        flush=True,
    )
    return report


def _fuzz(atheris: Any, name: str, seed: bytes, seconds: float, report: Path) -> None:
    """Fuzz until the time is over, write the report, and end the process."""
    with atheris.instrument_imports(include=["hot_sdk.readers", "hot_sdk._base"]):
        keypoints = importlib.import_module("hot_sdk.keypoints")
        people = importlib.import_module("hot_sdk.people")
    target, corpus = Path("input").absolute(), Path("corpus").absolute()
    corpus.mkdir()
    (corpus / "seed").write_bytes(seed)
    untyped: dict[str, str] = {}
    state: dict[str, Any] = {"runs": 0, "slowest_ms": 0.0, "slowest": ""}
    start = time.monotonic()

    def run(data: bytes) -> None:
        target.write_bytes(_as_archive(data) if name == "npz members" else data)
        began = time.perf_counter()
        try:
            for given in ({}, {"image_size": (640, 480), "skeleton": "coco17"}):
                with contextlib.suppress(HotSDKError):
                    people.read_people(target, **given)
            with contextlib.suppress(HotSDKError):
                keypoints.Keypoints.from_file(
                    target, image_size=(640, 480), track_id=keypoints.LARGEST
                )
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
            untyped.setdefault(where, f"{len(data)} bytes: {data[:_SHOWN]!r}")
        taken = 1e3 * (time.perf_counter() - began)
        state["runs"] += 1
        if taken > state["slowest_ms"]:
            state.update(slowest_ms=taken, slowest=f"{len(data)} bytes: {data[:_SHOWN]!r}")
        if time.monotonic() - start > seconds:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            whole = {"reader": name, "seconds": time.monotonic() - start, "peak_mb": peak}
            report.write_text(json.dumps({**whole, **state, "untyped": untyped}), encoding="utf-8")
            os._exit(0)

    def mutate(data: bytes, longest: int, number: int) -> bytes:
        changed = _other_json(data, random.Random(number))
        if changed is not None and len(changed) <= longest:
            return changed
        mutated: bytes = atheris.Mutate(data, len(data))
        return mutated

    mutator: dict[str, Callable[..., bytes]] = (
        {"custom_mutator": mutate} if seed[:1] in (b"{", b"[") else {}
    )
    settings = [f"-max_len={_LONGEST_INPUT}", "-rss_limit_mb=4096", "-timeout=60", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *settings, str(corpus)], run, **mutator)
    atheris.Fuzz()


def _as_archive(data: bytes) -> bytes:
    """Return a zip archive with valid checksums, whose members are arrays mutated by atheris."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part in data.split(b"\0PART")[:8]:
            archive.writestr(f"{_ARRAYS[part[0] % len(_ARRAYS)] if part else ''}.npy", part[1:])
    return file.getvalue()


def _other_json(data: bytes, chance: random.Random) -> bytes | None:
    """Return JSON with a value replaced, repeated or removed; sometimes None, or if not JSON."""
    if chance.random() < 0.2:
        return None
    try:
        whole = [json.loads(data)]
        node: Any = whole
        for _ in range(chance.randrange(1, 4)):
            while isinstance(node, (list, dict)) and node:
                key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
                inner = node[key]
                if not (isinstance(inner, (list, dict)) and inner) or chance.random() < 0.25:
                    _change(node, key, chance)
                    break
                node = inner
            node = whole
        return json.dumps(whole[0]).encode() if whole else None
    except (ValueError, RecursionError):
        return None


def _change(node: Any, key: Any, chance: random.Random) -> None:
    kind = chance.randrange(6)
    if kind == 0:
        del node[key]
    elif kind == 5 and isinstance(node, dict):
        node[chance.choice(_NAMES)] = node.pop(key)
    elif kind == 1 and isinstance(node, list):
        node.insert(key, node[key])
    elif kind == 2:
        node[key] = [node[key]]
    elif kind == 3 and isinstance(node[key], (list, dict)):
        node[key] = {} if isinstance(node[key], dict) else []
    else:
        node[key] = chance.choice(_STRANGE)


def _seeds() -> dict[str, bytes]:
    """Return a small valid file of each kind."""

    def flat(joints: int) -> list[float]:
        return [float(value) for value in range(1, 3 * joints + 1)]

    person = {"keypoints": flat(17), "score": 0.9, "track_id": 1}
    pairs = {"keypoints": [[1.0, 2.0]] * 17, "keypoint_scores": [0.5] * 17}
    names = ("nose", *(f"{side}_{part}" for part in _PARTS for side in ("left", "right")))
    kinds: dict[str, Any] = {
        "openpose": {"people": [{"person_id": [-1], "pose_keypoints_2d": flat(25)}]},
        "coco results": [{"image_id": frame, **person} for frame in (1, 2)],
        "coco annotations": {
            "images": [{"id": 1, "width": 640, "height": 480}],
            "annotations": [{"image_id": 1, **person}],
        },
        "alphapose": [{"image_id": f"{frame}.jpg", "idx": 1, **person} for frame in (0, 1)],
        "mmpose": {"meta_info": {"dataset_name": "coco"}, "instance_info": [_frame(pairs)]},
        "mediapipe": [{"pose_landmarks": [{"x": 0.1, "y": 0.2, "visibility": 1.0}] * 33}, None],
        "mediapipe web": {"0": [[0.5, 0.5, 0.1, 1.0]] * 33, "1": [0.5, 0.5, 0.1, 1.0] * 33},
        "mediapipe numbered": {
            "fps": 25,
            "frames": [
                {"frame": 1, "timestamp_ms": 1, "poseLandmarks": [{"x": 0.1, "y": 0.2}] * 33}
            ],
        },
        "named points": [{name: {"x": 1.0, "y": 2.0} for name in names}],
        "tfjs": [[{"id": 1, "keypoints": [{"x": 1.0, "y": 2.0, "name": n} for n in names]}]],
        "easy_vitpose": {
            "keypoints": [{"0": [[1.0, 2.0, 0.5]] * 17}],
            "skeleton": {str(place): name for place, name in enumerate(names)},
        },
        "openpifpaf": [{"frame": 1, "predictions": [{**person, "bbox": [1, 2, 3, 4]}]}],
        "vitpose": [[{"keypoints": [[1.0, 2.0]] * 17, "scores": [0.5] * 17}]],
    }
    seeds = {name: json.dumps(data).encode() for name, data in kinds.items()}
    columns = ",".join(f"{name}_{part}" for name in names for part in ("x", "y", "score"))
    row = ",".join(str(value) for value in flat(17))
    seeds["csv"] = f"frame,timestamp,track_id,{columns}\n0,0.0,7,{row}\n1,0.1,7,{row}\n".encode()
    seeds["json lines"] = b"\n".join([seeds["mediapipe"][1:].split(b", null")[0]] * 2)
    seeds["deeplabcut"] = (
        "scorer"
        + ",net" * 51
        + "\nbodyparts,"
        + ",".join(",".join([n] * 3) for n in names)
        + "\ncoords"
        + ",x,y,likelihood" * 17
        + f"\nimg7.png,{row}\n8,{row}\n"
    ).encode()
    markers = "\t".join(f"{name}\t\t" for name in names)
    seeds["trc"] = (
        "PathFileType\t4\t(X/Y/Z)\ta.trc\nDataRate\tUnits\n30\tpx\nFrame#\tTime\t"
        + markers
        + "\n\t\tX1\tY1\tZ1\n1\t0.0\t"
        + row.replace(",", "\t")
        + "\n"
    ).encode()
    table = np.ones((2, 17, 2))
    size = np.array([640, 480])
    file = io.BytesIO()
    np.savez(file, points=table, skeleton="coco17", image_size=size, fps=25.0)
    seeds["npz"] = file.getvalue()
    file = io.BytesIO()
    np.save(file, table)
    seeds["npy"] = file.getvalue()
    members: dict[str, Any] = {
        "points": table,
        "scores": table[..., 0],
        "skeleton": "coco17",
        "image_size": size,
        "positions_2d": np.array({"a": {"b": [table]}}, dtype=object),
        "metadata": np.array({"layout_name": "coco"}, dtype=object),
    }
    parts = []
    for name, array in members.items():
        member = io.BytesIO()
        np.save(member, array)
        parts.append(bytes([_ARRAYS.index(name)]) + member.getvalue())
    seeds["npz members"] = b"\0PART".join(parts)
    return seeds


_PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def _frame(person: dict[str, Any]) -> dict[str, Any]:
    return {"frame_id": 0, "instances": [person]}


if __name__ == "__main__":
    main()

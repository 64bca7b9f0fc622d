"""Make ``starter-val``, the held-out part of the starter model's data, from all of the data.

    python benchmarks/studies/make_starter_val.py DATA_FOLDER OUTPUT_FOLDER

``DATA_FOLDER`` holds ``cmu_h36m17_60fps.npz`` (``pos_mm``, int16, world millimeters, y up; and
``glitch``), ``index.json`` and ``correction.json``, whose ``body_mm`` is the body of the sequences
whose skeleton is ``daz``. Keeps the sequences whose split is ``val``, without their glitches, every
second frame of them, and draws four virtual cameras for each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.data_sets.starter_val import ARRAYS, INDEX, SCHEMA
from hot_sdk.benchmarks.evaluation.data_sets.virtual_cameras import VirtualCamera, draw_camera

_SEED = 14
_VIEWS = 4
_SOURCE_FPS = 60
_KEPT = 2
_RETARGETED = "daz"
"""The skeleton whose stature is known; those of other subjects are not stated."""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    with np.load(options.data / "cmu_h36m17_60fps.npz", allow_pickle=False) as arrays:
        positions, glitches = arrays["pos_mm"], arrays["glitch"]
    correction = json.loads((options.data / "correction.json").read_text(encoding="utf-8"))
    height_m = round(correction["body_mm"]["stature"] / 1000.0, 4)
    random = np.random.default_rng(_SEED)
    entries: list[dict[str, Any]] = []
    parts: list[NDArray[np.int16]] = []
    for sequence in json.loads((options.data / "index.json").read_text(encoding="utf-8")):
        if sequence["split"] != "val":
            continue
        whole = slice(sequence["start"], sequence["start"] + sequence["frames"])
        good = np.flatnonzero(~glitches[whole])
        if np.any(np.diff(good) != 1):
            raise SystemExit(f"{sequence['name']} has a glitch in its middle; cut it in two first.")
        world = positions[whole][good[0] : good[-1] + 1 : _KEPT]
        entries.append(
            {
                "name": sequence["name"],
                "subject": sequence["subject"],
                "text": sequence["text"],
                "start": sum(map(len, parts)),
                "frames": len(world),
                "height_m": height_m if sequence["skeleton"] == _RETARGETED else None,
                "cameras": [_record(draw_camera(random, world / 1000.0)) for _ in range(_VIEWS)],
            }
        )
        parts.append(np.diff(world, axis=0, prepend=np.zeros_like(world[:1])))
    index = {"schema": SCHEMA, "fps": _SOURCE_FPS // _KEPT, "sequences": entries}
    (options.output / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    # Differences compress to half the size of positions.
    np.savez_compressed(options.output / ARRAYS, steps_mm=np.concatenate(parts))
    for name in (INDEX, ARRAYS):
        print(f"{options.output / name}: {(options.output / name).stat().st_size} bytes")


def _record(camera: VirtualCamera) -> dict[str, Any]:
    return {
        "image_size": camera.image_size,
        "focal_px": round(camera.intrinsics.fx, 3),
        "rotation": [round(value, 7) for value in camera.rotation.ravel().tolist()],
        "position_m": [round(value, 4) for value in camera.position.tolist()],
    }


if __name__ == "__main__":
    main()

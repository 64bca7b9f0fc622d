"""``hot-infer``: from keypoint files to 3D poses in files."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hot_sdk.command_line import CommandParser, run_command
from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.infer.lifting import Lifting, lift_clips, lift_stream
from hot_sdk.keypoints import Keypoints
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.readers import read_keypoints, read_people
from hot_sdk.result_files import FORMATS
from hot_sdk.suggest import closest

_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".gif")

_EPILOG = """\
example:
  hot-infer clip.json --model mixste_t243_r0.50.onnx --image-size 1920x1080 --fps 30

exit status:
  0 every input was lifted    8 engine refused
  1 internal error            9 keypoints broken or incomplete
  2 wrong arguments          10 stream cannot run so
  3 package not installed     7 model's manifest broken
The first input that fails ends the command; results of those before it are kept.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(
        "hot-infer", arguments, _run, interrupted="interrupted; finished results were kept"
    )


def build_parser() -> CommandParser:
    """The parser, with every option."""
    parser = CommandParser(
        prog="hot-infer",
        description="Lift 2D keypoints of people to 3D poses.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="INPUT", help="keypoint files or OpenPose folders")
    add("--model", type=Path, required=True, metavar="FILE", help="model made by hot-export")
    add("--engine", default=DEFAULT_ENGINE, metavar="E", help="inference engine")
    add("--device", default="cpu", metavar="D", help="cpu, cuda or cuda:N")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    add("--skeleton", metavar="S", help="of the joints, where a file does not say")
    add("--image-size", type=_size, metavar="WxH", help="pixels, where a file does not say")
    add("--fps", type=float, metavar="F", help="frames a second, where a file does not say")
    add("--track-id", metavar="ID", help="one person only; 'largest': of each frame")
    add("--windows", metavar="MODE", help="how clips are cut (default: overlap, blended)")
    add("--overlap", type=int, metavar="N", help="frames that neighbouring windows share")
    add("--flip", action="store_true", help="average with the mirror image")
    add("--lookahead", type=int, metavar="N", help="lift as a stream that waits for N frames")
    add("--hop", type=int, metavar="N", help="frames between runs of a stream (default 1)")
    add("--constant-bones", action="store_true", help="hold the length of each bone")
    add("--output", "-o", type=Path, default=Path(), metavar="DIR", help="folder of the results")
    add("--format", type=_formats, default=("npz",), metavar="F", help="npz, json, csv; several: ,")
    parser.add_shared_arguments()
    return parser


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form WxH, as in 1920x1080")
    return int(found[1]), int(found[2])


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(text.lower().split(",")))
    for name in formats:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"'{name}' is no format. {closest(name, FORMATS)}")
    return formats


def _run(arguments: list[str]) -> int:
    options = build_parser().parse(arguments)
    _check(options)
    with Pose3DEngine(
        options.model,
        engine=options.engine,
        device=options.device,
        threads=options.threads,
        windows=options.windows,
        overlap=options.overlap,
        flip=options.flip,
    ) as engine:
        done = []
        for path in options.inputs:
            try:
                lifting = _lift(engine, path, options)
            except HotSDKError as error:
                # Of many inputs, the one that failed has to be told.
                raise type(error)(f"'{path}': {error.message}", hint=error.hint) from error
            files = _save(lifting, path, options)
            done.append(_record(path, lifting, files))
            if not options.json:
                sys.stdout.write(_text(path, lifting, files))
    if options.json:
        sys.stdout.write(json.dumps({"results": done}) + "\n")
    return 0


def _check(options: argparse.Namespace) -> None:
    for path in options.inputs:
        if path.suffix.lower() in _VIDEOS:
            raise UsageError(
                f"'{path}' is a video, and this version lifts keypoint files only.",
                hint="Find the 2D keypoints with a detector such as MediaPipe, AlphaPose, OpenPose"
                " or MMPose, and give its output.",
            )
        if not path.exists():
            raise UsageError(f"There is no file '{path}'.", hint="Check the path.")
    stems = [_stem(path) for path in options.inputs]
    if len(set(stems)) < len(stems):
        raise UsageError(
            "Two inputs have the same name, and so would their results.",
            hint="Lift them into different folders, with --output.",
        )
    if options.hop is not None and options.lookahead is None:
        raise UsageError("--hop is of a stream.", hint="Give --lookahead N too.")
    if not options.output.is_dir():
        raise UsageError(
            f"The folder '{options.output}' does not exist.",
            hint=f"Run: mkdir -p '{options.output}'",
        )


def _lift(engine: Pose3DEngine, path: Path, options: argparse.Namespace) -> Lifting:
    people = _read(path, options)
    if options.lookahead is None:
        lifting = lift_clips(engine, people)
    else:
        hop = 1 if options.hop is None else options.hop
        lifting = lift_stream(engine, people, lookahead=options.lookahead, hop=hop)
    return lifting.with_constant_bones() if options.constant_bones else lifting


def _read(path: Path, options: argparse.Namespace) -> tuple[Keypoints, ...]:
    known = {"skeleton": options.skeleton, "image_size": options.image_size, "fps": options.fps}
    track = options.track_id
    if track is None:
        return read_people(path, **known)
    return (read_keypoints(path, track_id=int(track) if track.isdecimal() else track, **known),)


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _save(lifting: Lifting, path: Path, options: argparse.Namespace) -> list[Path]:
    files = []
    for result in lifting.results:
        who = "" if len(lifting.results) == 1 else f"_{_plain(result.track_id)}"
        for name in options.format:
            target = options.output / f"{_stem(path)}{who}_3d.{name}"
            files.append(result.save(target))
    return files


def _plain(track_id: int | str | None) -> str:
    """A track id as a part of a file's name, whatever a file of keypoints calls a person."""
    return re.sub(r"[^\w-]", "_", str(track_id))[:60]


def _record(path: Path, lifting: Lifting, files: list[Path]) -> dict[str, object]:
    report = lifting.report
    return {
        "input": str(path),
        "files": [str(file) for file in files],
        "people": [
            {
                "track_id": result.track_id,
                "frames": len(result),
                "valid": float(result.valid.mean()),
                "unit": result.unit,
                "warnings": list(result.warnings),
            }
            for result in lifting.results
        ],
        "latency": report.to_dict(),
    }


def _text(path: Path, lifting: Lifting, files: list[Path]) -> str:
    lines = [f"{path}"]
    lines += [str(result) for result in lifting.results]
    lines.append(str(lifting.report))
    lines += [f"Made: {file}" for file in files]
    return "\n".join(lines) + "\n\n"

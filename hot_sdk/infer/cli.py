"""``hot-infer``: from keypoint files, videos and cameras to 3D poses in files."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hot_sdk.command_line import CommandParser, run_command
from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.infer.footage import Footage
from hot_sdk.infer.keypoint_files import KeypointOptions, read_keypoint_file
from hot_sdk.infer.lifting import Lifting, lift_clips, lift_stream
from hot_sdk.infer.pictures import check_pictures, write_plots, write_video, write_viewer
from hot_sdk.infer.progress import ProgressBar
from hot_sdk.infer.video_files import VideoOptions, check_video, is_video, read_video
from hot_sdk.keypoints import Keypoints
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.result_files import FORMATS
from hot_sdk.suggest import closest
from hot_sdk.video import list_detectors, parse_source
from hot_sdk.video.detector import DEFAULT_DETECTOR, DEFAULT_MAX_PEOPLE

_EPILOG = """\
examples:
  hot-infer clip.json --image-size 1920x1080 --fps 30
  hot-infer film.mp4 --video poses.mp4
  hot-infer 0 --seconds 10 --model mixste_t243_r0.50.onnx --lookahead 20

exit status:
  0 every input was lifted    8 engine refused
  1 internal error            9 keypoints broken or incomplete, or nobody found
  2 wrong arguments          10 stream cannot run so
  3 package not installed    12 video or camera cannot be read
  7 model's manifest broken
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
        description="Lift people's 2D keypoints, from files or found in a video, to 3D poses.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    inputs = "keypoint files, OpenPose folders, videos, a camera's index or a stream's address"
    add("inputs", nargs="+", metavar="INPUT", help=inputs)
    add(
        "--model", type=Path, metavar="FILE", help="model made by hot-export (default: the starter)"
    )
    add("--engine", default=DEFAULT_ENGINE, metavar="E", help="inference engine")
    add("--device", default="cpu", metavar="D", help="cpu, cuda or cuda:N")
    add("--precision", metavar="P", help="refuse a model that computes in another, such as fp16")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    add("--cache-dir", type=Path, metavar="FOLDER", help="where what the engine builds is kept")
    add("--skeleton", metavar="S", help="of the joints, where a file does not say")
    add("--image-size", type=_size, metavar="WxH", help="pixels, where a file does not say")
    add("--fps", type=float, metavar="F", help="frames a second, where a file does not say")
    add("--track-id", metavar="ID", help="one person only; 'largest': of each frame of a file")
    detectors = f"finds the people in a video: {', '.join(list_detectors())}"
    add("--detector", metavar="D", help=detectors)
    add("--max-people", type=int, metavar="N", help="most people in a frame of a video")
    add("--seconds", type=float, metavar="S", help="where to stop reading a video or camera")
    add("--windows", metavar="MODE", help="how clips are cut (default: overlap, blended)")
    add("--overlap", type=int, metavar="N", help="frames that neighbouring windows share")
    add("--flip", action="store_true", help="average with the mirror image")
    add("--lookahead", type=int, metavar="N", help="lift as a stream that waits for N frames")
    add("--hop", type=int, metavar="N", help="frames between runs of a stream (default 1)")
    add("--constant-bones", action="store_true", help="hold the length of each bone")
    add("--output", "-o", type=Path, default=Path(), metavar="DIR", help="folder of the results")
    add("--format", type=_formats, default=("npz",), metavar="F", help="npz, json, csv; several: ,")
    add("--video", type=Path, metavar="FILE", help="draw video and poses: .mp4 or .gif")
    add("--plot", type=Path, metavar="FILE", help="plot joints over time and latency: .png")
    add("--viewer", type=Path, metavar="FILE", help="record for the Rerun viewer: .rrd")
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
    known = KeypointOptions(options.skeleton, options.image_size, options.fps, _track_id(options))
    _check(options, known)
    with ProgressBar("loading the model"):
        engine = Pose3DEngine(
            options.model,
            engine=options.engine,
            device=options.device,
            threads=options.threads,
            cache_dir=options.cache_dir,
            windows=options.windows,
            overlap=options.overlap,
            flip=options.flip,
        )
    done = []
    with engine:
        _check_precision(engine, options.precision)
        for name in options.inputs:
            try:
                with _read(name, options, known) as footage:
                    lifting = _lift(engine, footage.people, options)
                    files = _save(name, footage, lifting, options)
            except HotSDKError as error:
                # Of many inputs, the one that failed has to be told.
                raise type(error)(f"'{name}': {error.message}", hint=error.hint) from error
            done.append(_record(name, footage, lifting, files))
            if not options.json:
                sys.stdout.write(_text(name, footage, lifting, files))
    if options.json:
        sys.stdout.write(json.dumps({"results": done}) + "\n")
    return 0


def _track_id(options: argparse.Namespace) -> int | str | None:
    track: str | None = options.track_id
    return int(track) if track is not None and track.isdecimal() else track


def _check(options: argparse.Namespace, known: KeypointOptions) -> None:
    videos = [name for name in options.inputs if is_video(name)]
    for name in options.inputs:
        if name in videos:
            check_video(name, known)
        elif not Path(name).exists():
            raise UsageError(f"There is no file '{name}'.", hint="Check the path.")
    for flag in ("detector", "max_people", "seconds"):
        if getattr(options, flag) is not None and not videos:
            raise UsageError(
                f"--{flag.replace('_', '-')} is of videos, and none was given.",
                hint="Leave it out.",
            )
    if options.seconds is not None and not options.seconds > 0.0:
        raise UsageError(f"--seconds is {options.seconds}.", hint="Give a number above 0.")
    stems = [_stem(name) for name in options.inputs]
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
    pictures = (options.video, options.plot, options.viewer)
    if len(options.inputs) > 1 and any(path is not None for path in pictures):
        raise UsageError(
            "--video, --plot and --viewer are of one input, and several were given.",
            hint="Lift them one by one.",
        )
    check_pictures(*pictures)


def _check_precision(engine: Pose3DEngine, asked: str | None) -> None:
    precision = engine.manifest.precision
    if asked not in (None, precision):
        raise UsageError(
            f"The model computes in {precision}, and {asked} was asked for.",
            hint="Give a model that was exported so.",
        )


def _read(
    name: str, options: argparse.Namespace, known: KeypointOptions
) -> contextlib.AbstractContextManager[Footage]:
    if not is_video(name):
        return contextlib.nullcontext(read_keypoint_file(Path(name), known))
    wanted = VideoOptions(
        detector=DEFAULT_DETECTOR if options.detector is None else options.detector,
        max_people=DEFAULT_MAX_PEOPLE if options.max_people is None else options.max_people,
        seconds=options.seconds,
        track_id=known.track_id,
        keep_camera=options.video is not None or options.viewer is not None,
    )
    return read_video(name, wanted)


def _lift(
    engine: Pose3DEngine, people: Sequence[Keypoints], options: argparse.Namespace
) -> Lifting:
    if options.lookahead is None:
        lifting = lift_clips(engine, people)
    else:
        hop = 1 if options.hop is None else options.hop
        lifting = lift_stream(engine, people, lookahead=options.lookahead, hop=hop)
    return lifting.with_constant_bones() if options.constant_bones else lifting


def _stem(name: str) -> str:
    source = parse_source(name)
    if isinstance(source, int):
        return f"camera{source}"
    if "://" in name:
        return _plain(name.partition("://")[2].rpartition("@")[2])
    path = Path(name)
    return path.name if path.is_dir() else path.stem


def _save(name: str, footage: Footage, lifting: Lifting, options: argparse.Namespace) -> list[Path]:
    files = []
    for result in lifting.results:
        who = "" if len(lifting.results) == 1 else f"_{_plain(result.track_id)}"
        for kind in options.format:
            files.append(result.save(options.output / f"{_stem(name)}{who}_3d.{kind}"))
    if options.plot is not None:
        files += write_plots(options.plot, footage, lifting)
    if options.video is not None:
        files.append(write_video(options.video, footage, lifting))
    if options.viewer is not None:
        files.append(write_viewer(options.viewer, footage, lifting))
    return files


def _plain(track_id: int | str | None) -> str:
    """A track id as a part of a file's name, whatever a file of keypoints calls a person."""
    return re.sub(r"[^\w-]", "_", str(track_id))[:60]


def _record(
    name: str, footage: Footage, lifting: Lifting, files: Sequence[Path]
) -> dict[str, object]:
    found = footage.detection_ms
    return {
        "input": name,
        "files": [str(file) for file in files],
        "notes": list(footage.notes),
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
        "detection_ms": None if found is None else float(np.nanmedian(found)),
        "latency": lifting.report.to_dict(),
    }


def _text(name: str, footage: Footage, lifting: Lifting, files: Sequence[Path]) -> str:
    lines = [name, *footage.notes]
    lines += [str(result) for result in lifting.results]
    if footage.detection_ms is not None:
        taken = float(np.nanmedian(footage.detection_ms))
        lines.append(f"finding the people: {taken:.4g} ms a frame in the median")
    lines.append(str(lifting.report))
    lines += [f"Made: {file}" for file in files]
    return "\n".join(lines) + "\n\n"

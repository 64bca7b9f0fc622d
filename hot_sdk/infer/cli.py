"""``hot-infer``: from keypoint files, videos and cameras to 3D poses in files."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.progress import Progress
from hot_sdk._base.validation import closest
from hot_sdk.engines import AUTO, DEFAULT_ENGINE, list_engines
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.infer.batch_cli import add_arguments, check_arguments, lift_archive
from hot_sdk.infer.inputs import (
    Footage,
    InputOptions,
    KeypointOptions,
    VideoOptions,
    check_video,
    is_video,
    lift_input,
    plain,
    read_input,
    save_results,
)
from hot_sdk.infer.outputs import check_pictures, write_plots, write_video, write_viewer
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.results.files import FORMATS
from hot_sdk.streams.offline import LiftedPeople
from hot_sdk.video import list_detectors, parse_source
from hot_sdk.video.detector import DEFAULT_DETECTOR, DEFAULT_MAX_PEOPLE

_EPILOG = """\
examples:
  hot-infer clip.json --image-size 1920x1080 --fps 30
  hot-infer film.mp4 --video poses.mp4
  hot-infer 0 --seconds 10 --model mixste_t243_r0.50.onnx --lookahead 20
  hot-infer --archive films --workers 8 --output poses

exit status:
  0 every input was lifted    8 engine refused
  1 internal error            9 keypoints broken or incomplete, or nobody found
  2 wrong arguments          10 stream cannot run so
  3 package not installed    12 video or camera cannot be read
  7 model's manifest broken     15 inputs of an archive failed
The first input that fails ends the command; results of those before it are kept.

An archive goes on instead: what failed is tried again, listed at the end, and named in
archive_report.json. A second run lifts what is new or changed. The workers write the results, so
all machines of a cluster have to see the same folders.
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
    add("inputs", nargs="*", metavar="INPUT", help=inputs)
    add(
        "--model", type=Path, metavar="FILE", help="model made by hot-export (default: the starter)"
    )
    engines = f"{', '.join(list_engines())}, or {AUTO}: the fastest here, by trial"
    add("--engine", default=DEFAULT_ENGINE, metavar="E", help=engines)
    add("--device", default="cpu", metavar="D", help="cpu, cuda[:N]; gpu[:N] or npu, Intel's")
    add("--provider", metavar="P", help="execution provider of ONNX Runtime, by its own name")
    add("--fast-math", action="store_true", help="allow narrower arithmetic where it is faster")
    cache = "keeps what the engine builds, and the choice of auto"
    add("--cache-dir", type=Path, metavar="DIR", help=cache)
    add("--precision", metavar="P", help="refuse a model that computes in another, such as fp16")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
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
    add_arguments(parser)
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
    check_arguments(options)
    if options.archive is None and not options.inputs:
        raise UsageError("No input was given.", hint="Run: hot-infer --help")
    _check(options, known)
    wanted = _input_options(options, known)
    if options.archive is not None:
        return lift_archive(options, wanted)
    with Progress("loading the model"):
        engine = Pose3DEngine(
            options.model,
            engine=options.engine,
            device=options.device,
            threads=options.threads,
            cache_dir=options.cache_dir,
            fast_math=options.fast_math,
            provider=options.provider,
            windows=options.windows,
            overlap=options.overlap,
            flip=options.flip,
        )
    done = []
    with engine:
        _check_precision(engine, options.precision)
        for name in options.inputs:
            try:
                with read_input(name, wanted) as footage:
                    lifted = lift_input(engine, footage.people, wanted)
                    files = _save(name, footage, lifted, options)
            except HotSDKError as error:
                # Of many inputs, the one that failed has to be told.
                raise type(error)(f"'{name}': {error.message}", hint=error.hint) from error
            done.append(_record(name, footage, lifted, files))
            if not options.json:
                sys.stdout.write(_text(name, footage, lifted, files))
    if options.json:
        sys.stdout.write(json.dumps({"results": done}) + "\n")
    return 0


def _input_options(options: argparse.Namespace, known: KeypointOptions) -> InputOptions:
    return InputOptions(
        keypoints=known,
        video=VideoOptions(
            detector=DEFAULT_DETECTOR if options.detector is None else options.detector,
            max_people=DEFAULT_MAX_PEOPLE if options.max_people is None else options.max_people,
            seconds=options.seconds,
            track_id=known.track_id,
            keep_camera=options.video is not None or options.viewer is not None,
        ),
        lookahead=options.lookahead,
        hop=1 if options.hop is None else options.hop,
        constant_bones=options.constant_bones,
        formats=options.format,
    )


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
        if getattr(options, flag) is not None and not (videos or options.archive is not None):
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


def _stem(name: str) -> str:
    source = parse_source(name)
    if isinstance(source, int):
        return f"camera{source}"
    if "://" in name:
        return plain(name.partition("://")[2].rpartition("@")[2])
    path = Path(name)
    return path.name if path.is_dir() else path.stem


def _save(
    name: str, footage: Footage, lifted: LiftedPeople, options: argparse.Namespace
) -> list[Path]:
    files = list(save_results(lifted, options.output, _stem(name), options.format))
    if options.plot is not None:
        files += write_plots(options.plot, footage, lifted)
    if options.video is not None:
        files.append(write_video(options.video, footage, lifted))
    if options.viewer is not None:
        files.append(write_viewer(options.viewer, footage, lifted))
    return files


def _record(
    name: str, footage: Footage, lifted: LiftedPeople, files: Sequence[Path]
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
            for result in lifted.results
        ],
        "detection_ms": None if found is None else float(np.nanmedian(found)),
        "latency": lifted.report.to_dict(),
    }


def _text(name: str, footage: Footage, lifted: LiftedPeople, files: Sequence[Path]) -> str:
    lines = [name, *footage.notes]
    lines += [str(result) for result in lifted.results]
    if footage.detection_ms is not None:
        taken = float(np.nanmedian(footage.detection_ms))
        lines.append(f"finding the people: {taken:.4g} ms a frame in the median")
    lines.append(str(lifted.report))
    lines += [f"Made: {file}" for file in files]
    return "\n".join(lines) + "\n\n"

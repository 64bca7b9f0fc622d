"""``hot-infer``: lift keypoint files, videos and cameras to files of 3D poses."""

from __future__ import annotations

import argparse
import atexit
import dataclasses
import gc
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hot_sdk._base.cli import CommandParser, printable, run_command
from hot_sdk._base.files import require_writable_folder
from hot_sdk._base.progress import Progress
from hot_sdk.engines import AUTO, DEFAULT_ENGINE, list_engines
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.infer.batch_cli import add_arguments, check_arguments, lift_batch, require_precision
from hot_sdk.infer.inputs import (
    OUTPUT_FORMATS,
    PUBLISHED_DEMO,
    EngineOptions,
    Footage,
    InputOptions,
    check_input,
    check_rate,
    file_name_part,
    is_video,
    lift_input,
    options_from,
    read_input,
    save_results,
)
from hot_sdk.infer.live_options import LiveOptions
from hot_sdk.infer.live_options import add_arguments as add_live_arguments
from hot_sdk.infer.live_options import check_arguments as check_live_arguments
from hot_sdk.offline import LiftedPeople
from hot_sdk.skeletons import list_skeletons
from hot_sdk.starter import STARTER, STARTER_LIVE
from hot_sdk.video import list_detectors, parse_source
from hot_sdk.video.detector import DEFAULT_DETECTOR, DEFAULT_MAX_PEOPLE
from hot_sdk.video.reader import is_live_source
from hot_sdk.windows import MODES

# Drawings, trials and what follows a camera are imported where an option asks for them.
if TYPE_CHECKING:
    from hot_sdk.infer.live import LiveSummary

_EPILOG = """\
examples:
  hot-infer clip.json --image-size 1920x1080 --fps 30
  hot-infer film.mp4 --save-video poses.mp4
  hot-infer 0 --duration 10 --model mixste_t243_r0.50.onnx --lookahead 20
  hot-infer 0 --ros --viewer live --intrinsics 900,900,640,360
  hot-infer --archive films --workers 8 --output-dir poses

exit status:
  0 every input was lifted    8 engine refused
  1 internal error            9 keypoints broken or incomplete, or no person found
  2 wrong arguments          10 stream options not supported by this model
  3 package not installed    12 video or camera cannot be read
  7 model's manifest broken  15 some inputs of a batch failed
                             17 Ray ended a batch early; its report is written
The first input that fails ends the command; results of earlier inputs are kept. A camera or stream
that stops early is no failure: what it gave is lifted, and a warning says so.

A batch (--archive) goes on instead: failed inputs are retried, listed at the end, and named in
archive_report.json. A second run lifts what is new or changed. The workers write the results, so
all machines of a cluster must see the same folders.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    if arguments is None:
        # The process ends after this, and frees its memory at once. Python would first look for
        # cycles among all objects of the libraries, which takes as long as to lift a short clip.
        atexit.register(gc.freeze)
    return run_command(
        "hot-infer", arguments, _run, interrupted="interrupted; finished results were kept"
    )


def build_parser() -> CommandParser:
    """Return the parser with every option."""
    parser = CommandParser(
        prog="hot-infer",
        description="Lift people's 2D keypoints, from files or found in a video, to 3D poses.",
        epilog=_EPILOG,
    )
    inputs = (
        "keypoint file, folder of one-frame files, video, a camera's index or a stream's address"
    )
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help=inputs)
    add = parser.add_argument_group("model and engine").add_argument
    model = f"model file of hot-export (default: {STARTER}, which ships; for a camera"
    model += f" {STARTER_LIVE}, unless an option of windows or streams needs the other)"
    add("--model", metavar="FILE", help=model)
    add("--require-precision", metavar="P", help="refuse a model of another precision than P")
    engines = f"inference engine; {AUTO}: the fastest here (default: by the file's format)"
    names = _Names(lambda: (*list_engines(), AUTO), (DEFAULT_ENGINE, AUTO))
    add("--engine", help=engines).choices = names
    devices = "cpu, cuda[:N], or Intel's gpu[:N] and npu (default: cpu)"
    add("--device", default="cpu", metavar="D", help=devices)
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    add("--provider", metavar="P", help="execution provider of ONNX Runtime, by its own name")
    add("--fast-math", action="store_true", help="allow reduced precision if it is faster")
    largest = "most windows in one run of an open batch, for which TensorRT reserves memory"
    add("--largest-batch", type=int, metavar="N", help=largest)
    cache = "folder for what the engine builds, and for the choice of auto"
    add("--cache-dir", type=Path, metavar="DIR", help=cache)
    limit = "try the model in a process of its own first, for at most S seconds"
    add("--limit-seconds", type=float, metavar="S", help=limit)
    add = parser.add_argument_group("keypoint files").add_argument
    skeleton = "order of the joints, if a file does not say it"
    add("--skeleton", choices=list_skeletons(), help=skeleton)
    add("--image-size", type=_size, metavar="WxH", help="pixels, if a file does not say it")
    rate = (
        "frames per second, if a file does not say it; of a video, if it is another (slow motion)"
    )
    add("--fps", type=float, metavar="F", help=rate)
    track = "lift one person only; 'largest': the largest in each frame of a file"
    add("--track-id", type=_track_id, metavar="ID", help=track)
    least = "leave out people seen in fewer frames than N (default: 1.5 s; 1 keeps all)"
    add("--min-frames", type=int, metavar="N", help=least)
    add = parser.add_argument_group("what is known of the camera and the person").add_argument
    intrinsics = "focal lengths and principal point, pixels; then the lens's coefficients, if any"
    add("--intrinsics", type=_intrinsics, metavar="FX,FY,CX,CY[,K...]", help=intrinsics)
    upward = "direction away from the ground: x right, y down, z forward (level: 0,-1,0)"
    add("--up", type=_direction, metavar="X,Y,Z", help=upward)
    height = "standing height of the one person, meters"
    add("--height", type=float, dest="height_m", metavar="M", help=height)
    mounted = "place of the camera: forward, left, up in meters; then yaw, pitch (positive looks"
    mounted += " down) and roll in degrees, if any. Results are then in that frame, z up"
    add("--camera", type=_mounting, metavar="X,Y,Z[,YAW,PITCH,ROLL]", help=mounted)
    add("--ground", type=float, metavar="M", help="height of the camera above the floor, meters")
    add = parser.add_argument_group("videos and cameras").add_argument
    detectors = f"2D detector (default: {DEFAULT_DETECTOR})"
    people = f"maximum people per frame (default: {DEFAULT_MAX_PEOPLE})"
    add("--detector", help=detectors).choices = _Names(list_detectors, (DEFAULT_DETECTOR,))
    add("--max-people", type=int, metavar="N", help=people)
    add("--duration", type=float, metavar="S", help="seconds after which to stop reading")
    add = parser.add_argument_group("windows and streams").add_argument
    add("--windows", choices=MODES, help="window scheme (default: overlap, blended)")
    add("--overlap", type=int, metavar="N", help="overlap between windows, in frames")
    add("--flip", action="store_true", help="average with the mirror image")
    policies = "'published': lift as HoT's demo does, keypoints uncleaned, windows hot_demo, --flip"
    add("--policies", choices=(PUBLISHED_DEMO,), help=policies)
    add("--lookahead", type=int, metavar="N", help="lift as a stream that waits for N frames")
    add("--hop", type=int, metavar="N", help="frames between runs of a stream (default: 1)")
    add_live_arguments(parser.add_argument_group("while the input plays").add_argument)
    add_arguments(parser.add_argument_group("batch").add_argument)
    add = parser.add_argument_group("output").add_argument
    add("--constant-bones", action="store_true", help="hold the length of each bone")
    folder = "folder of the results (default: the current one)"
    add("--output-dir", "-o", type=Path, default=Path(), metavar="DIR", help=folder)
    formats = f"comma-separated: {', '.join(OUTPUT_FORMATS)} (default: npz)"
    add("--format", dest="formats", type=_formats, metavar="F", help=formats)
    add("--save-video", type=Path, metavar="FILE", help="draw video and poses: .mp4 or .gif")
    orbit = "walk around the people in the drawn 3D view, S seconds a turn (default: camera's side)"
    add("--orbit", type=float, metavar="S", help=orbit)
    add("--save-plot", type=Path, metavar="FILE", help="plot joints over time and latency: .png")
    add("--save-rerun", type=Path, metavar="FILE", help="record for the Rerun viewer: .rrd")
    parser.add_shared_arguments()
    return parser


class _Names:
    """Names that are looked up in the installed packages, and not before someone asks for them.

    Args:
        found: Looks them up, which takes longer than to lift a short clip.
        ours: Those that are there in any case.
    """

    def __init__(self, found: Callable[[], Sequence[str]], ours: Sequence[str]) -> None:
        self._found, self._ours = found, ours

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __contains__(self, name: object) -> bool:
        return name in self._ours or name in self._found()


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form WxH, as in 1920x1080")
    return int(found[1]), int(found[2])


def _intrinsics(text: str) -> tuple[float, ...]:
    values = _numbers(text, "FX,FY,CX,CY, as in 900,900,640,360")
    if len(values) < 4:
        raise argparse.ArgumentTypeError(f"'{text}' has {len(values)} numbers; expected at least 4")
    return values


def _mounting(text: str) -> tuple[float, ...]:
    values = _numbers(text, "X,Y,Z[,YAW,PITCH,ROLL], as in 0.1,0,1.2,0,10,0")
    if not 3 <= len(values) <= 6:
        raise argparse.ArgumentTypeError(f"'{text}' has {len(values)} numbers; expected 3 to 6")
    return values


def _direction(text: str) -> tuple[float, ...]:
    values = _numbers(text, "X,Y,Z, as in 0,-1,0")
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"'{text}' has {len(values)} numbers; expected 3")
    return values


def _numbers(text: str, form: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form {form}") from error


def _with_negative_directions(arguments: Sequence[str]) -> list[str]:
    """Join options to a value that begins with a minus, which argparse takes for an option."""
    joined: list[str] = []
    for text in arguments:
        if joined and joined[-1] in ("--up", "--camera") and re.match(r"-[\d.]", text):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


def _track_id(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(text.lower().split(",")))
    for name in formats:
        if name not in OUTPUT_FORMATS:
            known = f"{', '.join(OUTPUT_FORMATS[:-1])} or {OUTPUT_FORMATS[-1]}"
            raise argparse.ArgumentTypeError(f"unknown format '{name}'; expected {known}")
    return formats


def _run(arguments: list[str]) -> int:
    options = build_parser().parse(_with_negative_directions(arguments))
    if options.model is None:
        options.model = _default_model(options)
    check_arguments(options)
    if options.archive is None and not options.inputs:
        raise UsageError("No input was given.", hint="Run: hot-infer --help")
    inputs = options_from(InputOptions, options)
    live = LiveOptions.of(options)
    check_live_arguments(options, live)
    if options.save_video is not None or options.save_rerun is not None:
        inputs = dataclasses.replace(inputs, keep_camera=True)
    _check(options, inputs)
    if options.limit_seconds is not None:
        from hot_sdk.infer.trial import try_model

        with Progress("trying the model"):
            engine_options = options_from(EngineOptions, options)
            try_model(options.model, engine_options, options.limit_seconds)
    if options.archive is not None:
        return lift_batch(options, inputs)
    with Progress("loading the model"):
        engine = options_from(EngineOptions, options).open(options.model)
    done = []
    with engine:
        require_precision(engine.manifest, options.require_precision)
        if live.are_given:
            from hot_sdk.infer.live import lift_live

            (name,) = options.inputs
            return _tell_live(name, lift_live(engine, name, inputs, live), options)
        for name in options.inputs:
            try:
                with read_input(name, inputs) as footage:
                    lifted = lift_input(engine, footage.people, inputs, options.output_dir)
                    files = _save(name, footage, lifted, inputs, options)
            except HotSDKError as error:
                if f"'{name}'" in error.message:
                    raise
                # Names the one of several inputs that failed.
                raise type(error)(f"'{name}': {error.message}", hint=error.hint) from error
            done.append(_record(name, footage, lifted, files))
            if not options.json:
                sys.stdout.write(_text(name, footage, lifted, files))
    if options.json:
        sys.stdout.write(json.dumps({"results": done}) + "\n")
    return 0


def _default_model(options: argparse.Namespace) -> str:
    """Return the live network for a camera, unless the user asks for what it has not."""
    windows = (options.windows, options.overlap, options.policies, options.archive)
    streams = (options.lookahead or 0) > 0 or (options.hop or 1) > 1
    if streams or any(one is not None for one in windows):
        return STARTER
    cameras = options.inputs and all(is_live_source(parse_source(name)) for name in options.inputs)
    return STARTER_LIVE if cameras else STARTER


def _tell_live(name: str, summary: LiveSummary, options: argparse.Namespace) -> int:
    if options.json:
        sys.stdout.write(json.dumps({"results": [{"input": name, **summary.to_dict()}]}) + "\n")
        return 0
    counts = f"{summary.frames} frames, {summary.poses} poses"
    lines = [name, counts, *str(summary.report).split("\n"), *summary.notes]
    sys.stdout.write("\n".join(map(printable, lines)) + "\n")
    return 0


def _check(options: argparse.Namespace, inputs: InputOptions) -> None:
    inputs.knowledge()
    for name in options.inputs:
        check_input(name, inputs)
    check_rate(options.inputs, inputs.fps)
    if options.archive is None and not any(map(is_video, options.inputs)):
        for flag in ("detector", "max_people", "duration"):
            if getattr(options, flag) is not None:
                raise UsageError(
                    f"--{flag.replace('_', '-')} applies only to videos, and no input is a video.",
                    hint="Remove it.",
                )
    if options.min_frames is not None and options.min_frames < 1:
        raise UsageError(
            f"--min-frames is {options.min_frames}.", hint="Give a whole number from 1."
        )
    if options.duration is not None and not options.duration > 0.0:
        raise UsageError(f"--duration is {options.duration}.", hint="Give a number above 0.")
    stems = [_stem(name) for name in options.inputs]
    if len(set(stems)) < len(stems):
        raise UsageError(
            "Two inputs have the same name, and so would their results.",
            hint="Lift them into different folders, with --output-dir.",
        )
    if options.policies is not None and options.lookahead is not None:
        raise UsageError(
            "--policies published lifts whole clips, as HoT's demo does, and --lookahead streams.",
            hint="Remove one of them.",
        )
    if options.hop is not None and options.lookahead is None:
        raise UsageError("--hop applies only to streams.", hint="Add --lookahead N.")
    require_writable_folder(options.output_dir)
    if options.orbit is not None and (options.save_video is None or not options.orbit > 0.0):
        raise UsageError(
            f"--orbit is {options.orbit:g}; it applies only to --save-video, in seconds above 0.",
            hint="Add --save-video FILE, or remove it.",
        )
    drawings = (options.save_video, options.save_plot, options.save_rerun)
    if len(options.inputs) > 1 and any(drawings):
        raise UsageError(
            "--save-video, --save-plot and --save-rerun apply to one input, and several were"
            " given.",
            hint="Lift them one by one.",
        )
    if any(one is not None for one in drawings):
        from hot_sdk.infer.outputs import check_drawings

        check_drawings(*drawings)


def _stem(name: str) -> str:
    source = parse_source(name)
    if isinstance(source, int):
        return f"camera{source}"
    if "://" in name:
        return file_name_part(name.partition("://")[2].rpartition("@")[2])
    return Path(name).name if Path(name).is_dir() else Path(name).stem


def _save(
    name: str,
    footage: Footage,
    lifted: LiftedPeople,
    inputs: InputOptions,
    options: argparse.Namespace,
) -> list[Path]:
    files = list(save_results(lifted, options.output_dir, _stem(name), inputs))
    if options.save_plot is not None:
        from hot_sdk.infer.outputs import save_plots

        files += save_plots(options.save_plot, footage, lifted)
    if options.save_video is not None:
        from hot_sdk.infer.outputs import save_video

        files.append(save_video(options.save_video, footage, lifted, turn_period_s=options.orbit))
    if options.save_rerun is not None:
        from hot_sdk.infer.outputs import save_rerun

        files.append(save_rerun(options.save_rerun, footage, lifted))
    return files


def _record(
    name: str, footage: Footage, lifted: LiftedPeople, files: Sequence[Path]
) -> dict[str, object]:
    detection = footage.detection_ms
    return {
        "input": name,
        "files": [str(file) for file in files],
        "notes": list(footage.notes),
        "people": [
            {
                "track_id": result.track_id,
                "first_frame": result.first_frame,
                "frames": len(result),
                "valid": float(result.valid.mean()),
                "unit": result.unit,
                "warnings": list(result.warnings),
            }
            for result in lifted.results
        ],
        "detection_ms": None if detection is None else float(np.nanmedian(detection)),
        "latency": lifted.report.to_dict(),
    }


def _text(name: str, footage: Footage, lifted: LiftedPeople, files: Sequence[Path]) -> str:
    # What the results repeat as warnings is not written twice.
    repeated = set.intersection(*(set(result.warnings) for result in lifted.results))
    notes = [note for note in footage.notes if note not in repeated]
    lines = [name, *notes, *map(str, lifted.results)]
    if footage.detection_ms is not None:
        median = float(np.nanmedian(footage.detection_ms))
        lines.append(f"finding the people: {median:.4g} ms per frame (median)")
    lines += [str(lifted.report), *(f"Made: {file}" for file in files)]
    return "\n".join(printable(one) for line in lines for one in line.split("\n")) + "\n\n"

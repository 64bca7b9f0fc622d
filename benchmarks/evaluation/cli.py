"""``hot-eval``: how accurate a model, or saved poses, are on a data set.

What ``hot-eval`` was asked for, checked before any heavy work.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.evaluation.corruption import Corruption
from hot_sdk.benchmarks.evaluation.data_sets import (
    DATA_SETS,
    DataSet,
    check_asked,
    data_set,
    load_data,
)
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.metrics import joint_set
from hot_sdk.benchmarks.evaluation.protocols import PROTOCOLS, Protocol, protocol
from hot_sdk.benchmarks.evaluation.report import (
    EvaluationReport,
    EvaluationSettings,
    make_report,
    show,
)
from hot_sdk.benchmarks.evaluation.run import (
    MeasuredClip,
    Streaming,
    check_rates,
    check_windows,
    measure_model,
    measure_result,
)
from hot_sdk.engines.registry import default_engine
from hot_sdk.errors import UsageError
from hot_sdk.manifest import Manifest, read_manifest
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.results.result import Pose3DResult
from hot_sdk.windows import MODES, check_mode

MODELS = (".onnx", ".safetensors")
"""How the name of a model's file ends."""

_RESULTS = (".npz", ".json", ".csv")
_OF_A_MODEL = (
    ("--windows", "windows", None),
    ("--overlap", "overlap", None),
    ("--flip", "flip", False),
    ("--lookahead", "lookahead", None),
    ("--hop", "hop", None),
    ("--engine", "engine", None),
    ("--device", "device", "cpu"),
    ("--threads", "threads", None),
    ("--noise", "noise", 0.0),
    ("--missing", "missing", 0.0),
    ("--resample-fps", "resample_fps", None),
    ("--save-results", "save_results", None),
)


def check_arguments(options: argparse.Namespace) -> tuple[DataSet, Protocol, Corruption]:
    """The data set, the protocol and the corruption that were asked for.

    Raises:
        UsageError: An argument is unknown, out of range, missing, or contradicts another.
    """
    data, counted = data_set(options.data), protocol(options.protocol)
    check_asked(data, options.root, keypoints=options.keypoints, views=options.views)
    joint_set(options.joints)
    corruption = Corruption(
        fps=options.resample_fps,
        noise_px=options.noise,
        missing=options.missing,
        seed=options.seed,
    )
    for path in options.inputs:
        if path.suffix.lower() not in (*MODELS, *_RESULTS):
            raise UsageError(
                f"'{path}' is neither a model nor saved poses.",
                hint=f"Give one file {' or '.join(MODELS)}, or files {', '.join(_RESULTS)} of"
                " hot-infer.",
            )
        if not path.is_file():
            raise UsageError(f"There is no file '{path}'.", hint="Check the path.")
    models = [path for path in options.inputs if path.suffix.lower() in MODELS]
    if models and len(options.inputs) > 1:
        raise UsageError("A model is evaluated by itself.", hint="Give one model, or results only.")
    if models:
        _check_of_model(options, counted)
    else:
        _check_of_results(options, counted)
    if options.output is not None:
        require_writable_target(options.output)
    return data, counted, corruption


def _check_of_model(options: argparse.Namespace, counted: Protocol) -> None:
    if options.clip is not None:
        raise UsageError("--clip is of saved poses.", hint="For a model, give --only.")
    if options.windows is not None:
        check_mode(options.windows)
    if counted.windows is not None and options.windows not in (None, counted.windows):
        raise UsageError(
            f"The protocol '{counted.name}' has windows of its own, '{counted.windows}'.",
            hint="Leave --windows out, or give --protocol frames.",
        )
    if counted.windows is not None and options.save_results is not None:
        raise UsageError(
            f"The protocol '{counted.name}' takes clips apart, and their poses are not kept.",
            hint="Give --protocol frames to keep them.",
        )
    if options.hop is not None and options.lookahead is None:
        raise UsageError("--hop is of a stream.", hint="Give --lookahead N too.")
    if options.lookahead is not None and _cut(options, counted):
        raise UsageError(
            "A stream has windows of its own.",
            hint="Give --protocol frames, and neither --windows nor --overlap, with --lookahead.",
        )
    if options.save_results is not None and not options.save_results.is_dir():
        raise UsageError(
            f"The folder '{options.save_results}' does not exist.",
            hint=f"Run: mkdir -p '{options.save_results}'",
        )


def _check_of_results(options: argparse.Namespace, counted: Protocol) -> None:
    for flag, name, default in _OF_A_MODEL:
        if getattr(options, name) != default:
            raise UsageError(
                f"{flag} is of a model, and saved poses are what they are.", hint="Leave it out."
            )
    if counted.windows is not None:
        raise UsageError(
            f"The protocol '{counted.name}' counts what a model gives beyond the clip.",
            hint="Give --protocol frames for saved poses.",
        )
    if options.only is not None:
        raise UsageError("--only is of a model.", hint="Give --clip NAME for a saved result.")
    if options.clip is not None and len(options.inputs) > 1:
        raise UsageError(
            "--clip names one clip, and several results are given.",
            hint="Name the files after their clips: NAME_3d.npz.",
        )


def _cut(options: argparse.Namespace, counted: Protocol) -> bool:
    return windows_of(options, counted) is not None or options.overlap is not None


def windows_of(options: argparse.Namespace, counted: Protocol) -> str | None:
    """The mode of windows: the protocol's where it has one, else what was asked for."""
    asked: str | None = options.windows
    return asked if counted.windows is None else counted.windows


_EPILOG = """\
example:
  hot-eval mixste_t243_r0.50.onnx --data starter-val
  hot-eval hot_mixste.onnx --data h36m --root data --protocol hot --flip --output report.json
  hot-eval 14_12-1_3d.npz --data starter-val

protocols:
  frames  every frame once
  hot     whole windows about the clip's middle, padding counted (HoT)
  mixste  whole windows, the last one moved back, frames of both counted twice (MixSTE)

exit status:
  0 measured                  8 engine refused
  1 internal error            9 keypoints broken or incomplete
  2 wrong arguments          10 stream cannot run so
  3 package not installed    11 result broken, or not of this clip
  7 model's manifest broken  14 data set missing, broken or unsafe
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(
        "hot-eval", arguments, _run, interrupted="interrupted; no report was written"
    )


def build_parser() -> CommandParser:
    """The parser, with every option."""
    parser = CommandParser(
        prog="hot-eval",
        description="Measure the accuracy of an exported model, or of saved poses, against the"
        " truth.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="INPUT", help="one model, or saved poses of clips")
    add("--data", required=True, metavar="D", help=f"data set: {', '.join(DATA_SETS)}")
    add("--root", type=Path, metavar="DIR", help="folder of the data set's files")
    add("--keypoints", metavar="K", help="of h36m: cpn_ft_h36m_dbb (default) or gt")
    add("--views", type=int, metavar="N", help="of starter-val: cameras of each sequence, 1 to 4")
    add("--only", metavar="TEXT", help="only clips whose name contains this")
    add("--clip", metavar="NAME", help="clip of a saved result (default: as its file is named)")
    add("--protocol", default="frames", metavar="P", help=f"{', '.join(PROTOCOLS)}; see below")
    add("--joints", type=int, default=17, metavar="N", help="17 or 14 joints (default 17)")
    add("--windows", metavar="MODE", help=f"how clips are cut: {', '.join(MODES)}")
    add("--overlap", type=int, metavar="N", help="frames that neighbouring windows share")
    add("--flip", action="store_true", help="average with the mirror image")
    add("--lookahead", type=int, metavar="N", help="lift as a stream that waits for N frames")
    add("--hop", type=int, metavar="N", help="frames between runs of a stream (default 1)")
    add("--noise", type=float, default=0.0, metavar="PX", help="add noise of so many pixels")
    add("--missing", type=float, default=0.0, metavar="SHARE", help="take away a share of joints")
    add("--resample-fps", type=float, metavar="F", help="lift at another frame rate")
    add("--seed", type=int, default=0, metavar="N", help="of noise and missing joints")
    add("--engine", metavar="E", help="inference engine (default: by the file's format)")
    add("--device", default="cpu", metavar="D", help="cpu, cuda or cuda:N")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    add("--cache-dir", type=Path, metavar="FOLDER", help="where what the engine builds is kept")
    add("--save-results", type=Path, metavar="DIR", help="keep the poses of each clip as npz")
    add("--output", "-o", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_shared_arguments()
    return parser


def _run(arguments: list[str]) -> int:
    options = build_parser().parse(arguments)
    data, counted, corruption = check_arguments(options)
    is_model = options.inputs[0].suffix.lower() in MODELS
    manifest = read_manifest(options.inputs[0]) if is_model else None
    # Published evaluations give every frame to the network as it is.
    policies = data.policies
    if counted.windows is not None:
        policies = dataclasses.replace(policies, rate_tolerance=None)
    if is_model and options.engine is None:
        options.engine = default_engine(options.inputs[0])
    settings = EvaluationSettings(
        source=", ".join(path.name for path in options.inputs),
        data=data.name,
        keypoints=options.keypoints or data.keypoints[0],
        protocol=counted.name,
        joints=options.joints,
        by_action=data.by_action,
        windows=windows_of(options, counted),
        flip=options.flip,
        lookahead=options.lookahead,
        hop=None if options.lookahead is None else _hop(options),
        corruption=corruption,
        engine=options.engine if is_model else None,
        device=options.device if is_model else None,
        threads=options.threads,
        policies=policies if is_model else None,
        manifest=manifest,
    )
    if manifest is None:
        measured = _measure_results(options, data)
    else:
        measured = _measure_model(options, manifest, policies, corruption)
    _give(make_report(settings, measured), options)
    return 0


def _hop(options: argparse.Namespace) -> int:
    return 1 if options.hop is None else int(options.hop)


def _give(report: EvaluationReport, options: argparse.Namespace) -> None:
    text = json.dumps(report.to_dict(), allow_nan=False)
    if options.output is not None:
        with replaced_on_success(options.output) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(f"{text}\n")
        return
    show(report)
    if options.output is not None:
        sys.stdout.write(f"\nMade: {options.output}\n")


def _clips(options: argparse.Namespace, data: DataSet) -> list[EvaluationClip]:
    return load_data(data.name, options.root, keypoints=options.keypoints, views=options.views)


def _measure_model(
    options: argparse.Namespace, manifest: Manifest, policies: InputPolicies, corruption: Corruption
) -> list[MeasuredClip]:
    data, counted = data_set(options.data), protocol(options.protocol)
    check_windows(manifest, counted)
    with Pose3DEngine(
        options.inputs[0],
        engine=options.engine,
        device=options.device,
        threads=options.threads,
        cache_dir=options.cache_dir,
        policies=policies,
        windows=windows_of(options, counted),
        overlap=options.overlap,
        flip=options.flip,
    ) as engine:
        clips = _clips(options, data)
        if options.only is not None:
            clips = [clip for clip in clips if options.only in clip.name]
        if not clips:
            raise UsageError(
                f"No clip's name contains '{options.only}'.", hint="Leave --only out for all."
            )
        check_rates(manifest, counted, clips)
        streaming = None
        if options.lookahead is not None:
            streaming = Streaming(options.lookahead, _hop(options))
        with _progress(clips) as following:
            return [
                measure_model(
                    engine,
                    corruption.of(clip),
                    counted,
                    joints=options.joints,
                    streaming=streaming,
                    keep=_keeper(options.save_results, clip.name),
                )
                for clip in following
            ]


def _keeper(folder: Path | None, name: str) -> Callable[[Pose3DResult], object] | None:
    return None if folder is None else lambda result: result.save(folder / f"{name}_3d.npz")


@contextlib.contextmanager
def _progress(clips: Sequence[EvaluationClip]) -> Iterator[Iterator[EvaluationClip]]:
    """The clips, each told on a line of a terminal's standard error that is gone in the end."""
    shown = sys.stderr.isatty()

    def following() -> Iterator[EvaluationClip]:
        for number, clip in enumerate(clips, start=1):
            if shown:
                sys.stderr.write(f"\r\x1b[Khot-eval: {number} of {len(clips)}, {clip.name}")
                sys.stderr.flush()
            yield clip

    try:
        yield following()
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _measure_results(options: argparse.Namespace, data: DataSet) -> list[MeasuredClip]:
    results = {path: Pose3DResult.load(path) for path in options.inputs}
    clips = {clip.name: clip for clip in _clips(options, data)}
    named: dict[str, Path] = {}
    for path in results:
        name = options.clip or path.stem.removesuffix("_3d")
        if name not in clips:
            raise UsageError(
                f"{data.name} has no clip '{name}', which '{path}' is named after.",
                hint=f"{closest(name, tuple(clips))} Give --clip NAME, or name the file so.",
            )
        if name in named:
            raise UsageError(
                f"'{named[name]}' and '{path}' are both of the clip '{name}'.",
                hint="Evaluate them one after the other.",
            )
        named[name] = path
    return [
        measure_result(results[path], clips[name], joints=options.joints)
        for name, path in named.items()
    ]

"""``hot-eval``: measure how accurate a model, or saved poses, are on a data set."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from operator import methodcaller
from pathlib import Path

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import (
    replaced_on_success,
    require_writable_folder,
    require_writable_target,
)
from hot_sdk._base.progress import Progress
from hot_sdk._base.tables import print_report
from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.evaluation.checks import UNITS_PER_METER
from hot_sdk.benchmarks.evaluation.clip_errors import JOINT_SETS
from hot_sdk.benchmarks.evaluation.corruption import Corruption
from hot_sdk.benchmarks.evaluation.data_sets import (
    DATA_SETS,
    DataSet,
    check_data_options,
    data_set,
    load_data,
)
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.known import KNOWN, Known, check_known, parse_known, told
from hot_sdk.benchmarks.evaluation.protocols import PROTOCOLS, Protocol
from hot_sdk.benchmarks.evaluation.report import (
    EvaluationReport,
    EvaluationSettings,
    make_report,
    report_parts,
)
from hot_sdk.benchmarks.evaluation.run import (
    MeasuredClip,
    check_rates,
    check_windows,
    evaluation_notes,
    measure_model,
    measure_result,
)
from hot_sdk.engines import AUTO, default_engine, list_engines
from hot_sdk.errors import UsageError
from hot_sdk.manifest import read_manifest
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.results.result import Pose3DResult
from hot_sdk.starter import STARTER, resolve_model
from hot_sdk.windows import MODES

_MODELS = (".onnx", ".safetensors")
_RESULTS = (".npz", ".json", ".csv")
_MODEL_ONLY = (
    "windows",
    "overlap",
    "flip",
    "lookahead",
    "hop",
    "engine",
    "device",
    "threads",
    "noise",
    "missing",
    "resample_fps",
    "known",
    "up_error",
    "save_results",
)
"""Options that saved poses do not have."""

_KNOWN = "\n".join(f"  {name:12}{one.about}" for name, one in KNOWN.items())
_PROTOCOLS = "\n".join(f"  {name:12}{one.about}" for name, one in PROTOCOLS.items())
_EPILOG = f"""\
example:
  hot-eval mixste_t243_r0.50.onnx --data starter-val
  hot-eval hot_mixste.onnx --data h36m --data-root data --protocol hot --flip --output report.json
  hot-eval motionbert.onnx --data h36m-motionbert --data-root data --protocol motionbert --flip
  hot-eval 14_12-1_3d.npz --data starter-val
  hot-eval starter --data my_truth.npz --unit mm

protocols:
{_PROTOCOLS}

what is known, for --known:
{_KNOWN}

exit status:
  0 measured                  8 engine refused
  1 internal error            9 keypoints broken or incomplete
  2 wrong arguments          10 stream options not supported by this model
  3 package not installed    11 result broken, or not of this clip
  7 model's manifest broken  14 data set missing, broken or unsafe
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(
        "hot-eval", arguments, _run, interrupted="interrupted; no report was written"
    )


def build_parser() -> CommandParser:
    """Return the parser with every option."""
    parser = CommandParser(
        prog="hot-eval",
        description="Measure the accuracy of an exported model, or of saved poses, against the"
        " truth.",
        epilog=_EPILOG,
    )
    inputs = f"a model ({STARTER}: the one that ships), or saved poses of clips"
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=inputs)
    add = parser.add_argument_group("data").add_argument
    names = ",".join(DATA_SETS)
    own = "data set, or an .npz, .csv or folder of your own (docs/evaluation.md)"
    add("--data", required=True, metavar=f"{{{names}}}|FILE", help=own)
    add("--data-root", type=Path, metavar="DIR", help="folder of the data set's files")
    detections = "2D detections of h36m: NAME of data_2d_h36m_NAME.npz (default: cpn_ft_h36m_dbb)"
    add("--detections", "--keypoints", metavar="NAME", help=detections)
    add("--unit", choices=tuple(UNITS_PER_METER), help="unit of your own truth, if it does not say")
    add("--views", type=int, metavar="N", help="cameras per sequence of starter-val, 1 to 4")
    add("--filter", metavar="TEXT", help="only clips whose name contains TEXT")
    add("--clip", metavar="NAME", help="clip of a saved result (default: as its file is named)")
    add = parser.add_argument_group("what is counted").add_argument
    protocols = "which frames count, see below (default: frames)"
    add("--protocol", default="frames", choices=tuple(PROTOCOLS), help=protocols)
    add("--joints", type=int, default=17, choices=tuple(JOINT_SETS), help="joints (default: 17)")
    add = parser.add_argument_group("windows and streams").add_argument
    add("--windows", choices=MODES, help="window scheme (default: the model's own)")
    add("--overlap", type=int, metavar="N", help="overlap between windows, in frames")
    add("--flip", action="store_true", help="average with the mirror image")
    add("--lookahead", type=int, metavar="N", help="lift as a stream that waits for N frames")
    add("--hop", type=int, metavar="N", help="frames between runs of a stream (default: 1)")
    add = parser.add_argument_group("worse keypoints").add_argument
    add("--noise", type=float, default=0.0, metavar="PX", help="standard deviation of added noise")
    add("--missing", type=float, default=0.0, metavar="SHARE", help="share of joints to remove")
    add("--resample-fps", type=float, metavar="F", help="lift at another frame rate")
    add("--seed", type=int, default=0, metavar="N", help="seed of noise and missing joints")
    add = parser.add_argument_group("camera and person").add_argument
    known = "what the model is told, see below: one or more, separated by commas, or all"
    add("--known", metavar="LIST", help=known)
    add("--up-error", type=float, default=0.0, metavar="DEG", help="tilt the direction of gravity")
    add = parser.add_argument_group("engine").add_argument
    engines = "inference engine (default: by the file's format)"
    add("--engine", choices=(*list_engines(), AUTO), help=engines)
    add("--device", default="cpu", metavar="D", help="cpu, cuda or cuda:N (default: cpu)")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    add("--cache-dir", type=Path, metavar="DIR", help="folder for what the engine builds")
    add("--largest-batch", type=int, metavar="N", help="most windows in one run of an open batch")
    add = parser.add_argument_group("output").add_argument
    add("--save-results", type=Path, metavar="DIR", help="save the poses of each clip as npz")
    add("--output", "-o", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_shared_arguments()
    return parser


def _run(arguments: list[str]) -> int:
    parser = build_parser()
    options = parser.parse(arguments)
    options.inputs = [resolve_model(name) for name in options.inputs]
    data, protocol = data_set(options.data), PROTOCOLS[options.protocol]
    check_data_options(
        data,
        options.data_root,
        detections=options.detections,
        views=options.views,
        unit=options.unit,
    )
    corruption = Corruption(
        fps=options.resample_fps,
        noise_px=options.noise,
        missing=options.missing,
        seed=options.seed,
        up_degrees=options.up_error,
    )
    known = () if options.known is None else parse_known(options.known)
    is_model = _check_inputs(options.inputs)
    if is_model:
        _check_model_options(options, protocol)
        _check_known_options(options, known)
    else:
        _check_result_options(options, protocol, parser)
    if options.output is not None:
        require_writable_target(options.output)
    policies = data.policies
    if protocol.windows is not None:
        # Published evaluations give every frame to the network as it is.
        policies = dataclasses.replace(policies, rate_tolerance=None)
    if is_model:
        options.engine = options.engine or default_engine(options.inputs[0])
        options.windows = protocol.windows or options.windows
    if options.lookahead is not None and options.hop is None:
        options.hop = 1
    settings = EvaluationSettings(
        source=", ".join(path.name for path in options.inputs),
        data=data.name,
        keypoints=options.detections or data.detections[0],
        protocol=protocol.name,
        joints=options.joints,
        by_action=data.by_action,
        windows=options.windows,
        flip=options.flip,
        lookahead=options.lookahead,
        hop=options.hop,
        corruption=corruption,
        known=known[0].name if known else None,
        engine=options.engine,
        device=options.device if is_model else None,
        threads=options.threads,
        policies=policies if is_model else None,
        manifest=read_manifest(options.inputs[0]) if is_model else None,
    )
    with Progress(f"reading {options.data}"):
        clips = _clips(options)
    notes = evaluation_notes(settings.manifest, protocol, clips, trained_on=data.trained_on)
    if not options.json:
        # Before hours of lifting; the report repeats them.
        sys.stderr.writelines(f"hot-eval: warning: {note}\n" for note in notes)
    if is_model:
        by_known = _measure_model(options, settings, clips, known)
        measured = next(iter(by_known.values()))
    else:
        by_known, measured = {}, _measure_results(options, data, clips)
    report = make_report(
        settings, measured, notes=notes, by_known=by_known if len(by_known) > 1 else None
    )
    _write(report, options)
    return 0


def _check_inputs(inputs: Sequence[Path]) -> bool:
    """Check the files; return True for a model, False for saved poses."""
    for path in inputs:
        if path.suffix.lower() not in (*_MODELS, *_RESULTS):
            raise UsageError(
                f"'{path}' is neither a model nor saved poses.",
                hint=f"Give {STARTER}, one file {' or '.join(_MODELS)}, or files"
                f" {', '.join(_RESULTS)} of hot-infer.",
            )
        if not path.is_file():
            raise UsageError(f"There is no file '{path}'.", hint="Check the path.")
    is_model = any(path.suffix.lower() in _MODELS for path in inputs)
    if is_model and len(inputs) > 1:
        raise UsageError("A model is evaluated by itself.", hint="Give one model, or results only.")
    return is_model


def _check_model_options(options: argparse.Namespace, protocol: Protocol) -> None:
    if options.clip is not None:
        raise UsageError("--clip applies only to saved poses.", hint="For a model, give --filter.")
    if protocol.windows is not None and options.windows not in (None, protocol.windows):
        raise UsageError(
            f"The protocol '{protocol.name}' has its own windows, '{protocol.windows}'.",
            hint="Leave --windows out, or give --protocol frames.",
        )
    if protocol.windows is not None and options.save_results is not None:
        raise UsageError(
            f"The protocol '{protocol.name}' divides clips, so their poses cannot be saved.",
            hint="Give --protocol frames to save them.",
        )
    if options.hop is not None and options.lookahead is None:
        raise UsageError("--hop applies only to streams.", hint="Add --lookahead N.")
    cuts = (protocol.windows, options.windows, options.overlap)
    if options.lookahead is not None and cuts != (None, None, None):
        raise UsageError(
            "A stream has its own windows.",
            hint="Give --protocol frames, and neither --windows nor --overlap, with --lookahead.",
        )
    if options.save_results is not None:
        require_writable_folder(options.save_results)


def _check_known_options(options: argparse.Namespace, known: Sequence[Known]) -> None:
    if len(known) > 1 and options.save_results is not None:
        raise UsageError(
            "--known names several choices, whose poses would have the same names.",
            hint="Give one of them with --save-results.",
        )
    if options.up_error and not any(one.up for one in known):
        raise UsageError(
            "--up-error tilts a direction of gravity that the model is not told.",
            hint="Add --known gravity.",
        )


def _check_result_options(
    options: argparse.Namespace, protocol: Protocol, parser: CommandParser
) -> None:
    for name in _MODEL_ONLY:
        if getattr(options, name) != parser.get_default(name):
            raise UsageError(
                f"--{name.replace('_', '-')} needs a model; saved poses cannot be changed.",
                hint="Leave it out.",
            )
    if protocol.windows is not None:
        raise UsageError(
            f"The protocol '{protocol.name}' counts poses beyond the clip, which only a model"
            " returns.",
            hint="Give --protocol frames for saved poses.",
        )
    if options.filter is not None:
        raise UsageError(
            "--filter applies only to a model.", hint="Give --clip NAME for a saved result."
        )
    if options.clip is not None and len(options.inputs) > 1:
        raise UsageError(
            "--clip names one clip, but several results are given.",
            hint="Name the files after their clips: NAME_3d.npz.",
        )


def _clips(options: argparse.Namespace) -> list[EvaluationClip]:
    clips = load_data(
        options.data,
        options.data_root,
        detections=options.detections,
        views=options.views,
        unit=options.unit,
    )
    if options.filter is not None:
        clips = [clip for clip in clips if options.filter in clip.name]
        if not clips:
            raise UsageError(
                f"No clip's name contains '{options.filter}'.", hint="Leave --filter out for all."
            )
    return clips


def _measure_model(
    options: argparse.Namespace,
    settings: EvaluationSettings,
    clips: Sequence[EvaluationClip],
    chosen: Sequence[Known],
) -> dict[str, list[MeasuredClip]]:
    """Return the measured clips by the name of what the model was told."""
    protocol, manifest = PROTOCOLS[settings.protocol], settings.manifest
    assert manifest is not None
    check_windows(manifest, protocol)
    check_rates(manifest, protocol, clips)
    check_known(chosen, manifest, clips)
    measured: dict[str, list[MeasuredClip]] = {}
    folder = options.save_results
    with (
        Pose3DEngine(
            options.inputs[0],
            engine=options.engine,
            device=options.device,
            threads=options.threads,
            cache_dir=options.cache_dir,
            largest_batch=options.largest_batch,
            policies=settings.policies,
            windows=options.windows,
            overlap=options.overlap,
            flip=options.flip,
        ) as engine,
        Progress("evaluating") as bar,
    ):
        runs = [(known, clip) for known in chosen or (None,) for clip in clips]
        for number, (known, clip) in enumerate(runs):
            bar.update(number, len(runs), task=f"evaluating, {clip.name}")
            one = measure_model(
                engine,
                settings.corruption.apply(told(clip, known)),
                protocol,
                joints=options.joints,
                lookahead=options.lookahead,
                hop=options.hop,
                on_result=None
                if folder is None
                else methodcaller("save", folder / f"{clip.name}_3d.npz"),
            )
            measured.setdefault("" if known is None else known.name, []).append(one)
    return measured


def _measure_results(
    options: argparse.Namespace, data: DataSet, loaded: Sequence[EvaluationClip]
) -> list[MeasuredClip]:
    results = {path: Pose3DResult.load(path) for path in options.inputs}
    clips = {clip.name: clip for clip in loaded}
    named: dict[str, Path] = {}
    for path in results:
        name = options.clip or path.stem.removesuffix("_3d")
        if name not in clips:
            raise UsageError(
                f"{data.name} has no clip '{name}', which '{path}' is named after.",
                hint=f"{closest(name, tuple(clips))} Give --clip NAME, or rename the file.",
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


def _write(report: EvaluationReport, options: argparse.Namespace) -> None:
    text = json.dumps(report.to_dict(), allow_nan=False)
    if options.output is not None:
        with replaced_on_success(options.output) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(f"{text}\n")
        return
    print_report(report_parts(report))
    if options.output is not None:
        sys.stdout.write(f"\nMade: {options.output}\n")

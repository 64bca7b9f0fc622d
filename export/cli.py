"""``hot-export``: turn a checkpoint into a verified ONNX file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.optional import require
from hot_sdk._base.progress import Progress
from hot_sdk._base.tables import Table, print_report
from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.errors import UsageError
from hot_sdk.export.api import export_model, require_export_packages
from hot_sdk.export.enums import (
    DATA_SETS,
    MPI_INF_3DHP,
    Precision,
    RecoveryKind,
    SelectorKind,
    Variant,
)
from hot_sdk.export.listing import list_networks, network_parts
from hot_sdk.export.models.families import Normalization
from hot_sdk.export.models.registry import list_models
from hot_sdk.export.options import (
    DEFAULT_OPSET,
    ENGINES,
    OPSETS,
    PREDICTED_UNITS,
    ExportRequest,
    check_request,
)
from hot_sdk.export.triton.options import BACKENDS, DEVICES, TritonOptions
from hot_sdk.starter import STARTER, STARTER_LIVE, starter_checkpoint, starter_live_checkpoint

_EPILOG = """\
example:
  hot-export --model mixste --ratio 0.5
  hot-export --model mixste --variant live --lookahead 5

exit status:
  0 exported and verified     4 checkpoint unreadable, unsafe or incompatible
  1 internal error            5 graph not supported by the target engines
  2 wrong arguments           6 file does not compute the same poses
  3 package not installed     7 manifest broken     8 engine refused
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_command(
        "hot-export", arguments, _run, interrupted="interrupted; nothing was written"
    )


def build_parser() -> CommandParser:
    """Return the parser with every option."""
    parser = CommandParser(
        prog="hot-export",
        description="Turn a PyTorch checkpoint of a video pose lifter into a static-shape ONNX "
        "file, and prove that it computes the same poses.",
        epilog=_EPILOG,
    )
    about = "print the families and what their published networks cost, and exit"
    parser.add_argument("--list", action="store_true", help=about)
    parser.add_argument("--model", choices=list_models(), help="model family")

    add = parser.add_argument_group("weights").add_argument
    about = (
        f"trained weights: .pth .pt .bin .pth.tr .safetensors, or '{STARTER}' or '{STARTER_LIVE}' "
        "for those that ship (the default, if --model is mixste)"
    )
    add("--checkpoint", metavar="FILE", help=about)
    about = "which of its several sets of weights, by the name in the file, as in model_ema"
    add("--weights", metavar="NAME", help=about)
    about = "leave out keys that the network does not have, as 'traj_head.*'; repeatable"
    add("--allow-extra", metavar="PATTERN", action="append", default=[], help=about)
    about = "data set it was trained on, which decides the order of joints"
    add("--trained-on", type=_data_set, choices=DATA_SETS, help=about)
    about = "whether it predicts joints relative to the root; if not, the root is subtracted"
    add("--root-relative", choices=("yes", "no"), help=about)
    about = "what it predicts, if the family returns meters; mm is converted (default: m)"
    add("--predicts", choices=PREDICTED_UNITS, help=about)
    about = "use random weights: for speed only, the poses mean nothing"
    add("--random-weights", action="store_true", help=about)
    add("--size", metavar="NAME", help="one of the family's published sizes; see --list")
    add("--frames", type=int, metavar="N", help="frames of a window")
    about = "setting that differs from the published one, such as heads=4; repeatable"
    add("--set", type=_setting, metavar="NAME=N", action="append", default=[], help=about)
    about = "how keypoints become its input, if not as in training (motionbert in the wild)"
    add("--normalization", choices=[each.value for each in Normalization], help=about)

    add = parser.add_argument_group("pruning").add_argument
    about = "fraction of frames kept (0-1]; 1 disables pruning; a list prunes in stages"
    add("--ratio", type=_one_or_more(float), metavar="R[,R...]", help=about)
    about = "number of frames kept, instead of a ratio"
    add("--tokens", type=_one_or_more(int), metavar="N[,N...]", help=about)
    about = (
        "keep all frames, prune and recover all, prune and keep the center frame, or take one frame"
        " at a time"
    )
    add("--variant", choices=[each.value for each in Variant], help=about)
    selectors = ",".join(each.value for each in SelectorKind)
    about = "how the kept frames are chosen (default: tpc)"
    add("--selector", type=_one_or_more(str), metavar=f"{{{selectors}}}[,...]", help=about)
    about = "how pruned frames come back: by trained attention (default), or without weights"
    add("--recovery", choices=[each.value for each in RecoveryKind], help=about)
    about = "0-based index of the block before which to prune"
    add("--prune-at", type=_one_or_more(int), metavar="N[,N...]", help=about)
    about = "stretch a checkpoint's rank embedding to the ratio; accuracy is then unknown"
    add("--resample-tokens", action="store_true", help=about)

    add = parser.add_argument_group("live network").add_argument
    about = "frames that a pose waits for (default: 0)"
    add("--lookahead", type=int, metavar="N", help=about)
    about = (
        "earlier frames that it remembers: the newest, as in 48, or also some before them, as in"
        " 12+24x12 (24 frames, 12 apart; the default)"
    )
    add("--memory", metavar="M[+AxS]", help=about)

    add = parser.add_argument_group("graph").add_argument
    about = "windows per run, or 'dynamic' (default: 1)"
    add("--batch", type=_batch, metavar="N", default=1, help=about)
    add("--flip", action="store_true", help="average with the mirror image inside the graph")
    add("--token-index", action="store_true", help="make the kept frames an output")
    about = f"ONNX opset (default: {DEFAULT_OPSET}; 17 for TensorRT 8.6)"
    add("--opset", type=int, choices=OPSETS, default=DEFAULT_OPSET, help=about)

    add = parser.add_argument_group("precision").add_argument
    precisions = [each.value for each in Precision]
    about = "precision written into the graph (default: fp32)"
    add("--precision", choices=precisions, default=Precision.FP32.value, help=about)
    about = "keypoint file for the scales of int8; repeatable (default: clips that ship)"
    add("--calibration", type=Path, metavar="FILE", action="append", default=[], help=about)
    about = "module or block that is not quantized, as in 'STEblocks.*'; repeatable"
    add("--keep-float", metavar="PATTERN", action="append", default=[], help=about)
    about = "measure what int8 costs and gains in each block"
    add("--sensitivity", action="store_true", help=about)
    about = "leave out the comparison of speed with fp32"
    add("--no-timing", dest="timing", action="store_false", help=about)

    add = parser.add_argument_group("Triton Inference Server").add_argument
    add("--triton", type=Path, metavar="DIR", help="also write a model repository to this folder")
    about = "copies of the network that run at a time (default: 1)"
    add("--triton-instances", type=int, metavar="N", help=about)
    add("--triton-device", choices=DEVICES, help="where they run (default: cpu)")
    about = "backend; the server builds TensorRT's plan as it loads the model"
    add("--triton-backend", choices=BACKENDS, help=f"{about} (default: {BACKENDS[0]})")

    add = parser.add_argument_group("output").add_argument
    about = (
        f"make a file for this engine (default: {DEFAULT_ENGINE}); tensorrt also builds the plan "
        "on this device and verifies it, torch writes weights instead of ONNX"
    )
    add("--engine", choices=ENGINES, default=DEFAULT_ENGINE, help=about)
    about = "folder of the plans of --engine tensorrt"
    add("--cache-dir", type=Path, metavar="DIR", help=about)
    about = "file to write (default: a descriptive name, as mixste_t243_r0.50.onnx)"
    add("--output", "-o", type=Path, metavar="FILE", help=about)
    add("--force", action="store_true", help="replace the file if it exists")
    about = "keep a file that fails verification, under another name"
    add("--keep-failed", action="store_true", help=about)
    add("--dry-run", action="store_true", help="print the plan and exit")
    parser.add_shared_arguments()
    return parser


def _setting(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if not equals or not value.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' does not have the form NAME=N")
    return name, int(value)


def _data_set(text: str) -> str:
    return MPI_INF_3DHP if text == "3dhp" else text


def _one_or_more(kind: Callable[[str], object]) -> Callable[[str], object]:
    """Return a reader of one value, or of a comma-separated one for each stage of pruning."""

    def read(text: str) -> object:
        values = tuple(kind(part) for part in text.split(","))
        return values[0] if len(values) == 1 else values

    read.__name__ = kind.__name__
    return read


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor 'dynamic'")
    return int(text)


def _run(arguments: list[str]) -> None:
    parser = build_parser()
    options = parser.parse(arguments)
    if options.model is None and not options.list:
        parser.error("the following arguments are required: --model")
    if options.list:
        require("rich", extra="export", purpose="The command line")
        networks = list_networks()
        _print({"networks": networks}, network_parts(networks), options.json)
        return
    request = _request(options)
    check_request(request)
    require_export_packages()
    require("rich", extra="export", purpose="The command line")
    from hot_sdk.export import report

    if options.dry_run:
        from hot_sdk.export.pipeline import prepare

        prepared = prepare(request)
        plan = report.plan_as_dict(prepared, request)
        _print(plan, report.plan_parts(prepared, request), options.json)
    else:
        with Progress("Starting", lines_of="hot-export") as progress:
            result = export_model(
                request, lambda step: progress.update(0, task=step), count=progress.update
            )
        _print(report.result_as_dict(result), report.result_parts(result), options.json)
        if not options.json:
            # Not through rich, which would break a command to be copied into two lines.
            sys.stdout.write(report.next_commands(result) + "\n")


def _print(record: dict[str, Any], parts: Sequence[str | Table], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(record) + "\n")
    else:
        print_report(parts)


def _request(options: argparse.Namespace) -> ExportRequest:
    fields = {field.name for field in dataclasses.fields(ExportRequest)}
    values = {name: value for name, value in vars(options).items() if name in fields}
    if options.checkpoint is not None:
        shipped = {STARTER: starter_checkpoint, STARTER_LIVE: starter_live_checkpoint}
        find = shipped.get(options.checkpoint)
        values["checkpoint"] = Path(options.checkpoint) if find is None else find()
    values["config"] = dict(options.set)
    values["allow_extra"] = tuple(options.allow_extra)
    if options.root_relative is not None:
        values["root_relative"] = options.root_relative == "yes"
    values["calibration"] = tuple(options.calibration)
    values["keep_float"] = tuple(options.keep_float)
    values["triton"] = _triton(options)
    return ExportRequest(**values)


def _triton(options: argparse.Namespace) -> TritonOptions | None:
    given = {
        name: value
        for name in ("instances", "device", "backend")
        if (value := getattr(options, f"triton_{name}")) is not None
    }
    if options.triton is not None:
        return TritonOptions(options.triton, **given)
    if given:
        raise UsageError(
            f"--triton-{next(iter(given))} applies only to a model repository.",
            hint="Give --triton DIR too.",
        )
    return None

"""``hot-export``: from a checkpoint to a verified ONNX file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.optional import require
from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.errors import UsageError
from hot_sdk.export.api import export_model, require_export_packages
from hot_sdk.export.enums import Precision
from hot_sdk.export.models.registry import list_models
from hot_sdk.export.options import DEFAULT_OPSET, ExportRequest, check_request
from hot_sdk.export.triton.options import BACKENDS, DEVICES, TritonOptions

_EPILOG = """\
example:
  hot-export --model mixste --ratio 0.5

exit status:
  0 exported and verified     4 checkpoint unreadable, unsafe or unfit
  1 internal error            5 graph not fit for the target engines
  2 wrong arguments           6 file does not compute the same poses
  3 package not installed     7 manifest broken     8 engine refused
"""


def _setting(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if not equals or not value.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=N")
    return name, int(value)


def _one_or_more(kind: Callable[[str], object]) -> Callable[[str], object]:
    """A value, or several with commas between them, for as many stages of pruning."""

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


def _value(metavar: str, kind: Callable[[str], object], about: str) -> dict[str, Any]:
    return {"metavar": metavar, "type": kind, "help": about}


def _flag(about: str) -> dict[str, Any]:
    return {"action": "store_true", "help": about}


_ARGUMENTS: dict[str, dict[str, Any]] = {
    "--model": _value("FAMILY", str, f"one of: {', '.join(list_models())}"),
    "--list": _flag("print the families and what their published networks cost, and stop"),
    "--checkpoint": _value(
        "FILE",
        Path,
        "trained weights: .pth .pt .bin .pth.tr .safetensors (default: the starter's, of mixste)",
    ),
    "--random-weights": _flag("no trained weights: for speed only, the poses mean nothing"),
    "--ratio": _value(
        "R[,R...]",
        _one_or_more(float),
        "frames kept over frames, 0 to 1; 1 is the plain network; several prune in stages",
    ),
    "--tokens": _value("N[,N...]", _one_or_more(int), "frames kept, instead of a ratio"),
    "--variant": _value(
        "V", str, "plain, hot (recover all frames) or tpc (keep the centre, recover none)"
    ),
    "--selector": _value(
        "S[,S...]",
        _one_or_more(str),
        "which frames are kept: tpc (default), uniform, motion or attention",
    ),
    "--recovery": _value(
        "R", str, "how frames come back: tra (default; trained) or interpolate (needs no weights)"
    ),
    "--prune-at": _value(
        "N[,N...]", _one_or_more(int), "block before which frames are pruned, counted from 0"
    ),
    "--size": _value("NAME", str, "one of the family's published sizes; see --list"),
    "--frames": _value("N", int, "frames of a window"),
    "--set": _value(
        "NAME=N",
        _setting,
        "another setting than published, such as width, depth, heads or mlp_hidden",
    )
    | {"action": "append", "default": []},
    "--resample-tokens": _flag(
        "stretch a checkpoint's rank embedding to the ratio; accuracy is then unknown"
    ),
    "--batch": _value("N", _batch, "windows in one run (default 1), or 'dynamic'") | {"default": 1},
    "--flip": _flag("average with the mirror image inside the graph"),
    "--token-index": _flag("make the kept frames an output"),
    "--precision": _value(
        "P", str, "fp32 (default), fp16, int8 or int8-dynamic, written into the graph"
    )
    | {"default": Precision.FP32.value},
    "--calibration": _value(
        "FILE", Path, "keypoint file for int8's scales, repeatable (default: clips that ship)"
    )
    | {"action": "append", "default": []},
    "--keep-float": _value(
        "PATTERN", str, "module or block that is not quantized, as in 'STEblocks.*', repeatable"
    )
    | {"action": "append", "default": []},
    "--sensitivity": _flag("measure what int8 costs in each block, and gains"),
    "--opset": _value("N", int, "17 to 20 (default 20; 17 for TensorRT 8.6)")
    | {"default": DEFAULT_OPSET},
    "--output -o": _value("FILE", Path, "file to write (default: a name that tells what it is)"),
    "--triton": _value(
        "DIR", Path, "write a model repository for Triton Inference Server there, too"
    ),
    "--triton-instances": _value("N", int, "copies of the network that run at a time (default 1)"),
    "--triton-device": _value("D", str, f"where they run: {' or '.join(DEVICES)} (default: cpu)"),
    "--triton-backend": _value(
        "B",
        str,
        f"{' or '.join(BACKENDS)}, whose plan the server builds as it loads the model",
    ),
    "--engine": _value(
        "E",
        str,
        "onnxruntime (default); tensorrt: build the engine here and verify it, too; or torch: "
        "weights for PyTorch instead of ONNX",
    )
    | {"default": DEFAULT_ENGINE},
    "--cache-dir": _value("FOLDER", Path, "where the engine of --engine tensorrt is kept"),
    "--keep-failed": _flag("keep a file that fails verification, under another name"),
    "--dry-run": _flag("print the plan and stop"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(
        "hot-export", arguments, _run, interrupted="interrupted; nothing was written"
    )


def _run(arguments: list[str]) -> None:
    parser = _parser()
    options = parser.parse(arguments)
    if options.list:
        _list(as_json=options.json)
        return
    if options.model is None:
        parser.error("the following arguments are required: --model")
    request = _request(options)
    check_request(request)
    require_export_packages()
    require("rich", extra="export", purpose="The command line")
    from hot_sdk.export import report

    console = report.stderr_console()
    if options.dry_run:
        from hot_sdk.export.pipeline import prepare

        prepared = prepare(request)
        plan = report.plan_as_dict(prepared, request)
        _print(plan, report.render_plan(prepared, request), options.json)
        return
    if console.is_terminal:
        with console.status("Starting") as status:
            result = export_model(request, lambda stage: status.update(f"{stage} …"))
    else:
        result = export_model(request, _say)
    _print(report.result_as_dict(result), report.render_result(result), options.json)
    if not options.json:
        # Not through rich, which would break a command to be copied in two.
        sys.stdout.write(report.next_commands(result) + "\n")


def _list(*, as_json: bool) -> None:
    require_export_packages()
    require("rich", extra="export", purpose="The command line")
    from hot_sdk.export import report as listing

    networks = listing.list_networks()
    _print(listing.as_dict(networks), listing.render(networks), as_json)


def _say(stage: str) -> None:
    sys.stderr.write(f"hot-export: {stage}\n")


def _print(record: dict[str, object], rendered: object, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(record) + "\n")
        return
    from rich.console import Console

    Console().print(rendered)


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
            f"--triton-{next(iter(given))} is of a model repository.", hint="Give --triton DIR too."
        )
    return None


def _request(options: argparse.Namespace) -> ExportRequest:
    return ExportRequest(
        model=options.model,
        checkpoint=options.checkpoint,
        random_weights=options.random_weights,
        variant=options.variant,
        size=options.size,
        frames=options.frames,
        ratio=options.ratio,
        tokens=options.tokens,
        prune_at=options.prune_at,
        selector=options.selector,
        recovery=options.recovery,
        config=dict(options.set),
        batch=options.batch,
        opset=options.opset,
        flip=options.flip,
        token_index=options.token_index,
        precision=options.precision,
        calibration=tuple(options.calibration),
        keep_float=tuple(options.keep_float),
        sensitivity=options.sensitivity,
        resample_tokens=options.resample_tokens,
        output=options.output,
        keep_failed=options.keep_failed,
        triton=_triton(options),
        engine=options.engine,
        cache_dir=options.cache_dir,
    )


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="hot-export",
        description="Turn a PyTorch checkpoint of a video pose lifter into a static-shape ONNX "
        "file, and prove that it computes the same poses.",
        epilog=_EPILOG,
    )
    for flags, settings in _ARGUMENTS.items():
        parser.add_argument(*flags.split(), **settings)
    parser.add_shared_arguments()
    return parser

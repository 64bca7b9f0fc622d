"""What ``hot-eval`` was asked for, checked before any heavy work."""

from __future__ import annotations

import argparse

from hot_sdk.benchmarks.evaluation.corruption import Corruption
from hot_sdk.benchmarks.evaluation.data_sets import DataSet, check_asked, data_set
from hot_sdk.benchmarks.evaluation.joint_sets import joint_set
from hot_sdk.benchmarks.evaluation.protocols import Protocol, protocol
from hot_sdk.errors import UsageError
from hot_sdk.files import require_writable_target
from hot_sdk.windows import check_mode

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

"""What ``hot-benchmark`` was asked to measure, checked before any heavy work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.files import require_writable_target
from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.speed.messages import BASELINES, Streaming
from hot_sdk.engines import AUTO, SessionOptions, list_engines
from hot_sdk.errors import UsageError
from hot_sdk.export.enums import Precision

MODEL_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Attributes:
        models: Files made by ``hot-export``, and names of families.
        ratios: Of families; empty for the default of each.
        engines: Names of engines; empty for the one of each file's format.
        devices: Names of devices.
        precisions: Of families.
        batch: Windows in one call; None for what a file holds, else 1.
        threads: CPU threads; None leaves it to the engine.
        baselines: Of ``BASELINES``, of families.
        checkpoint: Weights of families; None for the starter's.
        random_weights: Random weights for families instead.
        frames: Frames of a family's window; None for the published number.
        folder: Where exported files go.
        streaming: How streams are run.
        cache_dir: Folder for what engines build; None for none.
    """

    models: tuple[str, ...]
    ratios: tuple[float, ...]
    engines: tuple[str, ...]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    batch: int | None
    threads: int | None
    baselines: tuple[str, ...]
    checkpoint: Path | None
    random_weights: bool
    frames: int | None
    folder: Path
    streaming: Streaming
    cache_dir: Path | None

    @property
    def families(self) -> tuple[str, ...]:
        """Those of ``models`` that are no files."""
        return tuple(model for model in self.models if not is_file_name(model))


def is_file_name(model: str) -> bool:
    """Whether a model is named by its file, and not by its family."""
    return "." in model or "/" in model


def check_asked(asked: Asked) -> None:
    """Check everything that needs no model to be opened.

    Raises:
        UsageError: Something is unknown, missing, or contradicts another.
    """
    for model in asked.models:
        if is_file_name(model):
            if not Path(model).is_file():
                raise UsageError(f"There is no file '{model}'.", hint="Check the path.")
        else:
            _check_family(model)
    for engine in asked.engines:
        if engine not in (*list_engines(), AUTO):
            raise UsageError(f"Unknown engine {engine!r}.", hint=closest(engine, list_engines()))
    for device in asked.devices:
        SessionOptions(device=device, threads=asked.threads)
    if asked.families:
        _check_exports(asked)
        return
    for flag, given in (
        ("--ratios", asked.ratios),
        ("--precisions", asked.precisions),
        ("--checkpoint", asked.checkpoint),
        ("--random-weights", asked.random_weights),
        ("--frames", asked.frames),
        ("--baseline", asked.baselines),
    ):
        if given:
            raise UsageError(
                f"{flag} is of a family, which is exported first, and only files were named.",
                hint="Name a family, such as mixste, or leave it out.",
            )


def _check_family(name: str) -> None:
    from hot_sdk.export.models.registry import family, list_models

    if name not in list_models():
        raise UsageError(
            f"'{name}' is neither a file nor a model family.",
            hint=closest(name, list_models()),
        )
    family(name)


def _check_exports(asked: Asked) -> None:
    for baseline in asked.baselines:
        if baseline not in BASELINES:
            raise UsageError(f"Unknown baseline '{baseline}'.", hint=closest(baseline, BASELINES))
    for ratio in asked.ratios:
        if not 0.0 < ratio <= 1.0:
            raise UsageError(
                f"A ratio is {ratio:g}; expected more than 0 and at most 1.",
                hint="1 keeps every frame.",
            )
    names = [precision.value for precision in Precision]
    for asked_for in asked.precisions:
        if asked_for not in names:
            raise UsageError(f"Unknown precision {asked_for!r}.", hint=closest(asked_for, names))
    require_writable_target(asked.folder / f"any{MODEL_SUFFIX}")

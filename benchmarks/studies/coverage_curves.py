"""Measure whether a model is as far off as it says, for good and for bad keypoints.

    python benchmarks/studies/coverage_curves.py starter --known nothing --figure coverage.png

Lifts ``starter-val`` as it is, with noise, and with joints missing, and counts how many errors lie
within the intervals that the model states (``Pose3DResult.spread``). The rank correlation says
whether it knows which coordinates are off: 0 if it does not, 1 if it knows their order.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk import Pose3DEngine
from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.evaluation import Corruption, EvaluationClip, load_starter_val
from hot_sdk.benchmarks.evaluation.coverage import AXES, LEVELS, coverage, interval_width
from hot_sdk.benchmarks.evaluation.known import KNOWN, check_known, parse_known, told
from hot_sdk.benchmarks.evaluation.protocols import protocol
from hot_sdk.benchmarks.evaluation.run import measure_model
from hot_sdk.errors import UsageError
from hot_sdk.starter import resolve_model

KEYPOINTS = {
    "as they are": Corruption(),
    "noise of 2 px": Corruption(noise_px=2.0),
    "noise of 5 px": Corruption(noise_px=5.0),
    "noise of 10 px": Corruption(noise_px=10.0),
    "10 % of joints missing": Corruption(missing=0.1),
    "20 % of joints missing": Corruption(missing=0.2),
}
"""What is done to the keypoints, by a name."""

_RANKED = 200_000
_CURVE = np.arange(2, 100, 2)

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stated:
    """Errors and spread under one condition.

    Attributes:
        name: A key of ``KEYPOINTS``.
        spread: (coordinates, 3), millimeters.
        ratio: (coordinates, 3), absolute error over spread.
    """

    name: str
    spread: Singles
    ratio: Singles

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        found = coverage([self.ratio], [self.spread])
        shares = [found.percent[str(level)]["all"] for level in LEVELS]
        shares += [found.percent["68"][axis] for axis in AXES]
        error = float((self.ratio * self.spread).mean(dtype=np.float64))
        cells = (*shares, found.spread_mm["all"], error)
        return (self.name, *(f"{cell:.1f}" for cell in cells), f"{self.rank_correlation():.2f}")

    def rank_correlation(self) -> float:
        """Return Spearman's correlation of the spread and the absolute error."""
        spread, error = self.spread.ravel(), (self.ratio * self.spread).ravel()
        step = max(1, len(spread) // _RANKED)
        first, second = (np.argsort(np.argsort(each[::step])) for each in (spread, error))
        return float(np.corrcoef(first, second)[0, 1])

    def curve(self) -> NDArray[np.float64]:
        """Return the share of errors within the interval of each level of the curve, percent."""
        widths = [interval_width(float(level)) for level in _CURVE]
        return 100.0 * np.array([(self.ratio <= width).mean() for width in widths])


HEADER = (
    "keypoints",
    *(f"{level} %" for level in LEVELS),
    *(f"68 % in {axis}" for axis in AXES),
    "spread mm",
    "error mm",
    "rank correlation",
)


def measure(
    engine: Pose3DEngine, clips: Sequence[EvaluationClip], name: str, corruption: Corruption
) -> Stated:
    """Return the errors and the spread of clips.

    Raises:
        UsageError: The model states no spread.
    """
    spreads, ratios = [], []
    for clip in clips:
        errors = measure_model(engine, corruption.apply(clip), protocol("frames")).errors
        if errors.spread is None or errors.spread_ratio is None:
            raise UsageError(
                f"'{engine.model_name}' states no spread.", hint="Give a model whose manifest does."
            )
        spreads.append(errors.spread.reshape(-1, len(AXES)))
        ratios.append(errors.spread_ratio.reshape(-1, len(AXES)))
    return Stated(name, np.concatenate(spreads), np.concatenate(ratios))


def draw(found: Sequence[Stated], path: Path) -> None:
    """Plot the share of errors within an interval against the share that it is meant to hold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot((0, 100), (0, 100), color="0.6", linewidth=1.0)
    for stated in found:
        axes.plot(_CURVE, stated.curve(), label=stated.name)
    axes.set_xlabel("interval is meant to hold, %")
    axes.set_ylabel("errors within it, %")
    axes.set_aspect("equal")
    axes.legend(loc="upper left", fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("coverage_curves", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="coverage_curves", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("model", help="a model that states its spread")
    add("--known", default="nothing", choices=tuple(KNOWN), help="what it is told")
    add("--views", type=int, default=4, help="cameras per sequence, 1 to 4 (default: 4)")
    add("--filter", default="", metavar="TEXT", help="only clips whose name contains TEXT")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    add("--figure", type=Path, metavar="PNG", help="plot the curves")
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    (known,) = parse_known(options.known)
    clips = [clip for clip in load_starter_val(views=options.views) if options.filter in clip.name]
    if not clips:
        raise UsageError(f"No clip's name contains '{options.filter}'.", hint="Leave it out.")
    with Pose3DEngine(resolve_model(options.model), threads=options.threads) as engine:
        check_known([known], engine.manifest, clips)
        shown = [told(clip, known) for clip in clips]
        found = [measure(engine, shown, name, done) for name, done in KEYPOINTS.items()]
        title = f"{engine.model_name}, known: {known.about}"
    print_report([Table(title, HEADER, tuple(stated.row() for stated in found))])
    if options.figure is not None:
        draw(found, options.figure)


if __name__ == "__main__":
    sys.exit(main())

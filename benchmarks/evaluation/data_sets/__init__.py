"""The data sets of an evaluation, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.evaluation.data_sets import human36m, mpi_inf_3dhp, starter_val
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.errors import UsageError
from hot_sdk.preprocessing.policies import InputPolicies

PUBLISHED_POLICIES = InputPolicies(min_score=0.0, outlier_threshold=None, aspect="published")
"""Keypoints as they are: what published evaluations lift."""


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        name: Its key in ``DATA_SETS``.
        licensed: It does not ship; its users fetch it under its license.
        detections: Names of the 2D keypoints that it comes with; the first is the default.
        by_action: Published numbers are means over its actions, and not over its frames.
        policies: How keypoints are preprocessed before they are lifted.
    """

    name: str
    licensed: bool
    detections: tuple[str, ...]
    by_action: bool
    policies: InputPolicies


DATA_SETS: Mapping[str, DataSet] = {
    data.name: data
    for data in (
        DataSet(starter_val.NAME, False, ("projected",), False, InputPolicies()),
        DataSet(human36m.NAME, True, (human36m.DETECTIONS, "gt"), True, PUBLISHED_POLICIES),
        DataSet(mpi_inf_3dhp.NAME, True, ("annotated",), False, PUBLISHED_POLICIES),
    )
}


def data_set(name: str) -> DataSet:
    """Return the data set of a name.

    Raises:
        UsageError: There is no such data set.
    """
    if name not in DATA_SETS:
        raise UsageError(f"Unknown data set {name!r}.", hint=closest(name, tuple(DATA_SETS)))
    return DATA_SETS[name]


def load_data(
    name: str, root: Path | None = None, *, detections: str | None = None, views: int | None = None
) -> list[EvaluationClip]:
    """Load a data set.

    Args:
        name: A key of ``DATA_SETS``.
        root: Folder of its files; None for a data set that ships.
        detections: Which of the data set's 2D keypoints; None for the default.
        views: Number of cameras per sequence of ``starter-val``; None for all.

    Raises:
        UsageError: An argument is unknown, missing, or does not apply to the data set.
        DatasetError: A file is missing, broken or not safe to read.
    """
    data = data_set(name)
    check_data_options(data, root, detections=detections, views=views)
    if name == starter_val.NAME:
        return starter_val.load_starter_val(root, views=4 if views is None else views)
    assert root is not None
    if name == human36m.NAME:
        return human36m.load_human36m(root, detections=detections or data.detections[0])
    return mpi_inf_3dhp.load_mpi_inf_3dhp(root)


def check_data_options(
    data: DataSet, root: Path | None, *, detections: str | None, views: int | None
) -> None:
    """Check the arguments of ``load_data`` without reading a file.

    Raises:
        UsageError: One is unknown, missing, or does not apply to the data set.
    """
    name = data.name
    if data.licensed and root is None:
        raise UsageError(
            f"{name} does not ship with the SDK.",
            hint="Give the folder of its files: --data-root DIR.",
        )
    if detections is not None and detections not in data.detections:
        raise UsageError(
            f"{name} has no detections {detections!r}.", hint=closest(detections, data.detections)
        )
    if views is not None and name != starter_val.NAME:
        raise UsageError(
            f"--views applies only to {starter_val.NAME}; {name} has its own cameras.",
            hint="Leave it out.",
        )

"""The data sets by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.evaluation.data_sets import human36m, mpi_inf_3dhp, starter_val
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.errors import UsageError
from hot_sdk.preprocessing.policies import InputPolicies

PUBLISHED_POLICIES = InputPolicies(min_score=0.0, outlier_size=None, aspect="published")
"""What published evaluations do about keypoints: nothing."""


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        name: Of ``DATA_SETS``.
        licensed: It does not ship, and has to be fetched by who may use it.
        keypoints: Names of the 2D keypoints that it comes with; the first is the default.
        by_action: Published numbers are means over its actions, and not over its frames.
        policies: What is done about keypoints before they are lifted.
    """

    name: str
    licensed: bool
    keypoints: tuple[str, ...]
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
    """The data set of a name.

    Raises:
        UsageError: There is none.
    """
    if name not in DATA_SETS:
        raise UsageError(
            f"There is no data set {name!r}.", hint=closest(str(name), tuple(DATA_SETS))
        )
    return DATA_SETS[name]


def load_data(
    name: str, root: Path | None = None, *, keypoints: str | None = None, views: int | None = None
) -> list[EvaluationClip]:
    """Load a data set.

    Args:
        name: One of ``DATA_SETS``.
        root: Folder of its files; None where it ships.
        keypoints: Which 2D keypoints, where there are several.
        views: Cameras of each sequence of ``starter-val``; None for all.

    Raises:
        UsageError: An argument is unknown, missing, or of another data set.
        DatasetError: A file is missing, broken or not safe to read.
    """
    data = data_set(name)
    check_asked(data, root, keypoints=keypoints, views=views)
    if name == starter_val.NAME:
        return starter_val.load_starter_val(root, views=4 if views is None else views)
    assert root is not None
    if name == human36m.NAME:
        return human36m.load_human36m(root, keypoints=keypoints or data.keypoints[0])
    return mpi_inf_3dhp.load_mpi_inf_3dhp(root)


def check_asked(
    data: DataSet, root: Path | None, *, keypoints: str | None, views: int | None
) -> None:
    """Check the arguments of ``load_data``, without reading a file.

    Raises:
        UsageError: One is unknown, missing, or of another data set.
    """
    name = data.name
    if data.licensed and root is None:
        raise UsageError(
            f"{name} does not ship with the SDK.", hint="Give the folder of its files: --root DIR."
        )
    if keypoints is not None and keypoints not in data.keypoints:
        raise UsageError(
            f"{name} has no keypoints {keypoints!r}.", hint=closest(keypoints, data.keypoints)
        )
    if views is not None and name != starter_val.NAME:
        raise UsageError(
            f"--views is of {starter_val.NAME}.", hint=f"{name} has its own cameras; leave it out."
        )

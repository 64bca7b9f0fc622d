"""The data sets of an evaluation, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.evaluation.data_sets import (
    human36m,
    human36m_motionbert,
    mpi_inf_3dhp,
    own_files,
    starter_val,
)
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
        own_detections: Its folder may hold others, of any name.
        by_action: Published numbers are means over its actions, and not over its frames.
        policies: How keypoints are preprocessed before they are lifted.
        trained_on: ``Manifest.trained_on`` of networks that know its joints; None if all do.
        scale_of: Values of ``Manifest.trained_on`` of networks whose normalized pixels its clips
            turn into millimeters.
    """

    name: str
    licensed: bool
    detections: tuple[str, ...]
    own_detections: bool
    by_action: bool
    policies: InputPolicies
    trained_on: str | None = None
    scale_of: tuple[str | None, ...] = ()


DATA_SETS: Mapping[str, DataSet] = {
    data.name: data
    for data in (
        DataSet(starter_val.NAME, False, ("projected",), False, False, InputPolicies()),
        DataSet(
            human36m.NAME,
            True,
            (human36m.DETECTIONS, "gt"),
            True,
            True,
            PUBLISHED_POLICIES,
            human36m.NAME,
        ),
        DataSet(
            human36m_motionbert.NAME,
            True,
            (human36m_motionbert.DETECTIONS, human36m_motionbert.TRUTH),
            True,
            True,
            PUBLISHED_POLICIES,
            human36m.NAME,
            human36m_motionbert.TRAINED_ON,
        ),
        DataSet(
            mpi_inf_3dhp.NAME,
            True,
            ("annotated",),
            False,
            False,
            PUBLISHED_POLICIES,
            mpi_inf_3dhp.NAME,
            mpi_inf_3dhp.TRAINED_ON,
        ),
    )
}


def data_set(name: str) -> DataSet:
    """Return the data set of a name, or of a file or folder of one's own.

    Raises:
        UsageError: There is no such data set.
    """
    if name in DATA_SETS:
        return DATA_SETS[name]
    if is_own(name):
        return DataSet(name, False, ("of the file",), False, False, InputPolicies())
    raise UsageError(
        f"Unknown data set {name!r}.",
        hint=f"{closest(name, tuple(DATA_SETS))} A file of your own is an .npz or .csv.",
    )


def is_own(name: str) -> bool:
    """Return whether this names a file or folder of one's own, which may be missing."""
    return name not in DATA_SETS and (
        Path(name).suffix.lower() in own_files.SUFFIXES or Path(name).is_dir()
    )


def load_data(
    name: str,
    root: Path | None = None,
    *,
    detections: str | None = None,
    views: int | None = None,
    unit: str | None = None,
) -> list[EvaluationClip]:
    """Load a data set.

    Args:
        name: A key of ``DATA_SETS``, or a file or folder of one's own; see ``own_files``.
        root: Folder of its files; None for a data set that ships.
        detections: Which of the data set's 2D keypoints, or the name of other ones in the same
            layout; None for the default.
        views: Number of cameras per sequence of ``starter-val``; None for all.
        unit: Unit of the true poses of one's own files, ``m`` or ``mm``; None if they say.

    Raises:
        UsageError: An argument is unknown, missing, or does not apply to the data set.
        DatasetError: A file is missing, broken or not safe to read.
        KeypointsError: The keypoints of one's own file cannot be read.
    """
    data = data_set(name)
    check_data_options(data, root, detections=detections, views=views, unit=unit)
    if is_own(name):
        return own_files.load_own_files(Path(name), unit=unit)
    if name == starter_val.NAME:
        return starter_val.load_starter_val(root, views=4 if views is None else views)
    assert root is not None
    chosen = detections or data.detections[0]
    if name == human36m.NAME:
        return human36m.load_human36m(root, detections=chosen)
    if name == human36m_motionbert.NAME:
        return human36m_motionbert.load_human36m_motionbert(root, detections=chosen)
    return mpi_inf_3dhp.load_mpi_inf_3dhp(root)


def check_data_options(
    data: DataSet,
    root: Path | None,
    *,
    detections: str | None,
    views: int | None,
    unit: str | None = None,
) -> None:
    """Check the arguments of ``load_data`` without reading a file.

    Raises:
        UsageError: One is unknown, missing, or does not apply to the data set.
    """
    name = data.name
    if unit is not None and not is_own(name):
        raise UsageError(
            f"--unit applies only to files of your own; {name} states its unit.",
            hint="Leave it out.",
        )
    if root is not None and is_own(name):
        raise UsageError("--data-root applies only to named data sets.", hint="Leave it out.")
    if data.licensed and root is None:
        raise UsageError(
            f"{name} does not ship with the SDK.",
            hint="Give the folder of its files: --data-root DIR.",
        )
    if detections is not None and detections not in data.detections:
        if not data.own_detections:
            raise UsageError(
                f"{name} has no detections {detections!r}.",
                hint=closest(detections, data.detections),
            )
        if not re.fullmatch(r"[\w.-]+", detections):
            raise UsageError(
                f"{detections!r} is no name of detections.",
                hint="Give the NAME in the file's name, such as data_2d_h36m_NAME.npz.",
            )
    if views is not None and name != starter_val.NAME:
        raise UsageError(
            f"--views applies only to {starter_val.NAME}; {name} has its own cameras.",
            hint="Leave it out.",
        )

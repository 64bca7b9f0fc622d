"""Decide what a checkpoint's training determines and the shapes of its weights do not.

Which data set it was trained on gives the order of its joints; and whether it predicts joints
relative to the root, what the exported function has to subtract. Neither is guessed: what the
published networks of a family do not have in common, users have to say.
"""

from __future__ import annotations

from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export.enums import HUMAN36M, MPI_INF_3DHP
from hot_sdk.export.models.families import Family
from hot_sdk.skeletons import H36M17, MPI_INF_3DHP17

_ORDERS = {HUMAN36M: H36M17.name, MPI_INF_3DHP: MPI_INF_3DHP17.name}


def joint_order(trained_on: str | None) -> str:
    """Return the name of the order of joints of a data set; Human3.6M's if it is not known."""
    return H36M17.name if trained_on is None else _ORDERS[trained_on]


def decide_data_set(
    entry: Family, frames: int, requested: str | None, *, recorded: str | None, has_record: bool
) -> str | None:
    """Return the data set that a checkpoint was trained on; None if it is not known.

    If it is not known, the joints are those of Human3.6M in their order.

    Args:
        entry: The family.
        frames: Frames of the checkpoint's window.
        requested: What the user says.
        recorded: What the checkpoint's own record says.
        has_record: It has one; a record without a data set is one of Human3.6M's joints.

    Raises:
        UsageError: Networks of these frames are trained on data sets that differ in the order of
            joints, and the user does not say on which.
        CheckpointError: The checkpoint's record says another one than the user.
    """
    if has_record:
        if requested is not None and joint_order(requested) != joint_order(recorded):
            raise CheckpointError(
                f"The checkpoint's record says that its joints are in the order"
                f" '{joint_order(recorded)}', but --trained-on is {requested}.",
                hint="Drop --trained-on.",
            )
        return recorded if recorded is not None else requested
    if requested is None and frames in entry.mpi_inf_3dhp_frames:
        raise UsageError(
            f"{entry.title} with windows of {frames} frames may be trained on Human3.6M or on"
            " MPI-INF-3DHP, which number the joints differently, and the checkpoint does not say"
            " which.",
            hint=f"Give --trained-on {HUMAN36M} (also for your own data in the order of Human3.6M's"
            f" joints) or --trained-on {MPI_INF_3DHP}; trained_on= in Python.",
        )
    return requested


def decide_root(entry: Family, requested: bool | None, *, recorded: bool | None) -> bool:
    """Return True if a checkpoint predicts joints relative to the root.

    Args:
        entry: The family.
        requested: What the user says.
        recorded: What the checkpoint's own record says; None if it has none.

    Raises:
        UsageError: The family has networks of both kinds, and the user does not say which it is.
        CheckpointError: The checkpoint's record says something else than the user.
    """
    if recorded is not None:
        if requested not in (None, recorded):
            raise CheckpointError(
                "The checkpoint's record says that it predicts joints"
                f" {'relative to the root' if recorded else 'where they are'}, but --root-relative"
                f" is {'yes' if requested else 'no'}.",
                hint="Drop --root-relative.",
            )
        return recorded
    known = entry.root_relative if requested is None else requested
    if known is None:
        raise UsageError(
            f"{entry.title} is published with joints relative to the root ('rootrel: True' in its"
            " configuration) and with absolute ones ('rootrel: False', as all whose names have"
            " 'global'); the checkpoint's weights do not say which it is.",
            hint="Give --root-relative yes or --root-relative no; root_relative= in Python.",
        )
    return known

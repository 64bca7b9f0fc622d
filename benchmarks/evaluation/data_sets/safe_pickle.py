"""Read data sets that were saved as pickled Python objects, without running anything in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hot_sdk._base.budget import input_budget
from hot_sdk._base.files import open_input
from hot_sdk._base.safe_pickle import (
    BROKEN,
    UnsafePickleError,
    items,
    mapping,
    numbers,
    one_object,
    read_objects,
    read_pickle,
    stacked,
    texts,
)
from hot_sdk._base.safe_zip import open_zip
from hot_sdk.errors import DatasetError

__all__ = [
    "LARGEST_UNPACKED",
    "broken",
    "holds",
    "items",
    "mapping",
    "numbers",
    "read_object",
    "read_pickled_file",
    "stacked",
    "texts",
]

LARGEST_UNPACKED = 4 << 30
"""Bytes. The detections on Human3.6M unpack to a seventh of it; MotionBERT's file of training and
test set is the largest, with over two million poses in three forms."""


def read_object(path: Path, member: str) -> object:
    """Return the one object that an object array of an npz file holds.

    Args:
        path: The npz file.
        member: Name of the array.

    Returns:
        Dictionaries, lists, texts and numbers as they are; pass what stands for an array to
        ``numbers`` or ``items``.

    Raises:
        DatasetError: There is no such file or array, or it is broken, too large, or names
            something that is not a part of an array.
    """
    return _read(
        path, lambda file: one_object(read_objects(file, member, max_bytes=LARGEST_UNPACKED))
    )


def holds(path: Path, member: str) -> bool:
    """Return whether an npz file has an array of a name.

    Raises:
        DatasetError: The file is broken, or its table of contents is too large.
    """

    def found(file: BinaryIO) -> bool:
        with open_zip(file, input_budget()) as archive:
            return f"{member}.npy" in archive.namelist()

    return bool(_read(path, found))


def read_pickled_file(path: Path) -> object:
    """Return the object of a file that ``pickle.dump`` wrote, as ``read_object`` does.

    Raises:
        DatasetError: There is no such file, or it is broken, too large, or names something that is
            not a part of an array.
    """
    return _read(path, lambda file: read_pickle(file, max_bytes=LARGEST_UNPACKED))


def _read(path: Path, read: Callable[[BinaryIO], object]) -> object:
    try:
        with open_input(path) as file:
            return read(file)
    except UnsafePickleError as error:
        raise DatasetError(
            f"'{path.name}' is not safe to read: {error}.",
            hint="Make the file again from its source.",
        ) from error
    except OSError as error:
        raise DatasetError(
            f"'{path}' cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    except BROKEN as error:
        raise broken(path, error) from error


def broken(path: Path, error: Exception) -> DatasetError:
    """Return the error for a file that is not of the published layout."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DatasetError(
        f"'{path}' is not of the published layout: {reason}.",
        hint="Make or download it again; docs/evaluation.md describes the layouts.",
    )

"""Read data sets that were saved as pickled Python objects, without running anything in them."""

from __future__ import annotations

from pathlib import Path

from hot_sdk._base.safe_pickle import (
    BROKEN,
    UnsafePickleError,
    items,
    mapping,
    numbers,
    one_object,
    read_objects,
)
from hot_sdk.errors import DatasetError

__all__ = ["LARGEST_UNPACKED", "broken", "items", "mapping", "numbers", "read_object"]

LARGEST_UNPACKED = 4 << 30
"""Bytes; the largest published file, the detections on Human3.6M, unpacks to a seventh of it."""


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
    try:
        with path.open("rb") as file:
            return one_object(read_objects(file, member, max_bytes=LARGEST_UNPACKED))
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
        hint="Make or download it again; README.md of hot_sdk.benchmarks names the layouts.",
    )

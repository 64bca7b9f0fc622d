"""The check of a run's arrays against a session's inputs, the same for every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.interface import ANY_SIZE, TensorSpec, format_shape
from hot_sdk.errors import EngineError


def check_inputs(
    arrays: Mapping[str, NDArray[Any]], inputs: Sequence[TensorSpec]
) -> dict[str, NDArray[Any]]:
    """Check the arrays of one run, without changing type or shape.

    Args:
        arrays: One array for each input, by name.
        inputs: The inputs of the session.

    Returns:
        The arrays in C order; those that already were are passed on without a copy.

    Raises:
        EngineError: An array is missing, unknown, or of another type or shape.
    """
    _check_names(arrays, inputs)
    sizes: dict[str, int] = {}
    checked = {}
    for spec in inputs:
        array = arrays[spec.name]
        _check_type(array, spec)
        _check_shape(array.shape, spec, sizes)
        # Not numpy.ascontiguousarray, which turns a scalar into an array of one element.
        checked[spec.name] = array if array.flags.c_contiguous else np.array(array, order="C")
    return checked


def _check_names(arrays: Mapping[str, NDArray[Any]], inputs: Sequence[TensorSpec]) -> None:
    expected = [spec.name for spec in inputs]
    missing = [name for name in expected if name not in arrays]
    unknown = [name for name in arrays if name not in expected]
    if missing or unknown:
        found = [f"{name!r} is missing" for name in missing]
        found += [f"{name!r} is not one of them" for name in unknown]
        raise EngineError(
            f"The arrays do not match the model's inputs: {', '.join(found)}.",
            hint=f"Pass exactly: {'; '.join(str(spec) for spec in inputs)}.",
        )


def _check_type(array: NDArray[Any], spec: TensorSpec) -> None:
    if not isinstance(array, np.ndarray):
        raise EngineError(
            f"Input {spec.name!r} is a {type(array).__name__}; expected a NumPy array.",
            hint=f"Use numpy.asarray(..., dtype=numpy.{spec.dtype}).",
        )
    if array.dtype != np.dtype(spec.dtype):
        raise EngineError(
            f"Input {spec.name!r} holds {array.dtype}; expected {spec.dtype}.",
            hint=f"Convert it with .astype(numpy.{spec.dtype}); engines never convert it for you.",
        )


def _check_shape(shape: tuple[int, ...], spec: TensorSpec, sizes: dict[str, int]) -> None:
    """Check one shape, and note in ``sizes`` what the named dimensions are in this run."""
    fits = len(shape) == len(spec.shape)
    for size, expected in zip(shape, spec.shape, strict=False):
        if isinstance(expected, int):
            fits = fits and size == expected
        elif expected != ANY_SIZE:
            fits = fits and size == sizes.setdefault(expected, size)
    if not fits:
        named = {name: size for name, size in sizes.items() if name in spec.shape}
        raise EngineError(
            f"Input {spec.name!r} has shape {format_shape(shape)};"
            f" expected {format_shape(spec.shape)}"
            + "".join(f", where {name} is {size}" for name, size in named.items())
            + ".",
            hint="Give it that shape, or export the model for the shape that you have.",
        )

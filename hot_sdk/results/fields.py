"""The fields of a result along other axes, and in another unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.preprocessing.virtual_view import turned_spread
from hot_sdk.windows import SeamReport

COVARIANCES = ("covariance", "joints_covariance", "velocity_covariance")


def turned_fields(fields: Mapping[str, Any], rotation: NDArray[np.float64]) -> dict[str, Any]:
    """Return the fields of a result along other axes, but for the root."""
    turn = rotation.astype(np.float32)
    turned: dict[str, Any] = {"poses": fields["poses"] @ turn.T}
    if fields["velocity"] is not None:
        turned["velocity"] = fields["velocity"] @ turn.T
    for name in COVARIANCES:
        if fields[name] is not None:
            turned[name] = turn @ fields[name] @ turn.T
    if fields["covariance"] is not None:
        # Here, because a first pose has none, and importing this takes longer than lifting it.
        from hot_sdk.root.frames import deviations

        turned["spread"] = deviations(turned["covariance"])
    elif fields["spread"] is not None:
        turned["spread"] = turned_spread(fields["spread"], rotation).astype(np.float32)
    return turned


def scaled_fields(fields: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return the fields of a result that hold distances, multiplied."""
    powers = dict.fromkeys(("poses", "root", "spread", "velocity"), 1)
    powers |= dict.fromkeys(COVARIANCES, 2)
    return {
        name: None if fields[name] is None else fields[name] * np.float32(factor**power)
        for name, power in powers.items()
    }


def scaled_seams(seams: SeamReport | None, factor: float, unit: str) -> SeamReport | None:
    """Return the report on seams with every distance in it multiplied."""
    if seams is None:
        return None
    distances: dict[str, Any] = {
        key: value * factor for key, value in vars(seams).items() if isinstance(value, float)
    }
    return dataclasses.replace(seams, unit=unit, **distances)

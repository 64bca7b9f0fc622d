"""Reproducible random weights, for files that show speed and shape but whose poses mean nothing."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

DEFAULT_SEED = 7


def random_state_dict(model: nn.Module, seed: int = DEFAULT_SEED) -> dict[str, torch.Tensor]:
    """Draw every tensor from its own key, so that a model's weights do not depend on its others.

    Scales keep activations near one through any depth: fan-in for weights, near one for norms.

    Args:
        model: Gives keys and shapes.
        seed: Another seed draws other weights.

    Returns:
        A state-dict in float64.
    """
    state: dict[str, torch.Tensor] = {}
    for key, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        noise = np.asarray(generator.standard_normal(shape))
        state[key] = torch.from_numpy(np.array(_scaled(key, noise)))
    return state


def _scaled(key: str, noise: NDArray[np.float64]) -> NDArray[np.float64]:
    if key.endswith("num_batches_tracked"):
        return np.zeros_like(noise)
    if key.endswith("running_var"):
        return np.add(1.0, 0.1 * np.abs(noise))
    if key.endswith(".W"):
        return np.divide(noise, math.sqrt(noise.shape[1]))
    if key.endswith("weight") and noise.ndim >= 2:
        return np.divide(noise, math.sqrt(math.prod(noise.shape[1:])))
    if key.endswith("weight"):
        return 1.0 + 0.1 * noise
    return 0.1 * noise

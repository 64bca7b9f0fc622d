"""Convolutions that see one frame at a time, as matrix products, and the norms beside them.

Published networks that call a linear layer a convolution with a kernel of one keep a third axis in
its weights, (out, in, 1). The keys and shapes stay as they are; what is computed, and exported, is
one matrix product over the rows, into which a batch norm beside it is folded.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class PointwiseLinear(nn.Conv1d):
    """A convolution with a kernel of one, over rows: (rows, in) to (rows, out)."""

    _folded: Tensor | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=1)

    def fold_constants(self) -> None:
        """Keep the matrix as a constant."""
        with torch.no_grad():
            self._folded = self.matrix().clone()

    def matrix(self) -> Tensor:
        """The weights, (out, in)."""
        return self.weight.squeeze(2)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (rows, in) to (rows, out)."""
        return linear(rows, self.matrix() if self._folded is None else self._folded, self.bias)


class ActivatedPointwise(nn.Sequential):
    """A pointwise linear layer, a batch norm after it, and a rectifier."""

    _folded: tuple[Tensor, Tensor] | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(PointwiseLinear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())

    def fold_constants(self) -> None:
        """Put the norm into the matrix."""
        layer, norm = cast(PointwiseLinear, self[0]), cast(nn.BatchNorm1d, self[1])
        with torch.no_grad():
            assert layer.bias is not None
            scale, shift = _affine(norm)
            self._folded = (layer.matrix() * scale.unsqueeze(1), layer.bias * scale + shift)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (rows, in) to (rows, out)."""
        if self._folded is not None:
            return linear(rows, *self._folded).relu()
        layer, norm, activation = self
        return cast(Tensor, activation(norm(layer(rows))))


class NormedPointwise(nn.Sequential):
    """A batch norm, and a pointwise linear layer after it."""

    _folded: tuple[Tensor, Tensor] | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.BatchNorm1d(inputs), PointwiseLinear(inputs, outputs))

    def fold_constants(self) -> None:
        """Put the norm into the matrix."""
        norm, layer = cast(nn.BatchNorm1d, self[0]), cast(PointwiseLinear, self[1])
        with torch.no_grad():
            assert layer.bias is not None
            scale, shift = _affine(norm)
            self._folded = (layer.matrix() * scale, layer.bias + layer.matrix() @ shift)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (rows, in) to (rows, out)."""
        if self._folded is not None:
            return linear(rows, *self._folded)
        norm, layer = self
        return cast(Tensor, layer(norm(rows)))


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift of each channel that a batch norm in use amounts to."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale

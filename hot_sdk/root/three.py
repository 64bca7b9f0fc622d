"""Solve three equations of one frame, for which a call of LAPACK takes longer than its work."""

from __future__ import annotations

from collections.abc import Sequence

Row = Sequence[float]


def solve_three(matrix: Sequence[Row], right: Row) -> tuple[float, float, float]:
    """Solve a symmetric, positive definite system by its triangular factors.

    Args:
        matrix: Three rows of three, or more; what is below the diagonal is not read.
        right: Three numbers.
    """
    (a, b, c), (d, e), f = matrix[0][:3], matrix[1][1:3], matrix[2][2]
    x, y, z = right
    below, last = b / a, c / a
    second = d - below * b
    between = (e - last * b) / second
    third = f - last * c - between * between * second
    y -= below * x
    z = (z - last * x - between * y) / third
    y = y / second - between * z
    return x / a - below * y - last * z, y, z

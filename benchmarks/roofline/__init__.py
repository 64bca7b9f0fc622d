"""Roofline bounds: how fast a model can be at most on a board that is not at hand."""

from hot_sdk.benchmarks.roofline.boards import Board, Figure, board, list_boards
from hot_sdk.benchmarks.roofline.bound import Bound, Roof, bound

__all__ = ["Board", "Bound", "Figure", "Roof", "board", "bound", "list_boards"]

"""Upper bounds on throughput for boards you do not have."""

from hot_sdk.benchmarks.roofline.boards import Board, board, list_boards
from hot_sdk.benchmarks.roofline.bound import Bound, Roof, bound

__all__ = ["Board", "Bound", "Roof", "board", "bound", "list_boards"]

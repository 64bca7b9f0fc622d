"""Roofline bounds of what was measured, for other boards and for this machine."""

from __future__ import annotations

from hot_sdk.benchmarks.machine import MachineStamp
from hot_sdk.benchmarks.roofline import Board, bound
from hot_sdk.benchmarks.roofline.bound import Roof, cpu_roof
from hot_sdk.benchmarks.speed.profilers.graph_cost import GraphCost
from hot_sdk.benchmarks.speed.record import Projection

THIS_CPU = "this-cpu"


def project(
    graph: GraphCost,
    frames: int,
    precision: str,
    board: Board,
    stamp: MachineStamp,
    device: str,
) -> Projection | None:
    """The bound of a graph on a board; None where no figure of the board serves.

    Args:
        graph: Cost of one run.
        frames: Frames that one run gives.
        precision: Of the model.
        board: The board.
        stamp: The machine that measures, which may be that very board.
        device: That the model ran on; the bound is one of the board's GPU.
    """
    roof = board.roof(precision)
    if roof is None:
        return None
    here = device.startswith("cuda") and board.may_be(stamp.board, stamp.memory_mib)
    return _projection(graph, frames, roof[1], roof[0], (board.key, board.title, here))


def project_here(
    graph: GraphCost, frames: int, precision: str, stamp: MachineStamp
) -> Projection | None:
    """The bound of a graph on the CPU that measures; None where too little is known of it."""
    roof = cpu_roof(stamp, precision)
    if roof is None:
        return None
    title = f"{stamp.cpu}, {stamp.processors} CPUs, at twice the clock that it tells"
    return _projection(graph, frames, precision, roof, (THIS_CPU, title, True))


def _projection(
    graph: GraphCost, frames: int, precision: str, roof: Roof, board: tuple[str, str, bool]
) -> Projection:
    found = bound(
        roof,
        flops=graph.flops,
        least_bytes=graph.weight_bytes + graph.io_bytes,
        kernels=[(kernel.flops, kernel.bytes) for kernel in graph.kernels],
        precision=precision,
    )
    key, title, here = board
    return Projection(
        board=key,
        title=title,
        precision=precision,
        bound_ms=1e3 * found.seconds,
        derated_ms=1e3 * found.derated_seconds,
        frames_per_s=frames / found.seconds,
        derated_frames_per_s=frames / found.derated_seconds,
        limited_by=found.limited_by,
        is_this_machine=here,
    )

"""Tables of what times cost and bring: operations, energy, accuracy, blocks, bounds."""

from __future__ import annotations

from collections.abc import Sequence

from hot_sdk.benchmarks.speed.blocks import BLOCKS
from hot_sdk.benchmarks.speed.figures import KINDS, frames_per_s, served
from hot_sdk.benchmarks.speed.pareto import front
from hot_sdk.benchmarks.speed.result import Result
from hot_sdk.benchmarks.speed.sheet import NONE, Sheet, number


def cost_sheet(results: Sequence[Result]) -> Sheet:
    """Operations, and the machine's ceilings."""
    rows = []
    for result in results:
        cost, top = result.cost, result.ceiling
        if cost is None:
            continue
        achieved = None if top is None else top.achieved_flops_per_s
        ceiling = None if top is None else top.product_flops_per_s
        share = None if top is None else top.share_of_product
        copy = None if top is None else top.copy_bytes_per_s
        rows.append(
            (
                result.subject.name,
                number(cost.parameters / 1e6),
                number(cost.papers_flops / 1e9),
                number(cost.products_flops / 1e9),
                number(cost.executed_flops / 1e9),
                number(None if achieved is None else achieved / 1e9),
                number(None if ceiling is None else ceiling / 1e9),
                NONE if share is None else f"{share:.0%}",
                number(None if copy is None else copy / 1e9),
            )
        )
    return Sheet(
        "cost of a window, and what the machine can do at most",
        (
            "",
            "params M",
            "GFLOPs, papers",
            "GFLOPs, products",
            "GFLOPs, executed",
            "GFLOP/s",
            "ceiling GFLOP/s",
            "of ceiling",
            "copy GB/s",
        ),
        tuple(rows),
        "Papers count linear layers alone. The ceiling is the model's largest matrix product in the"
        " same precision through the same engine, measured in the same run; smaller products may"
        " run faster than it. The copy reads and writes main memory.",
    )


def energy_sheet(results: Sequence[Result]) -> Sheet:
    """Power and energy."""
    rows = []
    for result in results:
        energy = result.energy
        if energy is not None:
            cells = (energy.mean_w, energy.idle_w, 1e3 * energy.j_per_frame)
            each = energy.j_per_new_frame
            rows.append(
                (
                    result.subject.name,
                    *(number(value) for value in cells),
                    number(None if each is None else 1e3 * each),
                )
            )
    return Sheet(
        "power and energy of everything on the rail",
        ("", "mean W", "idle W", "mJ/frame", "mJ/new frame"),
        tuple(rows),
    )


def accuracy_sheet(results: Sequence[Result]) -> Sheet:
    """Accuracy beside speed."""
    best = front(results)
    rows = []
    for result in results:
        found = result.accuracy
        if found is not None:
            cells = (found.mpjpe_mm, found.p_mpjpe_mm, found.mpjve_mm_per_frame)
            rows.append(
                (
                    result.subject.name,
                    *(f"{value:.2f}" for value in cells),
                    number(frames_per_s(served(result))),
                    number(KINDS["latency"].of(result)),
                    "front" if result.subject.name in best else NONE,
                )
            )
    data = next(one.accuracy.data for one in results if one.accuracy is not None)
    return Sheet(
        f"accuracy on {data}, and speed",
        ("", "MPJPE mm", "P-MPJPE mm", "MPJVE mm/frame", "frames/s", "p95 ms", "Pareto"),
        tuple(rows),
        "On the front is what no other configuration beats in both MPJPE and frames a second.",
    )


def profile_sheet(results: Sequence[Result]) -> Sheet:
    """Time by block."""
    there = {
        share.name
        for result in results
        if result.profile is not None
        for share in result.profile.blocks
    }
    names = [name for name in BLOCKS if name in there]
    rows = []
    for result in results:
        profile = result.profile
        if profile is None or profile.problem:
            continue
        found = {share.name: share for share in profile.blocks}
        cells = (
            f"{found[name].ms:.3g} ({found[name].share:.0%})" if name in found else NONE
            for name in names
        )
        rows.append((result.subject.name, *cells, number(profile.run_ms)))
    return Sheet(
        "time by block in the engine, ms",
        ("", *names, "whole run"),
        tuple(rows),
        "Medians under the engine's profiler, which slows it down; the shares are what counts.",
    )


def projections_sheet(results: Sequence[Result]) -> Sheet:
    """Roofline bounds."""
    rows = []
    for result in results:
        name = result.subject.name
        for found in result.projections:
            measured = frames_per_s(result.measure("engine")) if found.is_this_machine else None
            rows.append(
                (
                    name,
                    found.title,
                    found.precision,
                    f"{found.bound_ms:.3g}",
                    number(found.frames_per_s),
                    number(found.derated_frames_per_s),
                    found.limited_by,
                    number(measured),
                )
            )
            name = NONE
    return Sheet(
        "roofline bounds: nothing here was measured but the last column",
        ("", "board", "in", "ms at least", "frames/s at most", "derated", "limit", "measured"),
        tuple(rows),
        "A bound says what cannot be exceeded, and not what is reached. Derated takes the shares of"
        " the peaks that others have measured, and a launch for each kernel.",
    )

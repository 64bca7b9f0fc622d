"""The families that can be exported, with what their published networks cost."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table

from hot_sdk.export.flops import count_network, count_parameters
from hot_sdk.export.models import family, list_models, resolve
from hot_sdk.export.options import Variant


@dataclass(frozen=True)
class Listed:
    """One published network.

    Attributes:
        family: Name of its family.
        size: Name of its size.
        variant: ``plain``, ``hot`` or ``tpc``.
        frames: Of a window.
        tokens: Frames kept; None where none is pruned.
        parameters: Trained numbers.
        flops_papers: Operations of one window, twice the multiply-accumulates of linear layers.
        flops_products: Of all matrix products.
        unit: Of the output.
        licence: Of code and weights.
        paper: The publication.
    """

    family: str
    size: str
    variant: str
    frames: int
    tokens: int | None
    parameters: int
    flops_papers: int
    flops_products: int
    unit: str
    licence: str
    paper: str


def list_networks() -> list[Listed]:
    """Every family in every published size, and in its default size with what it can prune."""
    found = []
    for name in list_models():
        entry = family(name)
        for number, size in enumerate(entry.sizes):
            variants = [Variant.PLAIN, *(entry.pruning if number == 0 else ())]
            for variant in variants:
                spec = resolve(name, size=size, variant=variant)
                flops = count_network(spec)
                found.append(
                    Listed(
                        family=name,
                        size=size,
                        variant=variant.value,
                        frames=spec.frames,
                        tokens=spec.tokens,
                        parameters=count_parameters(spec),
                        flops_papers=flops.papers,
                        flops_products=flops.products,
                        unit=entry.unit.value,
                        licence=entry.licence,
                        paper=entry.paper,
                    )
                )
    return found


def render(networks: list[Listed]) -> RenderableType:
    """As a table of figures and a list of sources."""
    table = Table(title="Published networks, one window")
    for name in ("family", "size", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("frames", "kept", "params M", "GFLOPs, papers", "GFLOPs, products"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    for listed in networks:
        table.add_row(
            listed.family,
            listed.size,
            listed.variant,
            str(listed.frames),
            "" if listed.tokens is None else str(listed.tokens),
            f"{listed.parameters / 1e6:.2f}",
            f"{listed.flops_papers / 1e9:.3f}",
            f"{listed.flops_products / 1e9:.3f}",
            listed.unit,
        )
    sources = {listed.family: f"{listed.paper}; {listed.licence}" for listed in networks}
    return Group(table, *(f"{name}: {source}" for name, source in sources.items()))


def as_dict(networks: list[Listed]) -> dict[str, object]:
    """As JSON holds it."""
    return {"networks": [dataclasses.asdict(listed) for listed in networks]}

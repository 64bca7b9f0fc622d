"""List the published networks, with what each costs; this loads neither torch nor onnx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hot_sdk._base.tables import Table
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import ModelSpec, family, list_models, resolve
from hot_sdk.export.models.published_costs import PUBLISHED_COSTS, NetworkCost


def list_networks() -> list[dict[str, Any]]:
    """List every family in every published size, and its default size in every variant.

    Returns:
        For each network its ``family``, ``size``, ``variant``, ``frames`` of a window, kept
        ``tokens`` (None if all are), ``parameters``, operations of one window (``flops_papers``:
        twice the multiply-accumulates of linear layers, ``flops_matmuls``: all matrix
        multiplications), the output's ``unit``, ``license`` of code and weights, and ``paper``.
    """
    found = []
    for name in list_models():
        entry = family(name)
        for number, size in enumerate(entry.sizes):
            for variant in entry.variants if number == 0 else (Variant.PLAIN,):
                spec = resolve(name, size=size, variant=variant)
                cost = cost_of(spec, size)
                found.append(
                    {
                        "family": name,
                        "size": size,
                        "variant": variant.value,
                        "frames": spec.frames,
                        "tokens": spec.tokens,
                        "parameters": cost.parameters,
                        "flops_papers": cost.papers,
                        "flops_matmuls": cost.matmuls,
                        "unit": entry.unit.value,
                        "license": entry.license,
                        "paper": entry.paper,
                    }
                )
    return found


def network_parts(networks: Sequence[dict[str, Any]]) -> list[str | Table]:
    """Return a table of costs and a paragraph of sources, narrow enough for 80 columns."""
    rows = [
        (
            *(network["family"], network["size"], network["variant"], str(network["frames"])),
            str(network["tokens"] or ""),
            f"{network['parameters'] / 1e6:.2f}",
            f"{network['flops_papers'] / 1e9:.3f}",
            f"{network['flops_matmuls'] / 1e9:.3f}",
        )
        for network in networks
    ]
    table = Table(
        "Published networks, one window",
        ("family", "size", "variant", "frames", "kept", "M params", "GFLOPs", "all GFLOPs"),
        tuple(rows),
        note="GFLOPs: as the papers count. All GFLOPs: all matrix multiplications.",
        text_columns=3,
    )
    sources = {
        each["family"]: f"{each['paper']}; {each['license']}; output in {each['unit']}"
        for each in networks
    }
    return [table, *(f"{name}: {source}" for name, source in sources.items())]


def cost_of(spec: ModelSpec, size: str) -> NetworkCost:
    """Return what a network of a published size costs; that of a new family is counted.

    Args:
        spec: The network.
        size: Name of its size.

    Raises:
        MissingDependencyError: It has to be counted, and a package for that is not installed.
    """
    known = PUBLISHED_COSTS.get((spec.family, size, spec.variant))
    return count_cost(spec) if known is None else known


def count_cost(spec: ModelSpec) -> NetworkCost:
    """Count what a network costs.

    Raises:
        MissingDependencyError: A package for that is not installed.
    """
    # Here, because counting imports torch and onnx.
    from hot_sdk.export.api import require_export_packages

    require_export_packages()
    from hot_sdk.export.graph.flops import count_network, count_parameters

    flops = count_network(spec)
    return NetworkCost(count_parameters(spec), flops.papers, flops.matmuls)

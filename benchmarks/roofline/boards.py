"""Peak figures of boards, from ``data/boards.json``, which holds the source of each.

The mark of a figure is ``S`` if it was found in a stored source, ``R`` if it was recalled and not
checked.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from typing import Any

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.roofline.bound import Roof
from hot_sdk.errors import UsageError

_FIGURES = {"fp32": ("fp32", "fp16"), "fp16": ("fp16",), "int8": ("int8", "fp16")}
"""The peaks that bound a network of each precision, the first that is known being used. A float32
network runs in float32; the peak of float16 is higher, so it stays a bound."""


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        key: Its key.
        title: Its name.
        device_tree: Part of the name in its device tree.
        memory_gb: Its memory, which distinguishes modules of one name.
        flops_per_s: Dense operations per second, by precision; unknown ones are left out.
        bytes_per_s: Bandwidth of its memory.
    """

    key: str
    title: str
    device_tree: str
    memory_gb: float
    flops_per_s: dict[str, float]
    bytes_per_s: float

    def may_be(self, name: str | None, memory_mib: int | None) -> bool:
        """Return True if a machine may be this board, in any power mode.

        Args:
            name: The name in the machine's device tree, or None.
            memory_mib: The memory that its kernel reports, somewhat less than the board's.
        """
        if name is None or memory_mib is None or self.device_tree not in name:
            return False
        return 0.75 < memory_mib / 1024.0 / self.memory_gb <= 1.0

    def roof(self, precision: str) -> tuple[Roof, str] | None:
        """Return the ceilings for a network's precision, and the precision that they are of.

        None if no figure of the board bounds such a network.
        """
        network = "fp16" if precision == "mixed" else precision.replace("+", "-").partition("-")[0]
        shares = derating()
        for name in _FIGURES.get(network, ()):
            if name in self.flops_per_s:
                roof = Roof(
                    flops_per_s=self.flops_per_s[name],
                    bytes_per_s=self.bytes_per_s,
                    compute_share=shares["compute"],
                    memory_share=shares["memory"],
                    launch_s=shares["launch_us"] / 1e6,
                )
                return roof, name
        return None


def list_boards() -> tuple[str, ...]:
    """Return the keys of all boards."""
    return tuple(_table()["boards"])


def board(key: str) -> Board:
    """Return the board of a key.

    Raises:
        UsageError: There is no such board.
    """
    table = _table()["boards"]
    if key not in table:
        raise UsageError(f"Unknown board '{key}'.", hint=closest(key, tuple(table)))
    entry = table[key]
    return Board(
        key=key,
        title=entry["title"],
        device_tree=entry["device_tree"],
        memory_gb=entry["memory_gb"]["value"],
        flops_per_s={
            name: figure["value"] * 1e12
            for name, figure in {**entry["tflops"], **entry["tops"]}.items()
            if figure is not None
        },
        bytes_per_s=entry["gb_per_s"]["value"] * 1e9,
    )


def derating() -> dict[str, float]:
    """Return the shares of the peaks that others measured, and ``launch_us`` of a kernel."""
    return {name: figure["value"] for name, figure in _table()["derating"].items()}


def _table() -> dict[str, Any]:
    file = importlib.resources.files("hot_sdk.benchmarks.roofline") / "data" / "boards.json"
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return table

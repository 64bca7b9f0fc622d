"""Peak figures of boards, each with where it comes from and how sure it is."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from typing import Any

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.roofline.bound import Roof
from hot_sdk.errors import UsageError


@dataclass(frozen=True)
class Figure:
    """One figure of a board.

    Attributes:
        value: The figure.
        mark: ``S``: found in a stored source. ``R``: recalled, not checked.
        source: Where it comes from.
    """

    value: float
    mark: str
    source: str


@dataclass(frozen=True)
class Board:
    """A board; None where a figure is not known.

    Attributes:
        key: Its key.
        title: Its name.
        device_tree: Part of the name in its device tree.
        memory_gb: Its memory, which tells modules of one name apart.
        flops_per_s: Dense operations a second, by precision.
        bytes_per_s: Of its memory.
    """

    key: str
    title: str
    device_tree: str
    memory_gb: float
    flops_per_s: dict[str, Figure]
    bytes_per_s: Figure

    def may_be(self, name: str | None, memory_mib: int | None) -> bool:
        """Whether a machine may be this board, in this power mode or another.

        Args:
            name: In its device tree, or None.
            memory_mib: What the kernel says that it has, somewhat less than the board's.
        """
        if name is None or memory_mib is None or self.device_tree not in name:
            return False
        return 0.75 < memory_mib / 1024.0 / self.memory_gb <= 1.0

    def roof(self, precision: str) -> tuple[Roof, str] | None:
        """Its ceilings for a precision, and the precision that they are for.

        A float32 network runs in float32; where that peak is not known, the one of float16 is
        taken, which is higher, so that it stays a bound. None where no figure serves.
        """
        wanted = "fp16" if precision == "mixed" else precision.partition("-")[0]
        order = {"fp32": ("fp32", "fp16"), "fp16": ("fp16",), "int8": ("int8", "fp16")}
        for name in order.get(wanted, ()):
            figure = self.flops_per_s.get(name)
            if figure is not None:
                shares = derating()
                return (
                    Roof(
                        flops_per_s=figure.value,
                        bytes_per_s=self.bytes_per_s.value,
                        compute_share=shares["compute"].value,
                        memory_share=shares["memory"].value,
                        launch_s=shares["launch_us"].value / 1e6,
                    ),
                    name,
                )
        return None


def list_boards() -> tuple[str, ...]:
    """Keys of all boards."""
    return tuple(_table()["boards"])


def board(key: str) -> Board:
    """A board by its key.

    Raises:
        UsageError: There is none.
    """
    table = _table()["boards"]
    if key not in table:
        raise UsageError(f"There is no board '{key}'.", hint=closest(key, tuple(table)))
    entry = table[key]
    flops = {
        name: Figure(figure["value"] * 1e12, figure["mark"], figure["source"])
        for name, figure in {**entry["tflops"], **entry["tops"]}.items()
        if figure is not None
    }
    memory = entry["gb_per_s"]
    return Board(
        key=key,
        title=entry["title"],
        device_tree=entry["device_tree"],
        memory_gb=entry["memory_gb"]["value"],
        flops_per_s=flops,
        bytes_per_s=Figure(memory["value"] * 1e9, memory["mark"], memory["source"]),
    )


def derating() -> dict[str, Figure]:
    """What of the peaks others have measured: ``compute``, ``memory``; and ``launch_us``."""
    return {name: Figure(**figure) for name, figure in _table()["derating"].items()}


def _table() -> dict[str, Any]:
    file = importlib.resources.files("hot_sdk.benchmarks.roofline") / "data" / "boards.json"
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return table

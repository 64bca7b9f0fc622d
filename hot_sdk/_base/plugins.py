"""Find what installed packages ship as entry points of a group: engines and detectors."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hot_sdk._base.optional import AGAIN
from hot_sdk.errors import HotSDKError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# Not the package's name, for which its whole description is parsed for each entry.
_OUR_MODULES = "hot_sdk."


@dataclass(frozen=True)
class PluginGroup:
    """A group of entry points, in which a package lists its objects by name.

    Attributes:
        group: Name of the group, as in a ``pyproject.toml``.
        kind: What its objects are called in errors.
        error: Raised if something is wrong with a package.
    """

    group: str
    kind: str
    error: type[HotSDKError]

    def entries(self) -> dict[str, EntryPoint]:
        """Return the entry points by name, ours first.

        Raises:
            HotSDKError: Two packages ship the same name, or none is found; of the class ``error``.
        """
        return self._entries_on(tuple(sys.path))

    def load(self, entry: EntryPoint) -> object:
        """Import the object of an entry point.

        Raises:
            HotSDKError: It cannot be imported; of the class ``error``.
        """
        try:
            return entry.load()
        except Exception as error:  # Someone else's module may raise anything.
            raise self.broken(entry, f"'{entry.value}' cannot be loaded ({error})") from error

    def broken(self, entry: EntryPoint, problem: str) -> HotSDKError:
        """Return the error that names the package of an entry point."""
        package = _package(entry)
        return self.error(
            f"The {self.kind} '{entry.name}' of the package '{package}' is broken: {problem}.",
            hint=f"Reinstall or uninstall '{package}'.",
        )

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def _entries_on(self, path: tuple[str, ...]) -> dict[str, EntryPoint]:
        """Return the entry points on a module search path."""
        # Here, because it costs a tenth of importing the engine, and imports the parser of e-mails.
        from importlib.metadata import entry_points

        found: dict[str, EntryPoint] = {}
        for entry in sorted(
            entry_points(group=self.group),
            key=lambda entry: (not entry.value.startswith(_OUR_MODULES), entry.name),
        ):
            other = found.setdefault(entry.name, entry)
            if other is not entry:
                raise self.error(
                    f"Two packages ship the {self.kind} '{entry.name}': '{_package(other)}' and"
                    f" '{_package(entry)}'.",
                    hint="Uninstall one of them.",
                )
        if not found:
            raise self.error(
                f"No {self.kind} is listed: the metadata of hot-sdk is missing.",
                hint=AGAIN,
            )
        return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"

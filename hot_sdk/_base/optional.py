"""Import optional packages, with an error that says how to install them."""

from __future__ import annotations

import importlib
from types import ModuleType

from hot_sdk.errors import MissingDependencyError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: Dotted name to import.
        extra: The extra of hot-sdk that installs it.
        purpose: The feature that needs it, as the subject of a sentence.

    Raises:
        MissingDependencyError: The package, or one that it depends on, cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library does not load.
        reason = " ".join(str(error).split())
        raise MissingDependencyError(
            f"{purpose} needs the package '{module}', which cannot be imported ({reason}).",
            hint=f'Run: pip install "hot-sdk[{extra}]"',
        ) from error

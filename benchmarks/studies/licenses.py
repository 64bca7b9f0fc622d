"""Print the license of every installed package; fail on the AGPL and on unknown ones.

What a package says of itself in its metadata: its license expression, else its classifiers, else
the first line of its license field. What it bundles is not in there: PyAV's wheels hold FFmpeg with
encoders under the GPL (see NOTICE).
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageMetadata, distributions

# What these packages do not say in their metadata, from the license files in them or their site.
KNOWN = {
    "atheris": "Apache-2.0",
    "hot-sdk": "Apache-2.0",
}
_REFUSED = re.compile(r"\bAGPL|Affero", re.IGNORECASE)
_SAYS_NOTHING = ("", "UNKNOWN", "License", "OSI Approved", "Other/Proprietary License")
_LONGEST = 80


def license_of(package: Distribution) -> str:
    """Return a package's license; empty if it is unknown."""
    about = package.metadata
    name = re.sub(r"[-_.]+", "-", about["Name"] or "").lower()
    classifiers = [
        value.rpartition(" :: ")[2]
        for value in about.get_all("Classifier") or ()
        if value.startswith("License ::")
    ]
    field = _first(about, "License").strip().partition("\n")[0]
    expression = _first(about, "License-Expression")
    found = (expression, "; ".join(classifiers), field, KNOWN.get(name))
    texts = [text for text in found if text and text not in _SAYS_NOTHING]
    return texts[0][:_LONGEST] if texts else ""


def _first(about: PackageMetadata, field: str) -> str:
    values: list[str] = about.get_all(field) or [""]
    return values[0]


def main() -> int:
    """Print a table; return 1 if a license is refused or unknown."""
    found = {
        package.metadata["Name"]: (package.version, license_of(package))
        for package in distributions()
        if package.metadata["Name"]
    }
    for name, (version, text) in sorted(found.items(), key=lambda entry: entry[0].lower()):
        print(f"{name:32} {version:20} {text or 'unknown'}")
    wrong = [name for name, (_, text) in found.items() if not text or _REFUSED.search(text)]
    if wrong:
        print(f"Refused or unknown: {', '.join(sorted(wrong))}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

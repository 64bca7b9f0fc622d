"""The list of licenses, on packages made for it."""

import sys
from importlib.metadata import PathDistribution

import licenses
import pytest


@pytest.fixture
def install(tmp_path, monkeypatch):
    def add(name, *lines):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines, ""])
        (folder / "METADATA").write_text(text)

    found = lambda: [PathDistribution(path) for path in tmp_path.glob("*.dist-info")]  # noqa: E731
    monkeypatch.setattr(licenses, "distributions", found)
    return add


def test_known_licenses_pass(install, capsys):
    install("a", "License-Expression: MIT")
    install("b", "Classifier: License :: OSI Approved :: BSD License")
    install("c", "License: Apache 2.0")
    install("hot_sdk")
    assert licenses.main() == 0
    out = capsys.readouterr().out.splitlines()
    shown = [line.split(maxsplit=2)[2] for line in out]
    assert shown == ["MIT", "BSD License", "Apache 2.0", "Apache-2.0"]


@pytest.mark.parametrize(
    "says",
    [
        "License-Expression: AGPL-3.0-only",
        "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
        "License: UNKNOWN",
        "Summary: says nothing",
    ],
)
def test_affero_and_unknown_licenses_fail(install, capsys, says):
    install("a", "License-Expression: MIT")
    install("wrong", says)
    assert licenses.main() == 1
    assert capsys.readouterr().err == "Refused or unknown: wrong\n"


def test_installed_packages_pass():
    assert "licenses" in sys.modules
    assert licenses.main() == 0

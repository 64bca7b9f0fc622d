"""The documentation builds as a site, and every link in it leads somewhere."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import hot_sdk
from hot_sdk import Pose3DEngine

ROOT = Path(__file__).parents[2]


PUBLIC = (
    "hot_sdk",
    "hot_sdk.benchmarks.evaluation",
    "hot_sdk.drawing",
    "hot_sdk.engines",
    "hot_sdk.export",
    "hot_sdk.readers",
    "hot_sdk.streams",
    "hot_sdk.video",
)
"""The packages whose names docs/compatibility.md promises to keep."""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with the package in one piece, which an editable installation leaves in several."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "hot_sdk").mkdir()
    names = ("hot_sdk.benchmarks", "hot_sdk.engines", "hot_sdk.export")
    parts = [Path(importlib.import_module(name).__file__).parent for name in names]
    for part in {
        path.name: path for path in (*Path(hot_sdk.__file__).parent.iterdir(), *parts)
    }.values():
        (folder / "hot_sdk" / part.name).symlink_to(part)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory, package):
    """The built site; mkdocs is strict about warnings."""
    folder = tmp_path_factory.mktemp("site")
    program = Path(sys.executable).with_name("mkdocs")
    ended = subprocess.run(
        [program, "build", "--strict", "-q", "-f", ROOT / "mkdocs.yml", "-d", folder],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(package)},
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def test_every_link_leads_to_a_page_and_a_place_in_it(site):
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 7
    looked_at = 0
    for page, text in pages.items():
        if page.name == "404.html":  # Its links are those of a server's root.
            continue
        for link in re.findall(r'href="([^"]+)"', text):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, place = link.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page.name}: {link}"
            if place and target in pages:
                assert f'id="{unquote(place)}"' in pages[target], f"{page.name}: {link}"
            looked_at += 1
    assert looked_at > 50


def test_the_reference_holds_the_docstrings(site):
    text = (site / "reference" / "lifting.html").read_text(encoding="utf-8")
    assert inspect.cleandoc(Pose3DEngine.__doc__).splitlines()[0] in text
    assert "first_inference_ms" in text


def test_the_reference_holds_every_public_name(site):
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("reference/*.html"))
    names = {name for package in PUBLIC for name in importlib.import_module(package).__all__}
    ids = set(re.findall(r'id="hot_sdk[\w.]*\.(\w+)"', pages))
    assert names - ids == set()
    assert len(names) > 55


def test_compatibility_promises_the_same_packages():
    promised = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert [name for name in PUBLIC if f"`{name}" not in promised] == []


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    docs = ROOT / "docs"
    assert sorted(listed) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))

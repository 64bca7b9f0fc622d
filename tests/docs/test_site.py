"""The documentation builds as a site, and every link in it leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; mkdocs is strict about warnings."""
    folder = tmp_path_factory.mktemp("site")
    program = Path(sys.executable).with_name("mkdocs")
    ended = subprocess.run(
        [program, "build", "--strict", "-q", "-f", ROOT / "mkdocs.yml", "-d", folder],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
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
    assert "A lifter that is loaded and ready" in text
    assert "first_inference_ms" in text

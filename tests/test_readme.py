"""What the README promises exists."""

import re
from pathlib import Path

import pytest

from hot_sdk.benchmarks.evaluation.cli import build_parser as eval_parser
from hot_sdk.benchmarks.speed.cli import build_parser as benchmark_parser
from hot_sdk.doctor.cli import build_parser as doctor_parser
from hot_sdk.export.cli import build_parser as export_parser
from hot_sdk.infer.cli import build_parser as infer_parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

PARSERS = (export_parser, infer_parser, eval_parser, benchmark_parser, doctor_parser)


def test_every_option_exists():
    known = set()
    for build_parser in PARSERS:
        known |= {flag for action in build_parser()._actions for flag in action.option_strings}
    ours = re.sub(r"pip (install|wheel) [^\n`]*", "", README)  # pip has options of its own.
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours))
    assert named - known == set()
    assert len(named) > 8


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_every_make_target_exists(target):
    assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_every_link_leads_somewhere(link):
    if link.startswith("https://"):
        return
    name, _, anchor = link.partition("#")
    assert (ROOT / name).exists()
    if anchor:
        page = (ROOT / (name or "README.md")).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        anchors = [re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-") for text in headings]
        assert anchor in anchors


@pytest.mark.parametrize("snippet", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_every_snippet_imports_what_exists(snippet):
    compile(snippet, "README.md", "exec")
    imports = [line for line in snippet.splitlines() if line.startswith(("import ", "from "))]
    assert imports
    exec("\n".join(imports), {})

"""The commands and links of the guides are real."""

import re
import shlex
from pathlib import Path

import pytest

from hot_sdk.benchmarks.evaluation.cli import build_parser as eval_parser
from hot_sdk.benchmarks.roofline import board
from hot_sdk.benchmarks.speed.cli import build_parser as benchmark_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PARSERS = {"hot-benchmark": benchmark_parser, "hot-eval": eval_parser}


def commands():
    """Every command of a page, and the page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        inline = re.findall(r"`(hot-[a-z]+ [^`]+)`", text)
        for line in [*"\n".join(blocks).splitlines(), *inline]:
            words = shlex.split(line, comments=True)
            if words and words[0] in PARSERS and len(words) > 1:
                yield page.name, words


@pytest.mark.parametrize(("page", "words"), list(commands()))
def test_every_command_is_understood(page, words):
    options = PARSERS[words[0]]().parse(words[1:])
    for key in getattr(options, "boards", ()):
        board(key)


def test_commands_are_found():
    assert len(list(commands())) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link

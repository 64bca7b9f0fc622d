import io
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hot_sdk._base import tables
from hot_sdk._base.tables import Table, number, print_report, report_text

SPEEDS = Table(
    "Speed",
    ("model", "frames/s", "latency ms"),
    (("mixste, 243 frames", "1034", "12.31"), ("a|b", "", "7")),
    note="One run.",
)
# As hot-export --list: more columns than a terminal has room for.
WIDE = Table(
    "",
    ("family", "size", "parameters M", "FLOPs G", "as papers count G", "paper", "license"),
    tuple(
        (family, "base", "33.784", "294.845", "277.248", "arXiv:2203.00859", "Apache-2.0")
        for family in ("mixste", "motionagformer", "motionbert")
    ),
    text_columns=2,
)


def drawn(table, width):
    file = io.StringIO()
    table.draw(Console(file=file, width=width, force_terminal=False))
    return file.getvalue()


def test_text_is_aligned():
    assert SPEEDS.to_text() == (
        "Speed\n"
        "model               frames/s  latency ms\n"
        "mixste, 243 frames      1034       12.31\n"
        "a|b                                    7\n"
        "One run."
    )


def test_text_without_header_starts_with_the_rows():
    assert Table("", ("", ""), (("cpu", "2"), ("gpu", "10"))).to_text() == "cpu   2\ngpu  10"


def test_markdown_escapes_cells():
    assert SPEEDS.to_markdown() == (
        "**Speed**\n\n"
        "| model | frames/s | latency ms |\n"
        "| --- | ---: | ---: |\n"
        "| mixste, 243 frames | 1034 | 12.31 |\n"
        "| a\\|b |  | 7 |\n\n"
        "One run."
    )


def test_html_escapes_cells():
    page = Table("<b>", ("a&b", "n"), (("<i>", "1"),), note="x<y").to_html()
    assert page == (
        "<h2>&lt;b&gt;</h2><table><thead><tr><th>a&amp;b</th><th>n</th></tr></thead>"
        "<tbody><tr><td>&lt;i&gt;</td><td>1</td></tr></tbody></table>"
        "<p class='note'>x&lt;y</p>"
    )
    assert Table("", ("", ""), ()).to_html() == "<table><tbody></tbody></table>"


def test_table_that_fits_is_one_piece():
    assert SPEEDS.fitted(80) == [SPEEDS]


def test_pieces_repeat_the_text_columns_and_share_the_title_and_note():
    first, *_, last = pieces = Table("T", WIDE.header, WIDE.rows, "N", 2).fitted(50)
    assert len(pieces) > 1
    assert [piece.title for piece in pieces] == ["T"] + [""] * (len(pieces) - 1)
    assert [piece.note for piece in pieces] == [""] * (len(pieces) - 1) + ["N"]
    assert all(piece.header[:2] == ("family", "size") for piece in pieces)
    assert sum((piece.header[2:] for piece in pieces), ()) == WIDE.header[2:]
    assert (first.rows[0][:2], last.rows[2][:2]) == (("mixste", "base"), ("motionbert", "base"))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_terminal_cuts_no_number(width):
    text = drawn(WIDE, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for cell in set(sum((row[2:] for row in WIDE.rows), ())):
        assert text.split().count(cell) == 3
    assert text.split().count("motionagformer") >= 1


@given(
    cells=st.lists(
        st.lists(st.from_regex(r"\A[0-9]{1,9}\Z"), min_size=9, max_size=9), min_size=1, max_size=3
    ),
    name=st.from_regex(r"\A[a-z]{1,30}( [a-z]{1,30}){0,3}\Z"),
    titles=st.lists(st.from_regex(r"\A[a-z]{1,12}( [a-z]{1,12}){0,2}\Z"), min_size=9, max_size=9),
)
def test_any_table_is_whole_on_80_columns(cells, name, titles):
    table = Table("", (name, *titles), tuple((name, *row) for row in cells))
    text = drawn(table, 80)
    assert max(map(len, text.splitlines())) <= 80
    numbers = sorted(re.findall(r"\d+", text))
    assert numbers == sorted(cell for row in cells for cell in row)


def test_report_separates_its_parts():
    parts = ["Head.", "", SPEEDS, "Tail."]
    assert report_text(parts) == f"Head.\n\n{SPEEDS.to_text()}\n\nTail.\n"


def test_report_in_a_pipe_is_plain(capsys):
    print_report(["Head.", SPEEDS])
    assert capsys.readouterr().out == report_text(["Head.", SPEEDS])


def test_report_on_a_terminal_fits_it(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    print_report(["Head.", "", WIDE])
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert shown.startswith("Head.\n\n")
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("294.845") == 3


def test_report_on_a_terminal_without_rich_is_plain(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(tables.importlib.util, "find_spec", lambda name: None)
    print_report([SPEEDS])
    assert capsys.readouterr().out == report_text([SPEEDS])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (1.23456, "1.235"),
        (999.94, "999.9"),
        (12345.6, "12346"),
        (-2e4, "-20000"),
    ],
)
def test_number_has_four_digits(value, text):
    assert number(value) == text

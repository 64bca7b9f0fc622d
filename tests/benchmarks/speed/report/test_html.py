"""The page, opened in a browser that has no network."""

import re
import shutil
import subprocess

import pytest
from benchmark_records import record, result

from hot_sdk.benchmarks.speed.metrics import parse_limit
from hot_sdk.benchmarks.speed.report.html import as_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
RECORD = record(
    result("plain", 30.0, mpjpe=36.0),
    result("hot <b>&", 12.0, mpjpe=37.0, ratio=0.5, seed=5),
)


def test_nothing_is_fetched_and_names_are_escaped():
    page = as_page(RECORD, (), None)
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert "http" not in markup
    assert "hot <b>&" not in markup
    assert "hot &lt;b&gt;&amp;" in markup
    assert not re.search(r"<script[^>]*\bsrc=", page)
    assert page.count("Plotly.newPlot(") == 4


def test_the_page_opens_with_the_decision_and_draws_the_budget():
    limits = [parse_limit(text, allow_baseline=False) for text in ("latency<20ms", "mpjpe<40mm")]
    page = as_page(RECORD, limits, None)
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    body = markup.partition("<h1>")[2]
    decision = body.index("For latency&lt;20ms and mpjpe&lt;40mm use hot")
    assert decision < body.index('id="budget0"') < body.index('id="pareto"') < body.index("<table")
    assert body.index("<table") < body.index("How it was measured") < body.index("hot-benchmark a.")
    # A line for each budget in its own figure, and in those that show the same.
    assert page.count('"type":"line"') == 4
    assert "white-space: pre-wrap" in page


def test_a_page_without_a_budget_opens_with_what_was_found():
    body = as_page(RECORD, (), None).partition("<h1>")[2]
    assert "MPJPE on starter-val: 36.00 mm (plain) to 37.00 mm" in body.partition("<script")[0]


def test_a_record_without_power_or_accuracy_has_fewer_figures():
    page = as_page(record(result("a", 10.0), power=None), (), None)
    assert [f'id="{name}"' in page for name in ("pareto", "latency", "blocks", "power")] == [
        False,
        True,
        True,
        False,
    ]


def test_a_browser_draws_every_figure_without_an_error(tmp_path):
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    page = tmp_path / "benchmark.html"
    page.write_text(as_page(RECORD, (), None), encoding="utf-8")
    ended = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=20000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    console = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
    drawn = ended.stdout
    for name in ("pareto", "latency", "blocks", "power"):
        part = drawn[drawn.index(f'id="{name}"') :]
        assert 'class="main-svg"' in part[: part.index("</svg>")]
    # The points of both configurations, and not only the axes.
    assert drawn.count('class="scatterlayer') >= 3
    assert drawn.count('class="trace bars"') >= 2

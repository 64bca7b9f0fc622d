"""The studies are command lines that hot-benchmark understands."""

from pathlib import Path

import pytest
import readme_tables

from hot_sdk.benchmarks.speed.cli import build_parser, options_of
from hot_sdk.benchmarks.speed.options import check_options


@pytest.mark.parametrize("study", readme_tables.studies(), ids=lambda study: study.name)
def test_every_study_is_a_command(study, tmp_path):
    options = build_parser().parse([*study.arguments, "--output-dir", str(tmp_path)])
    check_options(options_of(options, tmp_path))
    assert study.about.endswith((".", "?"))


def test_busy_machine_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(readme_tables, "busy_cpus", lambda machine: 1.5)
    assert readme_tables.main(["--only", "starter"]) == 8
    assert "The machine is busy (1.50 CPUs)" in capsys.readouterr().err


def test_unknown_study_is_refused(capsys):
    assert readme_tables.main(["--only", "weather"]) == 2
    assert "--only is 'weather'" in capsys.readouterr().err


def test_study_replaces_only_its_own_tables(tmp_path, capsys):
    page = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert readme_tables.with_tables(page, {}) == page
    second, third = readme_tables.studies()[1:3]
    assert f"## {third.title}\n\n{third.about}" in page
    once = readme_tables.with_tables(page, {third.title: f"## {third.title}\n\n| new |\n"})
    assert f"## {third.title}\n\n| new |\n\n## " in once
    assert f"## {second.title}\n\n{second.about}" in once
    assert "## How to read the tables" in once
    assert third.about not in once.partition(readme_tables.BEGIN)[2]
    found = readme_tables.with_findings(once, {third.title: f"### {third.title}\n\n- new\n"})
    assert f"### {third.title}\n\n- new\n\n### " in found
    assert found.index("- new") < found.index("## How to read the tables")
    assert readme_tables.with_findings(page, {}) == page
    first = readme_tables.with_tables(
        f"{readme_tables.BEGIN}{readme_tables.END}", {second.title: "## x\n"}
    )
    assert first == f"{readme_tables.BEGIN}\n\n## x\n\n{readme_tables.END}"
    plain = tmp_path / "plain.md"
    plain.write_text("# Nothing\n")
    assert readme_tables.main(["--only", "starter", "--page", str(plain)]) == 2
    assert "<!-- findings -->" in capsys.readouterr().err

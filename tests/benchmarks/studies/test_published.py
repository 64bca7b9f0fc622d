"""Published rows, measured end to end on tiny networks and data in the official layouts."""

import json
from dataclasses import replace
from pathlib import Path

import published
import pytest
import torch
from authors_rules import (
    H36M_LEFT,
    H36M_RIGHT,
    MPI_LEFT,
    MPI_RIGHT,
    MpiInf3dhpRules,
    Network,
    VideoPose3DRules,
)
from exported_models import FRAMES
from published import commands, reproduce, tables
from published_layouts import save_3dhp, save_h36m
from published_rows import NOT_RUN, ROWS
from small_networks import small_size

from hot_sdk.benchmarks.evaluation.cli import build_parser as eval_parser
from hot_sdk.benchmarks.evaluation.data_sets.human36m import load_human36m
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.cli import build_parser as export_parser
from hot_sdk.export.models import create_model, list_models


def row(name):
    return next(row for row in ROWS if row.name == name)


def small(one, **options):
    """The row of a network that exports in seconds."""
    settings = (f"{name}={value}" for name, value in small_size(one.family, **options).items())
    return replace(
        one, export=(*one.export, *(text for each in settings for text in ("--set", each)))
    )


def save_random_weights(folder, family, ratio=None, **settings):
    network = create_model(family, frames=FRAMES, ratio=ratio, **small_size(family, **settings))
    folder.mkdir()
    torch.save(random_state_dict(network), folder / "model_1_4097.pth")


@pytest.fixture
def places(tmp_path):
    for name in ("checkpoints", "data", "published"):
        (tmp_path / name).mkdir()
    return published.Places(
        tmp_path / "checkpoints", tmp_path / "data", tmp_path / "published", ("--threads", "1")
    )


class TestRows:
    def test_every_family_has_a_row(self):
        assert {one.family for one in ROWS} == set(list_models())

    @pytest.mark.parametrize("one", ROWS, ids=lambda one: one.name)
    def test_commands_are_understood(self, one, places):
        export, evaluate = commands(one, places, Path("model.onnx"))
        assert export_parser().parse(export).model == one.family
        assert eval_parser().parse(evaluate).protocol == one.protocol
        assert ("--flip" in export) + ("--flip" in evaluate) == 1

    def test_names_and_folders_differ(self):
        assert len({one.name for one in ROWS}) == len({one.folder for one in ROWS}) == len(ROWS)


class TestReproduce:
    def test_human36m_agrees_with_the_authors_rules(self, places, capsys):
        one = small(row("HoT w. MixSTE"), depth=4)
        folder = places.checkpoints / one.folder
        save_random_weights(folder, one.family, ratio=0.5, depth=4)
        save_h36m(places.data_root)
        outcome = reproduce(one, places)
        assert outcome.reason == ""
        rules = VideoPose3DRules()
        network = Network(places.output_dir / "hot_w_mixste.onnx", True, H36M_LEFT, H36M_RIGHT)
        clips = load_human36m(places.data_root, detections="cpn_ft_h36m_dbb")
        expected = rules.by_hand(network, clips, "hot")
        found = {name: outcome.headline[name] for name in rules.FIELDS}
        assert found == pytest.approx(expected, rel=2e-5)
        figures, operations, missing = tables([outcome])
        mpjpe = expected["mpjpe_mm"]
        assert figures.rows[0][3:] == ("41.0", f"{mpjpe:.2f}", f"{mpjpe - 41.0:+.2f}")
        assert operations.rows[0][:3] == ("HoT w. MixSTE", "GFLOPs", "167.52")
        assert {name for name, _, _ in missing.rows} == set(NOT_RUN)

    def test_3dhp_agrees_with_the_authors_rules(self, places):
        one = small(row("MotionAGFormer-S on MPI-INF-3DHP"))
        save_random_weights(places.checkpoints / one.folder, one.family)
        data, _ = save_3dhp(places.data_root)
        outcome = reproduce(one, places)
        assert outcome.reason == ""
        network = Network(next(places.output_dir.glob("*.onnx")), True, MPI_LEFT, MPI_RIGHT)
        expected = MpiInf3dhpRules().by_hand(network, data, confidence=True, normalized=True)
        found = {name: outcome.headline[name] for name in expected}
        assert found == pytest.approx(expected, rel=2e-5)
        measures = [line[1] for line in tables([outcome])[0].rows]
        assert measures == ["MPJPE, mm", "P-MPJPE, mm", "PCK150, %", "AUC, %"]

    def test_a_report_is_reused_until_something_changes(self, places, monkeypatch):
        one = row("HTNet, detected 2D")
        folder = places.checkpoints / one.folder
        folder.mkdir()
        (folder / "weights.pth").write_bytes(b"one")
        ran = []
        report = {"headline": "overall", "overall": {"mpjpe_mm": 50.0}}

        def command(arguments):
            ran.append(arguments)
            print(json.dumps(report))
            return 0

        monkeypatch.setattr(published, "hot_export", command)
        monkeypatch.setattr(published, "hot_eval", command)
        assert reproduce(one, places).report == report
        assert reproduce(one, places).report == report
        assert len(ran) == 2
        (folder / "weights.pth").write_bytes(b"two")
        reproduce(one, places)
        assert len(ran) == 4


class TestCommandLine:
    def test_rows_that_cannot_be_measured_say_why(self, places, capsys):
        broken = places.checkpoints / row("HTNet, true 2D").folder
        broken.mkdir()
        (broken / "weights.pth").write_bytes(b"not weights")
        options = ["--checkpoints", places.checkpoints, "--data-root", places.data_root]
        options += ["--only", "htnet", "--page", "page.md"]
        assert published.main([*map(str, options)]) == 1
        out = capsys.readouterr().out
        assert "There is no folder" in out
        assert "weights.pth" in out
        assert "hot-export --model htnet" in out
        page = Path("page.md").read_text()
        assert "**Not measured**" in page
        assert "| HTNet, detected 2D |" in page
        assert list(Path("published").iterdir()) == []

    def test_rejects_a_name_that_no_row_has(self, places, capsys):
        options = ["--checkpoints", places.checkpoints, "--data-root", places.data_root]
        assert published.main([*map(str, options), "--only", "nothing"]) == 2
        assert "HoT w. MixSTE" in capsys.readouterr().err

"""The study behind the model card, cut short."""

from types import SimpleNamespace

import starter_model
from starter_model import METRICS

from hot_sdk.export.pipeline import prepare
from hot_sdk.starter import starter_checkpoint
from hot_sdk.starter import starter_model as shipped_model


def test_measures_ratios_and_plots_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(starter_model, "RATIOS", (0.5, 1.0))
    monkeypatch.setattr(starter_model, "evaluate", lambda *_: dict.fromkeys(METRICS, 12.5))
    picture = tmp_path / "speed.png"
    options = ["--only", "ratios", "--rounds", "1", "--views", "1", "--figure", str(picture)]
    assert starter_model.main(options) == 0
    out = capsys.readouterr().out
    assert "12.50" in out
    assert "CPUs busy before the start" in out
    assert picture.stat().st_size > 5_000


def test_compares_sizes(monkeypatch, capsys):
    monkeypatch.setattr(starter_model, "SIZES", ((64, 2), (96, 4)))
    assert starter_model.main(["--only", "sizes", "--rounds", "1"]) == 0
    assert "1.76" in capsys.readouterr().out


def test_compares_trainings(monkeypatch, capsys):
    """All but tracing: the shipped file stands for those that the networks would become."""

    def prepared(request):
        assert prepare(request) is not None
        return SimpleNamespace(path=shipped_model())

    monkeypatch.setattr(starter_model, "export_model", prepared)
    monkeypatch.setattr(starter_model, "evaluate", lambda *_: dict.fromkeys(METRICS, 12.5))
    shipped = str(starter_checkpoint())
    others = ["--plain", shipped, "--frame-wise", shipped]
    assert starter_model.main(["--only", "trainings", *others]) == 0
    out = capsys.readouterr().out
    assert out.count("12.50") == 7 * len(METRICS)
    assert "pruned to 0.33, interpolated" in out


def test_runs_hot_eval_on_the_shipped_clips(tmp_path):
    found = starter_model.evaluate(shipped_model(), tmp_path, 1, ("--filter", "14_04"))
    assert set(METRICS) <= set(found)
    assert 5.0 < found["p_mpjpe_mm"] < found["mpjpe_mm"] < 100.0

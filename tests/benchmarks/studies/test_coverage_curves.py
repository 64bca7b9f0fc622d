"""The study of coverage, on a small network that states its spread and on made-up errors."""

import coverage_curves
import numpy as np
import pytest
from exported_models import small_request

from hot_sdk.benchmarks.evaluation.coverage import interval_width
from hot_sdk.export import export_model


def exported(path, **config):
    """Weights for PyTorch, which need no tracing."""
    export_model(small_request("mixste", output=path, engine="torch", config=config))
    return str(path)


def test_table_and_figure_of_a_model(capsys, tmp_path):
    model = exported(tmp_path / "told.safetensors", stem=16, conditions=5, spread=8)
    figure = tmp_path / "curves.png"
    arguments = [model, "--filter", "14_05-1", "--known", "gravity", "--figure", str(figure)]
    assert coverage_curves.main(arguments) == 0
    out = capsys.readouterr().out
    assert "told.safetensors, known: intrinsics and the direction of gravity" in out
    assert out.count(" of joints missing") == 2
    assert "rank correlation" in out
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_models_without_a_spread_are_refused(capsys, tmp_path):
    model = exported(tmp_path / "silent.safetensors")
    assert coverage_curves.main([model, "--filter", "14_05-1"]) == 2
    assert "'silent.safetensors' states no spread" in capsys.readouterr().err
    assert coverage_curves.main([model, "--filter", "14_99"]) == 2
    assert "No clip's name contains '14_99'" in capsys.readouterr().err


@pytest.fixture
def calibrated():
    random = np.random.default_rng(3)
    spread = random.uniform(5.0, 80.0, (20_000, 3)).astype(np.float32)
    ratio = np.abs(random.laplace(scale=-1.0 / np.log(0.32), size=spread.shape))
    return coverage_curves.Stated("made up", spread, ratio.astype(np.float32))


def test_curve_of_calibrated_errors_is_the_diagonal(calibrated):
    np.testing.assert_allclose(calibrated.curve(), coverage_curves._CURVE, atol=1.5)
    cells = dict(zip(coverage_curves.HEADER, calibrated.row(), strict=True))
    assert float(cells["68 %"]) == pytest.approx(68.0, abs=1.0)
    assert float(cells["spread mm"]) == pytest.approx(42.5, abs=1.0)
    assert 0.3 < float(cells["rank correlation"]) < 0.7
    assert interval_width(68.0) == 1.0


def test_rank_correlation_is_that_of_the_order(calibrated):
    exact = coverage_curves.Stated("exact", calibrated.spread, np.ones_like(calibrated.ratio))
    assert exact.rank_correlation() == pytest.approx(1.0)
    constant = np.full_like(calibrated.spread, 20.0)
    blind = coverage_curves.Stated("blind", constant, calibrated.ratio)
    assert abs(blind.rank_correlation()) < 0.05

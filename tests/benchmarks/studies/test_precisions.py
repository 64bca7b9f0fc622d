"""The study of precisions, on one small family, and on a starter that is not exported."""

from types import SimpleNamespace

import precisions
from precisions import Precision


def test_compares_precisions_of_a_family(monkeypatch, capsys):
    monkeypatch.setattr(precisions, "list_models", lambda: ["mixste"])
    monkeypatch.setattr(precisions, "PRECISIONS", (Precision.FP16,))
    size = {"width": 16, "depth": 2, "heads": 2, "mlp_hidden": 16}
    monkeypatch.setattr(precisions, "_SIZE", size)
    monkeypatch.setattr(precisions, "_FRAMES", 9)
    assert precisions.main(["--only", "families", "--markdown"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "MixSTE" in line]
    title, precision, *cells = (cell.strip() for cell in row.strip("|").split("|"))
    assert (title, precision) == ("MixSTE", "fp16")
    kept, joints, kept_as_gpu, joints_as_gpu = map(float, cells)
    assert min(kept, kept_as_gpu) > 90.0
    assert 0.0 < joints < 2.0
    assert 0.0 < joints_as_gpu < 2.0


def test_compares_the_starters_precisions_with_float32(monkeypatch, capsys):
    errors = iter([30.0, 30.03, 30.3, 30.6, 30.0])
    window = SimpleNamespace(frames_shared=0.975, mean_joint_error=0.00052)
    made = SimpleNamespace(windows=[window], reduced=None, file_bytes=7_100_000)
    metrics = {"p_mpjpe_mm": 24.0, "mpjve_mm_per_frame": 3.3}
    monkeypatch.setattr(precisions, "prepare", lambda _: None)
    monkeypatch.setattr(precisions, "export_onnx", lambda *_: made)
    monkeypatch.setattr(precisions, "evaluate", lambda *_: {"mpjpe_mm": next(errors), **metrics})
    assert precisions.main(["--only", "starter", "--markdown"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "97.5" in line]
    assert len(rows) == 5
    assert all("7.1" in row and "0.52" in row for row in rows)
    assert "+0.00" in rows[0]
    assert "+0.10" in rows[1]
    assert "+1.00" in rows[2]

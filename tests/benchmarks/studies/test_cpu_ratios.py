"""The study of ratios of processor time, with a clock of its own and on a small network."""

import functools

import cpu_ratios
from cpu_ratios import ExportRequest


def test_ratios_are_of_processor_time(monkeypatch):
    now = 0.0

    def take(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(cpu_ratios.time, "process_time", lambda: now)
    runs = {
        "before": functools.partial(take, 0.3),
        "after": functools.partial(take, 0.1),
        "slower": functools.partial(take, 0.6),
    }
    table = cpu_ratios.ratios_of(runs, 5)
    assert table.rows == (
        ("before", "300", "1.00 (1.00 to 1.00)"),
        ("after", "100", "3.00 (3.00 to 3.00)"),
        ("slower", "600", "0.50 (0.50 to 0.50)"),
    )


def test_compares_every_precision_in_every_engine(monkeypatch, capsys):
    size = {"width": 32, "depth": 2, "heads": 2, "mlp_hidden": 64}

    def small(family, **options):
        prune_at = None if options["ratio"] == 1.0 else 1
        options |= {"random_weights": True, "frames": 9, "config": size, "prune_at": prune_at}
        return ExportRequest(family, **options)

    monkeypatch.setattr(cpu_ratios, "ExportRequest", small)
    assert cpu_ratios.main(["--only", "published", "--rounds", "1", "--markdown"]) == 0
    rows = [
        line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if "|" in line
    ]
    engines = cpu_ratios.list_engines(opens="onnx", on_cpu=True)
    names = [
        f"{engine}, {precision}"
        for precision in ("fp32", "int8", "int8-dynamic")
        for engine in engines
    ]
    assert set(names) <= set(rows)
    assert sum("as it is" in row for row in rows) == 2
    assert any("PyTorch" in row for row in rows)

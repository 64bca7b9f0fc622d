"""``hot-benchmark`` on real files, in real processes. No test asserts a time."""

import csv
import io
import json
import signal
import subprocess
import sys

import pytest
from exported_models import export_case
from live_files import make_live_file

from hot_sdk._base.cli import INTERRUPTED
from hot_sdk._base.progress import Progress
from hot_sdk.benchmarks.speed.cli import main
from hot_sdk.benchmarks.speed.options import BenchmarkOptions
from hot_sdk.benchmarks.speed.plan import plan_configurations
from hot_sdk.benchmarks.speed.record import read_record
from hot_sdk.benchmarks.speed.report.text import as_csv, as_text

QUICK = ("--runs", "3", "--threads", "1", "--power", "off")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [export_case("mixste", name, tmp_path_factory).path for name in ("plain", "hot")]


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    """One run with everything in it, and its folder."""
    folder = tmp_path_factory.mktemp("benchmark")
    status = main(
        [
            *map(str, files),
            *QUICK,
            *("--hop", "2", "--lookahead", "3", "--profile", "--budget", "latency<1000s"),
            *("--roofline", "orin-nano-8gb,thor-t5000", "--output-dir", str(folder)),
            *("--format", "json,csv,md"),
        ]
    )
    assert status == 0
    return folder


@pytest.fixture(scope="module")
def record(made):
    return read_record(made / "benchmark.json")


def test_both_models_are_measured_in_every_way(record):
    assert [result.subject.name for result in record.results] == ["mixste-plain", "mixste-hot"]
    for result in record.results:
        assert {measure.name for measure in result.measures} == {
            "window",
            "engine",
            "stream",
            "push",
            "quiet_push",
        }
        for measure in result.measures:
            assert measure.statistics.count >= 3
            assert 0 < measure.statistics.median <= measure.statistics.p99
            assert measure.statistics.p99 <= measure.statistics.max
            assert measure.quantiles_ms[0] <= measure.quantiles_ms[100]
        assert result.measure("window").frames == result.subject.frames == 27
        assert result.measure("stream").frames == result.stream.hop == 2
        assert result.stream.lookahead == 3
        # A call is more than the engine's part of it.
        assert result.measure("window").statistics.min > result.measure("engine").statistics.min


def test_start_memory_and_cost_are_reported(record):
    for result in record.results:
        assert result.start.startup_ms > result.start.load_ms > 0
        assert result.start.build_ms is None
        if sys.platform == "linux":
            assert result.memory.base_mib < result.memory.loaded_mib <= result.memory.peak_mib
        assert result.cost.executed_flops > 0
        assert result.cost.kernels > 50
        assert result.subject.file_bytes > 1000
        assert len(result.subject.sha256) == 64


def test_the_machines_ceilings_are_measured(record):
    for result in record.results:
        ceiling = result.ceiling
        assert ceiling.problems == ()
        assert ceiling.product_flops_per_s <= ceiling.best_flops_per_s
        assert ceiling.copy_bytes_per_s > 0
        assert [one.form for one in ceiling.forms] == ["fp32"]
        assert ceiling.product_form == "fp32"
        assert sum(one.product.flops * one.product.count for one in ceiling.shapes) == (
            result.cost.executed_flops
        )
        assert all(one.ms > 0 for one in ceiling.shapes)
        for share in (ceiling.share_of_product, ceiling.share_of_shapes):
            assert share.rounds >= 6
            assert 0 < share.low <= share.value <= share.high
        above = [
            share
            for share in (ceiling.share_of_product, ceiling.share_of_shapes)
            if share.value > 1
        ]
        assert len(ceiling.explanations) == len(above)


def test_stages_are_reported(record):
    for result in record.results:
        names = {(stage.of, stage.name) for stage in result.stages}
        assert names == {
            (of, name)
            for of in ("window", "stream")
            for name in ("preparation", "inference", "stitching")
        }
        # A push without a run is not among those that are slowed by one.
        quiet, push = result.measure("quiet_push"), result.measure("push")
        assert quiet.statistics.count == push.statistics.count // 2
        assert quiet.statistics.min == push.statistics.min


def test_the_second_is_compared_with_the_first(record):
    first, second = record.results
    assert first.ratios == ()
    assert {ratio.measure for ratio in second.ratios} == {"window", "engine", "stream"}
    for ratio in second.ratios:
        assert ratio.reference == "mixste-plain"
        assert ratio.speed_up.low <= ratio.speed_up.value <= ratio.speed_up.high
        flops = first.cost.executed_flops / second.cost.executed_flops
        assert ratio.flops_ratio == pytest.approx(flops)
        assert ratio.efficiency == pytest.approx(ratio.speed_up.value / flops)


def test_the_profile_names_the_parts_of_the_network(record):
    plain, hot = (result.profile for result in record.results)
    assert [share.name for share in plain.blocks] == ["embedding", "spatial", "temporal", "head"]
    assert {"prune", "recover"} < {share.name for share in hot.blocks}
    assert sum(share.share for share in hot.blocks) == pytest.approx(1.0)
    assert hot.nodes_ms <= hot.run_ms


def test_the_bound_of_this_cpu_lies_above_what_was_measured(record):
    for result in record.results:
        boards = {projection.board: projection for projection in result.projections}
        assert set(boards) >= {"orin-nano-8gb", "thor-t5000"}
        for projection in boards.values():
            assert projection.derated_frames_per_s <= projection.frames_per_s
        here = boards.get("this-cpu")
        if here is None:
            pytest.skip("this CPU does not report its clock")
        assert here.is_this_machine
        measured = result.measure("engine").statistics.min
        assert here.bound_ms < measured


def test_a_record_reads_back_and_gives_every_report(record, made):
    text = as_text(record, ())
    assert "mixste-hot" in text
    assert "not measured (it was not requested)" in text
    markdown = (made / "benchmark.md").read_text()
    assert markdown.startswith("```console\nhot-benchmark ")
    assert "For latency<1000s use" in markdown.partition("**one window")[0]
    assert "| mixste-hot |" in markdown
    rows = list(csv.DictReader(io.StringIO((made / "benchmark.csv").read_text())))
    assert [row["name"] for row in rows] == ["mixste-plain", "mixste-hot"]
    assert float(rows[1]["speed_up"]) > 0
    assert float(rows[0]["frames_per_s"]) > 0
    assert as_csv(record) == (made / "benchmark.csv").read_text()


def test_rejects_broken_records(made, capsys):
    broken = made / "broken.json"
    data = json.loads((made / "benchmark.json").read_text())
    del data["machine"]["cpu"]
    broken.write_text(json.dumps(data))
    assert main(["any.onnx", "--compare", str(broken)]) == 11
    assert "machine.cpu is missing" in capsys.readouterr().err
    data["schema"] = 99
    broken.write_text(json.dumps(data))
    assert main(["any.onnx", "--compare", str(broken)]) == 11
    assert "version 99" in capsys.readouterr().err


def test_json_is_the_record_alone(files, capsys):
    status = main([str(files[1]), *QUICK, "--measure", "window", "--json"])
    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    record = json.loads(printed.out)
    assert record["schema"] == 2
    assert [one["name"] for one in record["results"][0]["measures"]] == ["window", "engine"]


def test_a_limit_that_is_met_fails_the_run(files, made, capsys):
    command = [str(files[1]), *QUICK, "--measure", "window"]
    assert main([*command, "--fail-if", "memory>1MiB"]) == 16
    assert "failed: mixste-hot" in capsys.readouterr().err
    compared = [*command, "--compare", str(made / "benchmark.json")]
    # Three runs allow no verdict, whatever the limit.
    assert main([*compared, "--fail-if", "frames_per_s<0.000001*old"]) == 18
    printed = capsys.readouterr()
    assert "only in the earlier record: mixste-plain" in printed.out
    assert "no verdict: mixste-hot, frames_per_s" in printed.err
    assert "busy" in printed.err or "too few runs to tell" in printed.err


def test_a_file_is_measured_against_another(files, tmp_path, capsys):
    new, old = str(files[1]), str(files[0])
    command = [new, "--against", old, "--runs", "8", "--threads", "1", "--power", "off"]
    command += ["--measure", "window", "--output-dir", str(tmp_path), "--format", "json,html"]
    status = main([*command, "--fail-if", "frames_per_s<0.000001*old"])
    printed = capsys.readouterr()
    record = read_record(tmp_path / "benchmark.json")
    assert record.settings.order == ("mixste-plain", "mixste-hot")
    assert record.settings.against == "mixste-plain"
    assert {ratio.reference for ratio in record.results[1].ratios} == {"mixste-plain"}
    assert "compared with mixste-plain, which ran in turn with it" in printed.out
    # Turns are few if one run is longer than a turn, as on a busy machine.
    rounds = record.results[1].ratios[0].speed_up.rounds
    assert status == (0 if rounds >= 6 else 18), printed.err
    assert main([new, "--against", new]) == 2
    assert "compared with itself" in capsys.readouterr().err


def test_several_streams_of_one_file_are_measured(files, tmp_path, capsys):
    command = [str(files[1]), *QUICK, "--hop", "1,3", "--lookahead", "2", "--people", "2"]
    command += ["--budget", "per_new_frame<0.000001ms", "--budget", "delay<10s"]
    assert main([*command, "--output-dir", str(tmp_path)]) == 0
    first, second = read_record(tmp_path / "benchmark.json").results
    assert [first.subject.name, second.subject.name] == ["mixste-hot hop 1", "mixste-hot hop 3"]
    assert first.measure("window") is not None
    assert {one.name for one in second.measures} == {"stream", "push", "quiet_push"}
    assert (first.stream.people, second.stream.hop, second.stream.lookahead) == (2, 3, 2)
    assert first.ceiling is not None
    assert second.ceiling is None
    out = capsys.readouterr().out
    assert "Nothing keeps per_new_frame<0.000001ms and delay<10s" in out


def test_starts_are_timed(files, tmp_path):
    command = [str(files[1]), "--runs", "1", "--threads", "1", "--power", "off"]
    command += ["--measure", "window,start", "--output-dir", str(tmp_path)]
    assert main(command) == 0
    (result,) = read_record(tmp_path / "benchmark.json").results
    start = result.measure("start")
    stages = [stage for stage in result.stages if stage.of == "start"]
    assert [one.name for one in stages] == ["python", "imports", "load", "first poses"]
    assert all(one.statistics.min > 0 for one in stages)
    assert sum(one.statistics.mean for one in stages) == pytest.approx(start.statistics.mean)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.onnx"], "There is no file 'missing.onnx'"),
        (["mixst"], "Did you mean 'mixste'?"),
        (["FILE", "--ratios", "0.5"], "only files were given"),
        (["FILE", "--engines", "onnxruntim"], "Did you mean 'onnxruntime'?"),
        (["FILE", "--devices", "tpu"], "Unknown device"),
        (["FILE", "--duration", "1", "--runs", "2"], "Both --duration and --runs"),
        (["FILE", "--runs", "0"], "expected more than 0"),
        (["FILE", "--hop", "0"], "--hop is 0; expected more than 0"),
        (["FILE", "--lookahead", "-1"], "--lookahead is -1; expected 0 or more"),
        (["FILE", "--format", "html"], "Reports need a folder"),
        (["FILE", "--output-dir", ".", "--format", "pdf"], "Unknown format"),
        (["FILE", "--power", "sun"], "--power is 'sun'; expected one of"),
        (["FILE", "--roofline", "orin-nano-8"], "Unknown board"),
        (["FILE", "--hop", "two"], "invalid list of int value"),
        (["FILE", "--largest-batch", "0"], "largest_batch is 0"),
        (["FILE", "--measure", "windows"], "Unknown measure"),
        (["FILE", "--fail-if", "latency<1.1*old"], "Add --compare"),
        (["FILE", "--against", "old.onnx"], "There is no file 'old.onnx'"),
        (["FILE", "--against", "FILE"], "compared with itself"),
        (["FILE", "--against", "FILE", "--compare", "a.json"], "Both --compare and --against"),
        (["FILE", "--people", "0"], "--people is 0; expected more than 0"),
        (["FILE", "--hop", ","], "A list is empty"),
        (["FILE", "--stream-accuracy"], "Add --data"),
        (["FILE", "--views", "1"], "apply only to a data set"),
        (["mixste", "--ratios", "1.5"], "at most 1"),
    ],
)
def test_wrong_arguments_end_in_one_line(files, capsys, arguments, said):
    given = [str(files[0]) if word == "FILE" else word for word in arguments]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_rejects_a_batch_other_than_the_files(files, capsys):
    assert main([str(files[0]), *QUICK, "--batch", "2"]) == 2
    assert "lifts 1 windows in one run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tpc", "hot-flip-batch-any"])
def test_other_kinds_of_files_are_measured(name, tmp_path_factory, capsys):
    path = export_case("mixste", name, tmp_path_factory).path
    batch = ("--batch", "2", "--largest-batch", "1") if "any" in name else ()
    assert main([str(path), *QUICK, *batch, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (result,) = record["results"]
    window = result["measures"][0]
    if name == "tpc":
        assert (window["windows"], window["frames"]) == (1, 1)
        assert (result["stream"]["hop"], result["stream"]["lookahead"]) == (1, 13)
    else:
        assert (window["windows"], window["frames"]) == (2, 54)


def test_the_largest_batch_reaches_every_child(files, tmp_path):
    options = BenchmarkOptions(models=(str(files[0]),), folder=tmp_path, largest_batch=3)
    (one,) = plan_configurations(options, Progress("planning"))
    assert one.task.largest_batch == 3


def test_single_frames_are_measured(tmp_path_factory, capsys):
    path = export_case("htnet", "plain", tmp_path_factory).path
    assert main([str(path), *QUICK, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["measures"][0]["frames"], result["stream"]["lookahead"]) == (1, 0)


def test_a_live_network_costs_a_run_for_each_new_frame(tmp_path, capsys):
    path = tmp_path / "live.onnx"
    make_live_file(path, lookahead=1)
    assert main([str(path), *QUICK, "--budget", "per_new_frame<100s", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [one["name"] for one in result["measures"]] == ["stream", "push"]
    stream = result["stream"]
    assert (stream["live"], stream["hop"], stream["lookahead"]) == (True, 1, 1)
    assert result["start"]["first_inference_ms"] > 0


def test_robots_need_only_numpy_onnxruntime_and_rich(files):
    program = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxscript', 'scipy', 'pandas', 'plotly', 'cv2', 'jtop'):\n"
        "    sys.modules[name] = None\n"
        "from hot_sdk.benchmarks.speed.cli import main\n"
        f"status = main([{str(files[1])!r}, *{QUICK!r}, '--profile', '--roofline', 'thor-t5000',"
        " '--output-dir', '.', '--format', 'json,csv,md'])\n"
        "print(status, *sorted({name.partition('.')[0] for name, module in sys.modules.items()"
        " if module is not None and 'site-packages' in (getattr(module, '__file__', '') or '')}))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
    )
    status, *packages = ended.stdout.strip().rpartition("\n")[2].split()
    assert status == "0", ended.stderr
    # Nothing but these, in the parent process; its children load onnxruntime.
    assert {name for name in packages if not name.startswith("__editable__")} <= {
        "hot_sdk",
        "numpy",
        "onnxruntime",
        "rich",
        "pygments",
        "markdown_it",
        "mdurl",
        "packaging",
        "_distutils_hack",
        "distutils-precedence",
    }


def test_a_family_without_torch_is_one_line_with_the_extra():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from hot_sdk.benchmarks.speed.cli import main\n"
        "sys.exit(main(['mixste', '--ratios', '1']))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    assert 'pip install "hot-sdk[export]"' in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_ctrl_c_reports_what_was_measured(files, tmp_path):
    # A shell's background jobs ignore Ctrl-C, and their child processes inherit that.
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from hot_sdk.benchmarks.speed.cli import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", program, str(files[1]), "--runs", "1000000000"]
    with subprocess.Popen(
        [*command, "--threads", "1", "--output-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # The second round begins when everything was measured once.
        assert any("measuring, round 2" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        # The limit only ends a test that has failed already.
        out, _ = process.communicate(timeout=600)
    assert process.returncode == INTERRUPTED
    record = read_record(tmp_path / "benchmark.json")
    assert record.interrupted
    assert record.results[0].measure("window").statistics.count >= 1
    assert "It was interrupted" in out

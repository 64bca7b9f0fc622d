"""The self-test of a board: on this machine, on the fake GPU, and its report.

The fake GPU is the CUDA driver of ``tests/engines/tensorrt``, with real PyCUDA; its TensorRT has
ONNX Runtime compute the networks. What that shows is that every check runs and that a fault is
found, and nothing of how a board behaves.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_gpu import child_environment
from faked_machines import ABSENT, faked, jetson
from onnx import TensorProto, helper
from small_models import finish_model, make_affine

from hot_sdk.doctor import self_test
from hot_sdk.doctor.cli import main
from hot_sdk.doctor.self_test import MODELS, model_file, models, run_self_test
from hot_sdk.doctor.self_test.kept_frames import with_kept_frames
from hot_sdk.doctor.self_test.report import (
    CheckStatus,
    load,
    save,
    tables,
    to_json,
    without_paths,
)
from hot_sdk.doctor.self_test.trtexec import parse_trtexec
from hot_sdk.engines import SessionOptions, TensorSpec, open_session
from hot_sdk.engines.tensorrt.precision import LayerReport, parse_layers, precision_mismatch
from hot_sdk.errors import UsageError
from hot_sdk.host.machine import ProgramResult, run_program, this_machine
from hot_sdk.manifest import (
    CONDITION_NAMES,
    CONDITIONS,
    KEYPOINTS,
    POSES,
    SPREAD,
    TOKEN_INDEX,
    read_manifest,
)
from hot_sdk.starter import starter_model

REPORTS = sorted((Path(__file__).parent / "data").glob("self_test_*.json"))
"""As boards send them; the first is of the fake GPU."""

EVERY_REPORT = pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
PASSED, FAILED, NOT_RUN = CheckStatus


def with_environment(environment, only=None, **of_checks):
    """This machine, whose children have other variables; more of them in single checks."""

    def run(command, seconds):
        check = command[3]
        if only is not None and check not in only:
            return ProgramResult(0, '{"not run": "left out", "providers": []}', "")
        more = {**environment, **of_checks.get(check, {})}
        setting = [f"{name}={value}" for name, value in more.items()]
        return run_program(["env", *setting, *command], seconds)

    return dataclasses.replace(this_machine(), run=run)


def by_name(report):
    return {check.name: check for check in report.checks}


@pytest.fixture(scope="module")
def environment(fake_driver, fake_pycuda):
    return child_environment(fake_driver, fake_pycuda) | {
        "PYTHONWARNINGS": "error",
        "FAKE_CUDA_INTEGRATED": "1",
    }


@pytest.fixture(scope="module")
def on_the_fake_gpu(environment):
    """A report of the two files that differ most."""
    slow = {"FAKE_TENSORRT_STEPS": "300", "FAKE_TENSORRT_STEP_S": "0.01"}
    machine = with_environment(environment, interrupted_build=slow)
    return run_self_test(machine, models=("fp32", "int8+fp16"))


def test_every_check_passes_on_the_fake_gpu(on_the_fake_gpu):
    statuses = {name: check.status for name, check in by_name(on_the_fake_gpu).items()}
    witnesses = [name for name in statuses if name.startswith("trtexec")]
    assert [statuses.pop(name) for name in witnesses] == [NOT_RUN] * 2
    details = {name: check.detail for name, check in by_name(on_the_fake_gpu).items()}
    assert set(statuses.values()) == {PASSED}, details
    assert len(statuses) == 11
    gpu = on_the_fake_gpu.gpu
    assert (gpu.name, gpu.capability, gpu.multiprocessors) == ("Fake GPU", "8.7", 8)


def test_figures_on_the_fake_gpu(on_the_fake_gpu):
    figures = by_name(on_the_fake_gpu)["tensorrt int8+fp16"].figures
    assert figures.engine == "tensorrt 10.3.0"
    assert (figures.cuda_graph, figures.zero_copy) == (True, True)
    assert (figures.graph_difference, figures.copy_difference) == (0.0, 0.0)
    assert (figures.runs, figures.runs_equal, figures.frames_shared) == (100, 100, 1.0)
    assert 0 <= figures.mean_error < 1e-2
    assert 0 < figures.median_ms <= figures.p99_ms
    assert parse_layers(figures.inspector).types == {"fp16": 1, "fp32": 1, "int8": 1}


def test_a_live_network_remembers_on_the_fake_gpu(on_the_fake_gpu):
    figures = by_name(on_the_fake_gpu)["tensorrt starter-live"].figures
    assert (figures.cuda_graph, figures.zero_copy) == (True, True)
    assert (figures.runs, figures.runs_equal) == (300, 300)
    assert 0 <= figures.mean_error <= figures.largest_error < 1e-4
    assert figures.others_error < 1e-4


def test_faults_of_a_live_network_are_found(environment):
    noisy = {"FAKE_TENSORRT_NOISE": "0.2"}
    report = run_self_test(with_environment(environment, only=("gpu", "live"), live=noisy))
    detail = by_name(report)["tensorrt starter-live"].detail
    assert "joints are" in detail
    assert "another output is" in detail
    assert report.failed == ("tensorrt starter-live",)


def test_faults_are_found(environment):
    machine = with_environment(
        environment,
        only=("gpu", "tensorrt", "left_open"),
        tensorrt={"FAKE_CUDA_BYTES": "3000"},
        left_open={"FAKE_TENSORRT_NULL": "Runtime"},
    )
    report = run_self_test(machine, models=("fp32",))
    checks = by_name(report)
    assert "out of memory" in checks["tensorrt fp32"].detail
    assert "creates no runtime" in checks["tensorrt left open"].detail
    assert report.failed == ("tensorrt fp32", "tensorrt left open")


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A file of two inputs and of outputs that differ from those that ship, in their place.

    It keeps five frames of nine, by keypoints and conditions, and does not return which.
    """

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def numbers(name, *values):
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", [KEYPOINTS, "all"], ["moved"], keepdims=0),
            helper.make_node("ReduceSum", [CONDITIONS, "last"], ["known"], keepdims=0),
            helper.make_node("Add", ["moved", "known"], ["score"]),
            helper.make_node("TopK", ["score", "five"], ["best", "rank"], axis=1),
            helper.make_node("Reshape", ["rank", "flat"], ["kept"]),
            helper.make_node("Gather", [KEYPOINTS, "kept"], ["chosen"], axis=1),
            helper.make_node("ReduceSum", ["chosen", "last"], ["depth"], keepdims=1),
            helper.make_node("Concat", ["chosen", "depth"], [POSES], axis=3),
            helper.make_node("Abs", [POSES], [SPREAD]),
        ],
        "told",
        [value(KEYPOINTS, 1, 9, 17, 2), value(CONDITIONS, 1, 9, 4)],
        [value(POSES, 1, 5, 17, 3), value(SPREAD, 1, 5, 17, 3)],
        [numbers("all", 2, 3), numbers("last", -1), numbers("five", 5), numbers("flat", -1)],
    )
    manifest = read_manifest(model_file("fp32"))
    manifest = dataclasses.replace(manifest, conditions=CONDITION_NAMES[:4], spread=True)
    path = tmp_path / "told.onnx"
    path.write_bytes(finish_model(graph, manifest.to_metadata()).SerializeToString())
    monkeypatch.setattr(self_test, "model_file", lambda _: path)
    return path


def test_every_input_and_output_is_compared(environment, told):
    figures = models.onnxruntime(told, Path("cpu"))["figures"]
    assert (figures["frames_shared"], figures["others_error"]) == (1.0, 0.0)
    noisy = {"FAKE_TENSORRT_NOISE": "0.1"}
    machine = with_environment(environment, only=("gpu", "tensorrt"), tensorrt=noisy)
    check = by_name(run_self_test(machine, models=("fp32",)))["tensorrt fp32"]
    assert check.status is FAILED
    for problem in ("joints are", "of the kept frames are the same", "another output is"):
        assert problem in check.detail
    assert check.figures.frames_shared < 1.0
    assert check.figures.others_error > 0.05


def test_the_kept_frames_of_the_starter_are_compared():
    manifest = read_manifest(starter_model())
    made = with_kept_frames(starter_model().read_bytes(), manifest.tokens)
    assert made is not None, "the self-test finds no kept frames in the model that ships"
    content, name = made
    with open_session(content, SessionOptions(threads=1)) as session:
        assert session.outputs[-1] == TensorSpec(name, (manifest.tokens,), "int64")
        kept = session.run(models.sample(starter_model()))[name]
    assert len(set(kept)) == manifest.tokens
    assert 0 <= kept.min() < kept.max() < manifest.frames
    # Files that return them, to the same effect.
    for precision in MODELS[:3]:
        path = model_file(precision)
        content, name = with_kept_frames(path.read_bytes(), 5)
        with open_session(content) as session:
            outputs = session.run(models.sample(path))
        np.testing.assert_array_equal(outputs[name], outputs[TOKEN_INDEX][0])
    assert with_kept_frames(make_affine().SerializeToString(), 5) is None


def test_the_compiler_takes_a_file_that_returns_its_kept_frames():
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no wheel for this platform")
    from tensorrt_compiler import compiled

    content, _ = with_kept_frames(model_file("int8+fp16").read_bytes(), 5)
    assert len(compiled(content)) > 10_000


def test_a_board_is_named_with_its_release_and_nothing_else():
    name = "NVIDIA Jetson Orin Nano Developer Kit"
    machine = jetson("36.4.3", {"proc/device-tree/serial-number": "1423521"}, model=name)
    assert run_self_test(machine, models=("fp32",)).board == f"{name}, JetPack 6.2 (L4T 36.4.3)"


def test_without_a_gpu_the_rest_runs(environment):
    machine = with_environment({**environment, "FAKE_CUDA_DEVICES": "0"})
    report = run_self_test(machine, models=("fp16",))
    checks = by_name(report)
    assert checks["onnxruntime cpu fp16"].status is PASSED
    assert checks["tensorrt gpu"].status is NOT_RUN
    assert "no CUDA-capable device" in checks["tensorrt gpu"].detail
    assert checks["tensorrt fp16"].detail == "see 'tensorrt gpu'"
    assert report.failed == ()
    assert report.gpu is None


def test_a_crash_is_a_finding():
    for result, said in (
        (ProgramResult(-11, "", ""), "it crashed with SIGSEGV"),
        (ProgramResult(-6, '{"found": "all well", "problems": []}\n', ""), "SIGABRT"),
        (ProgramResult(None, "", "no answer within 300 s"), "no answer"),
        (ProgramResult(0, "not JSON", ""), "status 0"),
        (ABSENT, "No such file"),
    ):
        machine = faked(run=lambda command, seconds, result=result: result)
        report = run_self_test(machine, models=("fp32",))
        gpu = by_name(report)["tensorrt gpu"]
        assert gpu.status is FAILED
        assert said in gpu.detail
        assert by_name(report)["tensorrt fp32"].status is NOT_RUN


def test_the_files_are_small_and_in_the_precisions_that_they_name():
    files = [model_file(name) for name in MODELS[:3]]
    assert sum(file.stat().st_size for file in files) < 200 << 10
    assert model_file("starter").is_file()


def test_a_board_needs_neither_torch_nor_onnx():
    program = (
        "import json, sys\n"
        "for name in ('torch', 'onnx', 'onnxscript', 'pytest', 'scipy', 'hot_sdk.export'):\n"
        "    sys.modules[name] = None\n"
        "import hot_sdk.engines.tensorrt, hot_sdk.doctor.self_test.child\n"
        "hot_sdk.doctor.self_test.child.main()\n"
    )
    command = [sys.executable, "-c", program, "onnxruntime", str(model_file("fp16")), "cpu"]
    answer = json.loads(run_program(command, 60.0).stdout)
    assert answer["problems"] == []
    assert answer["figures"]["frames_shared"] == 1.0


def test_command_line(capsys, monkeypatch):
    monkeypatch.setitem(self_test.run_self_test.__kwdefaults__, "models", ("fp32",))
    assert main(["--self-test", "--output", "report.json"]) == 0
    said = capsys.readouterr().out
    assert "onnxruntime cpu fp32" in said
    assert "nothing of TensorRT ran" in said
    report = load(Path("report.json"))
    assert by_name(report)["onnxruntime cpu fp32"].status is PASSED
    assert main(["--output", "report.json"]) == 2


def test_a_report_is_read_back_as_it_was_written(on_the_fake_gpu):
    path = Path("report.json")
    save(on_the_fake_gpu, path)
    read = load(path)
    assert [check.figures for check in read.checks] == [
        check.figures for check in on_the_fake_gpu.checks
    ]
    assert to_json(read) == to_json(on_the_fake_gpu)
    for wrong in ("{", "{}", "[]", path.read_text().replace('"schema": 1', '"schema": "1"')):
        path.write_text(wrong)
        with pytest.raises(UsageError, match="not a report"):
            load(path)


def of_tensorrt(report):
    """The figures of files that TensorRT ran, by check."""
    return {
        check.name: check.figures
        for check in report.checks
        if check.figures and check.figures.inspector
    }


@EVERY_REPORT
def test_a_recorded_report_is_read(path):
    report = load(path)
    assert "".join(str(part) for part in tables(report))
    found = of_tensorrt(report)
    assert list(found) == [f"tensorrt {model}" for model in MODELS]
    read = list(found.values())
    assert [figures.precision for figures in read] == ["fp32", "fp16", "int8+fp16", "fp32"]
    assert all(figures.frames_shared is not None for figures in read)
    for figures in read:
        layers = parse_layers(figures.inspector)
        assert layers.opaque_regions == figures.opaque_regions
        shown = ", ".join(f"{count} {name}" for name, count in sorted(layers.types.items()))
        assert shown == figures.layer_types
        assert precision_mismatch(figures.precision, layers) is None
    # The same text, if the plan had been built otherwise than the file says.
    assert precision_mismatch("fp32", parse_layers(read[1].inspector)) is not None
    assert precision_mismatch("int8", LayerReport({"fp32": 1})) is not None


@EVERY_REPORT
def test_a_recorded_report_is_replayed(path, environment, tmp_path):
    """A GPU as it describes one, and the inspector's text: the same is found again."""
    report = load(path)
    gpu, recorded = report.gpu, of_tensorrt(report)["tensorrt int8+fp16"]
    inspector = tmp_path / "inspector.json"
    inspector.write_text(recorded.inspector, encoding="utf-8")
    again = {
        "FAKE_CUDA_NAME": gpu.name,
        "FAKE_CUDA_CAPABILITY": gpu.capability.replace(".", ""),
        "FAKE_CUDA_PROCESSORS": str(gpu.multiprocessors),
        "FAKE_CUDA_BYTES": str(gpu.total_memory),
        "FAKE_CUDA_INTEGRATED": str(int(gpu.shares_memory)),
        "FAKE_TENSORRT_VERSION": recorded.engine.partition(" ")[2],
        "FAKE_TENSORRT_INSPECTOR": str(inspector),
    }
    machine = with_environment(environment | again, only=("gpu", "tensorrt"))
    replayed = run_self_test(machine, models=("int8+fp16",))
    same = ("name", "capability", "multiprocessors", "total_memory", "shares_memory")
    assert [getattr(replayed.gpu, name) for name in same] == [getattr(gpu, name) for name in same]
    figures = of_tensorrt(replayed)["tensorrt int8+fp16"]
    same = ("engine", "precision", "layer_types", "opaque_regions", "inspector", "zero_copy")
    assert [getattr(figures, n) for n in same] == [getattr(recorded, n) for n in same]
    assert replayed.failed == ()
    # A plan of another type would have been a finding.
    wide = parse_layers(recorded.inspector.replace("INT8", "FP32").replace("int8", "fp32"))
    opaque = recorded.opaque_regions > 0
    assert (precision_mismatch("int8+fp16", wide) is None) == opaque


def test_reports_hold_no_private_paths(on_the_fake_gpu, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USER", "somebody")
    secret = "cannot open '/home/somebody/plans/a.plan' of /home/somebody"
    checks = (dataclasses.replace(on_the_fake_gpu.checks[0], detail=secret),)
    text = to_json(dataclasses.replace(on_the_fake_gpu, checks=checks))
    assert "somebody" not in text
    assert "a.plan" in text
    whole = to_json(on_the_fake_gpu)
    for private in (str(Path.home()), sys.prefix, os.getcwd(), os.uname().nodename):
        assert private not in whole
    assert json.loads(whole)["schema"] == 1


def test_names_of_checks_are_no_names_of_people(on_the_fake_gpu, monkeypatch):
    monkeypatch.setenv("USER", "root")
    monkeypatch.setenv("SUDO_USER", "starter")
    checks = tuple(
        dataclasses.replace(check, detail="starter was here") for check in on_the_fake_gpu.checks
    )
    text = to_json(dataclasses.replace(on_the_fake_gpu, checks=checks))
    assert "starter was" not in text
    assert "tensorrt starter-live" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/usr/lib/x86_64/libcuda.so.1: cannot open", "…/libcuda.so.1: cannot open"),
        ("in '/root/a b'", "in '…/a b'"),
        ("1/2 of all, 3 and/or 4", "1/2 of all, 3 and/or 4"),
        ("/tmp/x/", "…/"),
        ("gcc -I/home/jane/x.h", "gcc -I/…/x.h"),
        ("'/media/jane doe/disk/x' is full", "'…/x' is full"),
        ("there is no /home/jane", "there is no /…"),
    ],
)
def test_paths_are_shortened(text, shown):
    assert without_paths(text) == shown


TRTEXEC = """\
[01/02/2026-03:04:05] [I] === Performance summary ===
[01/02/2026-03:04:05] [I] GPU Compute Time: min = 1.0 ms, max = 2.0 ms, mean = 1.2 ms, median = \
1.1875 ms, percentile(90%) = 1.3 ms, percentile(95%) = 1.4 ms, percentile(99%) = 1.61133 ms
&&&& PASSED TensorRT.trtexec [TensorRT v100300] # trtexec --onnx=a.onnx --stronglyTyped
"""


@pytest.mark.parametrize(
    ("result", "passed", "said"),
    [
        (ProgramResult(0, TRTEXEC, ""), True, "median 1.1875 ms, 99 % in 1.61133 ms on the GPU"),
        (ProgramResult(0, "&&&& PASSED x", ""), True, "without times"),
        (
            ProgramResult(1, "[I] a\n[x] [E] Error[4]: no such op\n&&&& FAILED", ""),
            False,
            "no such op",
        ),
        (ProgramResult(-9, "", ""), False, "SIGKILL"),
    ],
)
def test_trtexec_is_read(result, passed, said):
    answer = parse_trtexec(result)
    assert answer.passed is passed
    assert said in answer.detail

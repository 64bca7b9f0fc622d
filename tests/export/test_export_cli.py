"""``hot-export`` as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
from export_runs import PRUNED, SMALL, failed, saved

from hot_sdk.engines import open_session
from hot_sdk.export import pipeline
from hot_sdk.export.cli import main
from hot_sdk.export.file_names import default_name
from hot_sdk.export.models import list_models, resolve
from hot_sdk.export.options import ExportRequest, resolve_request
from hot_sdk.infer.cli import main as infer_main
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING, read_manifest

pytestmark = pytest.mark.usefixtures("equal_networks_traced_once")

NAME = "mixste_width32-depth2-heads4-mlp_hidden48_t27_r0.50_at1"
"""The default name of ``PRUNED``."""

JUMP = Path(__file__).parents[2] / "examples" / "data" / "jump_mediapipe33.npz"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --model"),
        (["--model", "mixst", "--random-weights"], "Did you mean 'mixste'?"),
        (["--model", "mixste", "--random-weights", "--ration", "0.5"], "Did you mean '--ratio'?"),
        (["--model", "mixste", "--random-weights", "--ratio", "1.5"], "outside 0 to 1"),
        (["--model", "mixste", "--random-weights", "--ratio", "half"], "invalid float value"),
        (["--model", "mixste", "--random-weights", "--ratio", "nan"], "outside 0 to 1"),
        (
            ["--model", "mixste", "--random-weights", "--ratio", ".5", "--tokens", "9"],
            "one of them",
        ),
        (["--model", "mixste", "--random-weights", "--variant", "hott"], "Did you mean 'hot'?"),
        (["--model", "mixste", "--random-weights", "--ratio", ".5", "--selector", "tcp"], "'tpc'"),
        (["--model", "mixste", "--random-weights", "--precision", "int9"], "Did you mean 'int8'?"),
        (
            ["--model", "mixste", "--random-weights", "--sensitivity"],
            "int8 or int8+fp16 (got fp32)",
        ),
        (
            ["--model", "mixste", "--random-weights", "--precision", "int8", "--calibration", "no"],
            "no keypoint file 'no'",
        ),
        (
            ["--model", "mixste", "--random-weights", "--precision", "fp16", "--keep-float", "x"],
            "Nothing is quantized in fp16",
        ),
        (
            ["--model", "mixste", "--random-weights", "--precision", "fp16", "--engine", "torch"],
            "PyTorch's files are float32",
        ),
        (["--model", "mixste", "--random-weights", "--no-timing"], "only to a reduced precision"),
        (
            [*SMALL, "--random-weights", "--precision", "int8", "--sensitivity", "--no-timing"],
            "--no-timing leaves that out",
        ),
        (
            ["--model", "mixste", "--random-weights", "--normalization", "bounding_box"],
            "MixSTE is not made for keypoints normalized by 'bounding_box'",
        ),
        (["--model", "mixste", "--random-weights", "--recovery", "tra"], "prunes nothing"),
        (["--model", "mixste", "--random-weights", "--ratio", ".5", "--prune-at", "8"], "1 to 7"),
        (["--model", "mixste", "--random-weights", "--opset", "16"], "17, 18, 19, 20"),
        (["--model", "mixste", "--random-weights", "--batch", "0"], "1 to 1024"),
        (["--model", "mixste", "--random-weights", "--batch", "some"], "'dynamic'"),
        (["--model", "mixste", "--random-weights", "--set", "width"], "NAME=N"),
        (["--model", "mixste", "--random-weights", "--set", "widht=8"], "Did you mean 'width'?"),
        (["--model", "mixste", "--random-weights", "--set", "width=100"], "heads"),
        (["--model", "mixste", "--random-weights", "--set", "prune_at=1"], "--prune-at"),
        (["--model", "mixste", "--random-weights", "--checkpoint", "x.pth"], "one of them"),
        (["--model", "mixste", "--checkpoint", "absent.pth"], "no checkpoint 'absent.pth'"),
        (["--model", "mixste", "--random-weights", "-o", "no/such/x.onnx"], "mkdir -p"),
        (["--model", "mixste", "--random-weights", "--resample-tokens"], "--checkpoint"),
        (["--model", "mixste", "--random-weights", "--engine", "tourch"], "Did you mean 'torch'?"),
    ],
)
def test_rejects_wrong_arguments_in_one_line_with_status_2(capsys, arguments, message):
    assert message in failed(capsys, arguments, 2)


def test_rejects_wrong_arguments_before_torch_is_imported():
    code = (
        "import sys\n"
        "from hot_sdk.export.cli import main\n"
        "status = main(['--model', 'mixste', '--random-weights', '--ratio', '2'])\n"
        "print(status, [name for name in ('torch', 'onnx', 'rich') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "2 []"


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxscript", "safetensors", "rich"])
def test_names_the_extra_of_a_missing_package(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from hot_sdk.export.cli import main\n"
        "sys.exit(main(['--model', 'mixste', '--random-weights']))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 3
    assert 'pip install "hot-sdk[export]"' in run.stderr
    assert "Traceback" not in run.stderr


def test_json_carries_the_error_too(capsys):
    assert main(["--model", "mixst", "--random-weights", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == {
        "code": "usage",
        "message": f"--model is 'mixst'; expected one of {', '.join(list_models())}.",
        "hint": "Did you mean 'mixste'?",
    }


def test_command_is_installed():
    command = Path(sys.executable).with_name("hot-export")
    if not os.access(command, os.X_OK):
        pytest.skip("the package is not installed with its scripts")
    run = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "exit status:" in run.stdout


def test_dry_run_prints_the_plan_and_writes_nothing(capsys):
    assert main([*PRUNED, "--random-weights", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "keeps 14 frames" in " ".join(out.split())
    assert f"{NAME}.onnx" in "".join(out.split())
    assert list(Path.cwd().iterdir()) == []


def test_dry_run_of_the_shipped_checkpoint(capsys):
    arguments = ["--model", "mixste", "--checkpoint", "starter", "--ratio", "0.5", "--dry-run"]
    assert main([*arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["file"] == "mixste_t81_r0.50.onnx"
    assert plan["weights"]["file"] == "starter.safetensors"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"ratio": 0.5, "frames": 81}, "mixste_t81_r0.50.onnx"),
        (
            {"ratio": (0.7, 0.4), "prune_at": (1, 2), "frames": 81},
            "mixste_t81_r0.70-0.40_at1-2.onnx",
        ),
        ({"ratio": 1.0}, "mixste_t243_r1.00.onnx"),
        ({"tokens": 41, "frames": 81}, "mixste_t81_r0.51.onnx"),
        ({"variant": "hot"}, "mixste_t243_r0.33.onnx"),
        ({}, "mixste_t243_r1.00.onnx"),
        (
            {"variant": "tpc", "ratio": 0.25, "batch": 8, "flip": True, "precision": "fp16"},
            "mixste_tpc_t243_r0.25_flip_fp16_b8.onnx",
        ),
        ({"ratio": 0.5, "batch": None, "engine": "torch"}, "mixste_t243_r0.50_batch.safetensors"),
        ({"ratio": 0.5, "prune_at": 5}, "mixste_t243_r0.50_at5.onnx"),
        ({"ratio": 0.5, "selector": "motion"}, "mixste_t243_r0.50_motion.onnx"),
        (
            {"ratio": (0.7, 0.4), "prune_at": (1, 2), "selector": ("tpc", "uniform")},
            "mixste_t243_r0.70-0.40_at1-2_tpc-uniform.onnx",
        ),
        ({"ratio": 0.5, "recovery": "interpolate"}, "mixste_t243_r0.50_interpolate.onnx"),
        ({"config": {"depth": 4, "heads": 8}}, "mixste_depth4_t243_r1.00.onnx"),
        ({"model": "motionagformer", "size": "xs"}, "motionagformer_xs_t27_r1.00.onnx"),
        ({"model": "motionagformer", "size": "l"}, "motionagformer_l_t243_r1.00.onnx"),
        ({"model": "mhformer", "size": "27"}, "mhformer_t27_r1.00.onnx"),
        ({"model": "htnet", "size": "96"}, "htnet_96_t1.onnx"),
        (
            {"model": "motionbert", "size": "full", "normalization": "bounding_box"},
            "motionbert_full_t243_r1.00_bounding_box.onnx",
        ),
    ],
)
def test_default_name_has_the_requested_ratio(options, name):
    request = ExportRequest(**{"model": "mixste", "random_weights": True, **options})
    assert default_name(resolve_request(request), request) == name


def test_default_name_has_the_ratio_of_the_checkpoint():
    request = ExportRequest("mixste", checkpoint=Path("hot.pth"))
    assert default_name(resolve("mixste", tokens=81), request) == "mixste_t243_r0.33.onnx"


def test_lists_every_network_within_80_columns(capsys):
    assert main(["--list"]) == 0
    table, _, sources = capsys.readouterr().out.partition("\n\n")
    assert max(map(len, table.splitlines())) <= 80
    assert "mixste          base  hot         243    81     35.00  167.512     176.239" in table
    assert all(f"{name}: " in sources for name in list_models())


def test_lists_networks_without_what_an_export_needs():
    program = (
        "import sys\nfrom hot_sdk.export.cli import main\nmain(['--list'])\n"
        "print(sorted({'torch', 'onnx', 'onnxscript'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_dry_run_as_json(capsys):
    assert main([*PRUNED, "--random-weights", "--dry-run", "--json", "--batch", "dynamic"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["file"] == f"{NAME}_batch.onnx"
    assert [stage["tokens"] for stage in plan["network"]["stages"]] == [14]
    assert plan["weights"]["random"]


def test_marks_random_weights_and_prints_working_commands(capsys):
    assert main([*PRUNED, "--random-weights"]) == 0
    out = capsys.readouterr().out
    assert RANDOM_WEIGHTS_WARNING in out
    assert "FLOPs, as the papers count" in out
    assert [path.name for path in Path.cwd().iterdir()] == [f"{NAME}.onnx"]
    assert read_manifest(Path(f"{NAME}.onnx")).weights.random
    infer, evaluate, benchmark = out.partition("Next:")[2].split("\n")[1:4]
    assert infer == f"  hot-infer KEYPOINTS_OR_VIDEO --model {NAME}.onnx"
    assert evaluate == f"  hot-eval {NAME}.onnx --data starter-val"
    assert benchmark == f"  hot-benchmark {NAME}.onnx"
    assert run_infer(infer.split()[1:]) == 0
    assert Path("jump_mediapipe33_3d.npz").is_file()


def run_infer(arguments):
    assert arguments[0] == "KEYPOINTS_OR_VIDEO"
    return infer_main([str(JUMP), *arguments[1:]])


@pytest.mark.parametrize("further", [[], ["--dry-run"], ["-o", "{name}.onnx"]])
def test_replaces_no_file_without_force(capsys, further):
    Path(f"{NAME}.onnx").write_bytes(b"before")
    arguments = [word.format(name=NAME) for word in further]
    assert main([*PRUNED, "--random-weights", *arguments]) == 2
    said = capsys.readouterr().err
    assert f"'{NAME}.onnx' exists already. Add --force" in said
    assert Path(f"{NAME}.onnx").read_bytes() == b"before"
    assert [path.name for path in Path.cwd().iterdir()] == [f"{NAME}.onnx"]


def test_force_replaces_a_file(capsys):
    Path(f"{NAME}.onnx").write_bytes(b"before")
    assert main([*PRUNED, "--random-weights", "--force", "--dry-run"]) == 0


def test_prints_a_working_command_for_a_pytorch_file(capsys):
    assert main([*PRUNED, "--random-weights", "--engine", "torch"]) == 0
    out = capsys.readouterr().out
    assert [path.name for path in Path.cwd().iterdir()] == [f"{NAME}.safetensors"]
    (infer,) = (line for line in out.splitlines() if line.startswith("  hot-infer"))
    assert run_infer(infer.split()[1:]) == 0


def test_manifest_names_the_checkpoint(capsys):
    path = saved(Path("best.bin"), prefix="module.", container="model_pos", ratio=0.5, prune_at=1)
    arguments = ["--model", "mixste", "--checkpoint", str(path), "--prune-at", "1", "--json"]
    arguments += ["--set", "heads=4", "--trained-on", "h36m"]
    assert main([*arguments, "-o", "a b.onnx"]) == 0
    record = json.loads(capsys.readouterr().out)
    manifest = read_manifest(Path("a b.onnx"))
    assert record["manifest"]["weights"]["sha256"] == manifest.weights.sha256
    assert (manifest.weights.file, manifest.weights.random) == ("best.bin", False)
    assert (manifest.tokens, manifest.frames, manifest.variant) == (14, 27, "hot")
    assert record["file_bytes"] == Path("a b.onnx").stat().st_size


def test_what_is_said_of_a_checkpoint_is_in_the_plan(capsys):
    weights = torch.load(saved(Path("plain.pth")))
    extra = {"traj_head.bias": torch.ones(3)}
    torch.save({"net": weights | extra, "net_ema": weights | extra}, "several.pth")
    arguments = ["--model", "mixste", "--set", "heads=4", "--checkpoint", "several.pth"]
    arguments += ["--weights", "net_ema", "--allow-extra", "traj_head.*", "--dry-run"]
    assert "--trained-on mpi-inf-3dhp" in failed(capsys, arguments, 2)
    arguments += ["--trained-on", "3dhp", "--root-relative", "no", "--predicts", "mm"]
    assert main([*arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["network"]["joint_order"] == "mpi_inf_3dhp17"
    assert (plan["network"]["root_relative"], plan["network"]["millimeters"]) == (False, True)
    assert plan["trained_on"] == "mpi-inf-3dhp"
    assert "left out, as allowed: traj_head.bias" in plan["notes"]
    assert main(arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "mpi_inf_3dhp17, trained on mpi-inf-3dhp" in shown
    assert "the root's prediction is subtracted" in shown
    assert "left out, as allowed: traj_head.bias" in shown


CHECKPOINT = ["--model", "mixste", "--set", "heads=4", "--trained-on", "h36m", "--checkpoint"]


class TestCheckpointsThatDoNotFit:
    def test_rejects_another_ratio_and_names_resampling(self, capsys):
        path = saved(Path("hot.pth"), tokens=9, prune_at=1)
        said = failed(capsys, [*CHECKPOINT, str(path), "--ratio", "0.5", "--prune-at", "1"], 4)
        assert "trained to keep 9 of 27 frames (ratio 0.33), but 14 were requested" in said
        assert "--resample-tokens" in said

    def test_resampling_is_marked(self, capsys):
        path = saved(Path("hot.pth"), tokens=9, prune_at=1)
        arguments = [*CHECKPOINT, str(path), "--ratio", "0.5", "--prune-at", "1"]
        assert main([*arguments, "--resample-tokens", "-o", "x.onnx"]) == 0
        manifest = read_manifest(Path("x.onnx"))
        assert (manifest.tokens, manifest.weights.resampled_from) == (14, 9)
        assert "measure the accuracy" in capsys.readouterr().out

    def test_rejects_recovery_without_weights(self, capsys):
        path = saved(Path("plain.pth"))
        said = failed(capsys, [*CHECKPOINT, str(path), "--ratio", "0.5", "--prune-at", "1"], 4)
        assert "10 missing" in said
        assert "--recovery interpolate" in said

    def test_rejects_resampling_of_plain_checkpoints(self, capsys):
        path = saved(Path("plain.pth"))
        arguments = [*CHECKPOINT, str(path), "--ratio", "0.5", "--resample-tokens"]
        assert "no rank embedding" in failed(capsys, arguments, 4)

    def test_prunes_plain_checkpoints_with_interpolation(self, capsys):
        path = saved(Path("plain.pth"))
        arguments = [*CHECKPOINT, str(path), "--ratio", "0.5", "--prune-at", "1"]
        assert main([*arguments, "--recovery", "interpolate", "-o", "x.onnx"]) == 0
        manifest = read_manifest(Path("x.onnx"))
        assert (manifest.variant, manifest.recovery, manifest.tokens) == ("hot", "interpolate", 14)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--frames", "81"], "trained with frames = 27, but 81"),
            (["--set", "depth=4"], "trained with depth = 2, but 4"),
            (["--variant", "plain"], "--variant hot"),
            (["--recovery", "interpolate"], "Drop '--recovery interpolate'"),
        ],
    )
    def test_rejects_what_it_was_not_trained_for(self, capsys, arguments, message):
        path = saved(Path("hot.pth"), tokens=9, prune_at=1)
        assert message in failed(capsys, [*CHECKPOINT, str(path), *arguments], 4)

    def test_does_not_guess_where_to_prune(self, capsys):
        # The published block lies outside of this network of two.
        path = saved(Path("hot.pth"), tokens=9, prune_at=1)
        said = failed(capsys, [*CHECKPOINT, str(path)], 2)
        assert "published before block 3" in said
        assert "--prune-at" in said

    def test_rejects_a_web_page(self, capsys):
        Path("page.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
        assert "web page" in failed(capsys, [*CHECKPOINT, "page.pth"], 4)


class TestFailedVerification:
    @pytest.fixture(autouse=True)
    def _break_the_export(self, monkeypatch):
        traced = pipeline.trace

        def wrong(*arguments, **options):
            model = traced(*arguments, **options)
            bias = next(t for t in model.graph.initializer if t.name.endswith("head.1.bias"))
            values = onnx.numpy_helper.to_array(bias) + 0.5
            bias.CopyFrom(onnx.numpy_helper.from_array(values.astype("float32"), bias.name))
            return model

        monkeypatch.setattr(pipeline, "trace", wrong)

    def test_keeps_no_file_but_the_one_from_before(self, capsys):
        Path("mine.onnx").write_bytes(b"before")
        assert main([*SMALL, "--random-weights", "--force", "-o", "mine.onnx"]) == 6
        said = capsys.readouterr().err
        assert "with the same frames: largest coordinate difference of window" in said
        assert "joint" in said
        assert Path("mine.onnx").read_bytes() == b"before"
        assert [path.name for path in Path.cwd().iterdir()] == ["mine.onnx"]

    def test_keeps_it_under_another_name_if_requested(self, capsys):
        assert main([*SMALL, "--random-weights", "--keep-failed", "-o", "mine.onnx"]) == 6
        capsys.readouterr()
        assert [path.name for path in Path.cwd().iterdir()] == ["mine.failed.onnx"]
        with open_session(Path("mine.failed.onnx")) as session:
            assert "hot_sdk.manifest" not in session.metadata


def test_rejects_graphs_that_no_target_runs(capsys, monkeypatch):
    traced = pipeline.trace

    def wrong(*arguments, **options):
        model = traced(*arguments, **options)
        node = onnx.helper.make_node("Shape", ["keypoints_2d"], ["shape"], name="shape_of_input")
        model.graph.node.append(node)
        return model

    monkeypatch.setattr(pipeline, "trace", wrong)
    assert "shape_of_input" in failed(capsys, [*SMALL, "--random-weights"], 5)


def test_unexpected_error_is_one_line(capsys, monkeypatch):
    def broken(*_arguments, **_options):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(pipeline, "trace", broken)
    assert main([*SMALL, "--random-weights"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "hot-export: internal error: RuntimeError: first second "
        "Run again with -v for the traceback, and report it."
    )

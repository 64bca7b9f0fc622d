"""Weights as people's training scripts save them, of every family."""

import copy
import dataclasses
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from small_networks import small_frames, small_size

from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export import ExportRequest
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.export.models import create_model, family, list_models
from hot_sdk.export.options import check_request
from hot_sdk.export.pipeline import prepare

FRAMES = 9


def weights_of(model, seed=7):
    network = create_model(model, frames=small_frames(model, FRAMES), **small_size(model))
    return {key: tensor.float() for key, tensor in random_state_dict(network, seed).items()}


STATES = {model: weights_of(model) for model in list_models()}


def under(prefix, state):
    return {f"{prefix}{key}": tensor for key, tensor in state.items()}


def compiled_inside(state):
    """As if one part of the network had been compiled, and another wrapped."""
    found = {}
    for number, (key, tensor) in enumerate(state.items()):
        first, dot, rest = key.partition(".")
        found[f"{first}._orig_mod.{rest}" if dot and number % 2 else key] = tensor
    return found


def counted(state):
    """With the buffers that thop adds to every module, the outermost too."""
    modules = {""} | {f"{key.rpartition('.')[0]}." for key in state if "." in key}
    counters = {f"{at}{name}" for at in modules for name in ("total_ops", "total_params")}
    return {**state, **{name: torch.zeros(1, dtype=torch.float64) for name in counters}}


def averaged(state):
    return {key: tensor + 1 for key, tensor in state.items()}


OPTIMIZER = {
    "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}},
    "param_groups": [],
}

# What is saved, the options that it needs, and the note that says what was done.
CONTAINERS = {
    "bare": (lambda w: w, {}, None),
    "model_pos": (lambda w: {"epoch": 3, "model_pos": under("module.", w)}, {}, "'model_pos'"),
    "model": (lambda w: {"model": under("module.", w), "optimizer": OPTIMIZER}, {}, "'model'"),
    "state_dict": (lambda w: {"state_dict": w}, {}, "'state_dict'"),
    "model_state_dict": (
        lambda w: {"model_state_dict": w, "loss": torch.tensor(0.1)},
        {},
        "model_",
    ),
    "net": (lambda w: {"net": w, "best": torch.tensor(38.4)}, {}, "'net'"),
    "unknown name": (lambda w: {"lifter": w, "optimizer": OPTIMIZER}, {}, "'lifter'"),
    "nested": (lambda w: {"model": {"net": {"module": w}, "epoch": 3}}, {}, "'model.net.module'"),
    "lightning": (
        lambda w: {
            "state_dict": under("model.", w),
            "optimizer_states": [OPTIMIZER],
            "loops": {"fit_loop": {"state_dict": {}}},
            "hyper_parameters": {"lr": 1e-4},
        },
        {},
        "prefix 'model.' removed",
    ),
    "compiled": (lambda w: under("_orig_mod.", w), {}, "torch.compile"),
    "compiled, parallel": (lambda w: under("_orig_mod.module.", w), {}, "prefix 'module.'"),
    "all prefixes": (lambda w: {"net": under("module._orig_mod.model.", w)}, {}, "'module.model.'"),
    "their other order": (lambda w: under("model.module._orig_mod.", w), {}, "'model.module.'"),
    "a module's own name": (lambda w: under("pose_lifter.", w), {}, "'pose_lifter.'"),
    "parts compiled": (compiled_inside, {}, "torch.compile"),
    "counters": (counted, {}, "counters (total_ops, total_params) were left out"),
    "counters, parallel": (lambda w: {"model": under("module.", counted(w))}, {}, "counters"),
    "averages only": (lambda w: {"ema": {"shadow": w, "decay": 0.999}}, {}, "averaged weights"),
    "averages": (
        lambda w: {"model": averaged(w), "model_ema": w},
        {"weights": "model_ema"},
        "averaged weights",
    ),
    "not the averages": (
        lambda w: {"state_dict": w, "state_dict_ema": averaged(w)},
        {"weights": "state_dict"},
        "'state_dict'",
    ),
    "averages by prefix": (
        lambda w: {"state_dict": {**under("model.", averaged(w)), **under("ema_model.module.", w)}},
        {"weights": "ema_model"},
        "'ema_model.' were taken",
    ),
    "averages without names": (
        lambda w: {"model": w, "ema": {"shadow_params": list(averaged(w).values())}},
        {},
        "ema.shadow_params holds weights without names, which were left out",
    ),
    "averaged by PyTorch": (
        lambda w: {"model": {"n_averaged": torch.tensor(5), **under("module.", w)}},
        {},
        "averaged weights; their counter 'n_averaged'",
    ),
    "two networks in one module": (
        lambda w: {**under("module.student.", w), **under("module.teacher.", averaged(w))},
        {"weights": "student"},
        "'student.' were taken",
    ),
    "another head": (
        lambda w: {**w, "traj_head.weight": torch.ones(3, 2), "traj_head.bias": torch.ones(3)},
        {"allow_extra": ("traj_head.*",)},
        "left out, as allowed: traj_head.weight, traj_head.bias",
    ),
    "a loss next to the network": (
        lambda w: {"state_dict": {**under("model.", w), "loss.weights": torch.ones(17)}},
        {"allow_extra": ("loss.*",)},
        "left out, as allowed: loss.weights",
    ),
}


def request_for(model, path, **options):
    size = small_size(model)
    unread = {key: value for key, value in size.items() if key in ("heads", "neighbors")}
    if "neighbors" in family(model).settings:
        unread["neighbors"] = family(model).size.neighbors
    stated = {"trained_on": "h36m", "root_relative": True, "config": unread}
    return ExportRequest(
        model, checkpoint=path, output=path.with_name("m.onnx"), **stated, **options
    )


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("model", list_models())
def test_weights_are_found(tmp_path, model, name):
    make, options, note = CONTAINERS[name]
    torch.save(make(dict(STATES[model])), tmp_path / "model.pth")
    request = request_for(model, tmp_path / "model.pth", **options)
    check_request(request)
    prepared = prepare(request)
    assert prepared.state.keys() == STATES[model].keys()
    assert all(torch.equal(prepared.state[key], one) for key, one in STATES[model].items())
    assert (note is None and prepared.notes == ()) or note in "; ".join(prepared.notes)


def test_safetensors_have_prefixes_and_counters_too(tmp_path):
    state = under("model._orig_mod.", counted(STATES["mixste"]))
    save_file({key: copy.deepcopy(one) for key, one in state.items()}, tmp_path / "m.safetensors")
    found = read_checkpoint(tmp_path / "m.safetensors")
    assert found.tensors.keys() == STATES["mixste"].keys()
    assert "prefix 'model.' removed from the keys" in found.notes


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning.fabric.utilities.data.AttributeDict",
        "mmengine.logging.history_buffer.HistoryBuffer",
    ],
)
def test_companions_of_trainers_are_left_alone(tmp_path, monkeypatch, name):
    module, _, kind = name.rpartition(".")
    parts = module.split(".")
    packages = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for package in packages:
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    made = sys.modules[module]
    made.__dict__[kind] = type(kind, (dict,), {"__module__": module})
    value = {
        "state_dict": under("model.", STATES["mixste"]),
        "hyper_parameters": getattr(made, kind)(lr=1e-4),
        "callbacks": {"ModelCheckpoint{'monitor': 'mpjpe'}": {"best": torch.tensor(41.0)}},
    }
    torch.save(value, tmp_path / "last.ckpt")
    for package in packages:
        monkeypatch.delitem(sys.modules, package)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.tensors.keys() == STATES["mixste"].keys()
    assert checkpoint.dropped == (name,)


# What is saved, the options, and what the error says.
REFUSED = {
    "averages, no choice": (
        lambda w: {"model": w, "model_ema": averaged(w)},
        {},
        ["several sets of weights: model, model_ema", "--weights model;", "averages over"],
    ),
    "two sets": (lambda w: {"model": w, "net": w}, {}, ["several sets of weights: model, net"]),
    "averages without names": (
        lambda w: {"ema": {"shadow_params": list(w.values()), "decay": 0.999}},
        {},
        ["ema.shadow_params is a list of weights without their names", "ema.copy_to("],
    ),
    "averages without names, chosen": (
        lambda w: {"model": w, "ema": {"shadow_params": list(w.values())}},
        {"weights": "ema"},
        ["ema.shadow_params is a list of weights without their names"],
    ),
    "two epochs": (
        lambda w: {"model": w, "best": {"weights_then": under("module.", averaged(w))}},
        {},
        ["several sets of weights: model, best.weights_then"],
    ),
    "two networks under their own names": (
        lambda w: {**under("student.", w), **under("teacher.", w)},
        {},
        ["MixSTE under 'student.', MixSTE under 'teacher.'", "--weights student"],
    ),
    "quantized": (
        lambda w: {key: one.to(torch.int8) if one.dim() > 1 else one for key, one in w.items()},
        {},
        ["weights are whole numbers (int8): 'Spatial_pos_embed'"],
    ),
    "8 bits": (
        lambda w: {key: one.to(torch.float8_e4m3fn) for key, one in w.items()},
        {},
        ["stored in 8 bits (torch.float8_e4m3fn)"],
    ),
    "a number among the weights": (lambda w: {**w, "epoch": 3}, {}, ["'epoch' is an int"]),
    "half of the blocks": (
        lambda w: {key: one for key, one in w.items() if not key.startswith("TTEblocks.1")},
        {},
        ["does not hold the whole network", "'Spatial_pos_embed'"],
    ),
    "no such set": (
        lambda w: {"model": w, "model_ema": w},
        {"weights": "swa"},
        ["no one set of weights named 'swa'; it holds 'model', 'model_ema'"],
    ),
    "no such prefix": (
        lambda w: {"state_dict": under("model.", w)},
        {"weights": "ema"},
        ["no one set of weights named 'ema'; it holds 'model'"],
    ),
    "two networks": (
        lambda w: {"state_dict": {**under("model.", w), "critic.weight": torch.ones(1)}},
        {},
        ["keys start with 'model.'", "others start with critic", "--allow-extra 'critic*'"],
    ),
    "another head": (
        lambda w: {**w, "traj_head.weight": torch.ones(1)},
        {},
        ["1 unexpected ('traj_head.weight')", "leave it out: --allow-extra 'traj_head*'"],
    ),
    "nothing to leave out": (
        lambda w: w,
        {"allow_extra": ("traj_head.*",)},
        ["matches 'traj_head.*'", "Drop --allow-extra 'traj_head.*'"],
    ),
    "a missing key": (
        lambda w: {key: one for key, one in w.items() if not key.endswith("proj.bias")},
        {"allow_extra": ("*",)},
        ["missing (", "has keys such as", "Save all of model.state_dict()"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_clear_is_refused(tmp_path, name):
    make, options, parts = REFUSED[name]
    torch.save(make(dict(STATES["mixste"])), tmp_path / "model.pth")
    with pytest.raises(CheckpointError) as caught:
        prepare(request_for("mixste", tmp_path / "model.pth", **options))
    said = f"{caught.value.message} {caught.value.hint}"
    assert all(part in said for part in parts), said


def test_heads_of_a_size_that_is_not_published_are_named(tmp_path):
    torch.save(STATES["mixste"], tmp_path / "model.pth")
    request = request_for("mixste", tmp_path / "model.pth")
    (note,) = prepare(dataclasses.replace(request, config={})).notes
    assert note.startswith("heads = 8 assumed")
    assert "--set heads=N" in note


@pytest.mark.parametrize("trained", list_models())
def test_another_family_is_named(tmp_path, trained):
    torch.save(STATES[trained], tmp_path / "model.pth")
    requested = "htnet" if trained == "mixste" else "mixste"
    with pytest.raises(CheckpointError) as caught:
        prepare(request_for(requested, tmp_path / "model.pth"))
    assert f"--model {trained}." in caught.value.hint


def test_unknown_keys_are_shown(tmp_path):
    torch.save(
        {"backbone.conv1.weight": torch.ones(2), "fc.bias": torch.ones(1)}, tmp_path / "a.pth"
    )
    with pytest.raises(CheckpointError) as caught:
        prepare(request_for("mixste", tmp_path / "a.pth"))
    assert "does not hold the whole network of any family" in caught.value.hint
    assert "'backbone.conv1.weight', 'fc.bias'" in caught.value.hint


@pytest.mark.parametrize("option", [{"weights": "ema"}, {"allow_extra": ("x",)}])
def test_options_of_checkpoints_need_one(option):
    with pytest.raises(UsageError, match="no checkpoint that --"):
        check_request(ExportRequest("mixste", random_weights=True, **option))


def test_a_folder_is_looked_into_before_anything_heavy(tmp_path):
    with pytest.raises(CheckpointError, match="none of its files ends with"):
        check_request(ExportRequest("mixste", checkpoint=tmp_path))
    torch.save(STATES["mixste"], tmp_path / "model_40_4097.pth")
    (tmp_path / "._model_40_4097.pth").write_bytes(b"of macOS")
    (tmp_path / "README.md").write_text("The best epoch.")
    check_request(ExportRequest("mixste", checkpoint=tmp_path))
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").touch()
    for path in (tmp_path, tmp_path / "model-00002-of-00002.safetensors"):
        with pytest.raises(CheckpointError, match="one part of weights") as caught:
            check_request(ExportRequest("mixste", checkpoint=path))
        assert "in one file" in caught.value.hint

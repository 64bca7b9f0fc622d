"""Add the Hourglass Tokenizer to a trained plain network. See README.md next to this file."""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from recipes import RECIPES, Recipe, loss_of
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from windows import Windows, load_windows

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import replaced_on_success
from hot_sdk._base.records import to_json
from hot_sdk.benchmarks.evaluation.data_sets.human36m import DETECTIONS
from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoint_file import find_checkpoint
from hot_sdk.export.checkpoints.loading import load_strict, resolve_spec_for_checkpoint
from hot_sdk.export.checkpoints.reader import KEY, Checkpoint, TrainingRecord, read_checkpoint
from hot_sdk.export.checkpoints.training import decide_root, joint_order
from hot_sdk.export.enums import HUMAN36M, SelectorKind, Variant
from hot_sdk.export.models import ModelSpec, build, family, infer_shape, list_models, resolve
from hot_sdk.export.models.families import Unit
from hot_sdk.export.models.hourglass import HourglassNetwork

LOG = logging.getLogger("finetune_hot")

PROG = "finetune_hot.py"
PRUNABLE = [name for name in list_models() if Variant.HOT in family(name).pruning]
LICENSE = "fine-tuned on Human3.6M, whose terms are academic"
LIMITS = "Fine-tuned on Human3.6M (Ionescu et al., TPAMI 2014): one room, five people."
_LOG_EVERY_S, _SAVE_EVERY_S = 20.0, 60.0

_ELASTIC = "several make it elastic: each step draws one"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_command(PROG, arguments, _run, interrupted="interrupted; the same command resumes")


def _parser() -> CommandParser:
    parser = CommandParser(prog=PROG, description=__doc__)
    add = parser.add_argument
    add("model", choices=PRUNABLE, metavar="FAMILY", help=", ".join(PRUNABLE))
    add("checkpoint", type=Path, help="a plain network's trained weights, or their folder")
    add("data", type=Path, help="folder of data_3d_h36m.npz and data_2d_h36m_NAME.npz")
    add("output", type=Path, help="folder of log, state and weights")
    add("--ratio", type=_list_of(float), default=(), metavar="R[,R...]",
        help=f"frames kept over frames (default: as published); {_ELASTIC}")  # fmt: skip
    add("--prune-at", type=int, metavar="N", help="block before which frames are pruned")
    selectors = [kind.value for kind in SelectorKind]
    add("--selector", choices=selectors, default="tpc", help="how they are chosen")
    add("--size", metavar="NAME", help="published size, for what tensor shapes do not encode")
    add("--set", type=_setting, action="append", default=[], metavar="NAME=N", help="as hot-export")
    about = "the plain network predicts joints relative to the root, if its family has both kinds"
    add("--root-relative", choices=("yes", "no"), help=about)
    add("--freeze", action="store_true", help="train only what the plain network lacks")
    add("--detections", default=DETECTIONS, metavar="NAME", help="2D keypoints")
    add("--stride", type=int, help="frames between windows (default: a third of a window)")
    add("--epochs", type=int, help="default: as published, see recipes.py; so are the next two")
    add("--batch", type=int, help="windows in a step")
    add("--rate", type=float, help="learning rate of the first epoch")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="cpu or cuda")
    add("--threads", type=int, default=2)
    about = "stop after this number of steps; the same command goes on"
    add("--stop-after", type=int, metavar="STEPS", help=about)
    add("--export", action="store_true", help="export an ONNX file for each ratio at the end")
    return parser


def _list_of(kind: type) -> Any:  # noqa: ANN401
    return lambda text: tuple(kind(part) for part in text.split(","))


def _setting(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    return name, int(value)


def _run(arguments: list[str]) -> None:
    options = _parser().parse(arguments)
    torch.set_num_threads(options.threads)
    checkpoint = read_checkpoint(find_checkpoint(options.checkpoint))
    specs = pruned_specs(checkpoint, options)
    recipe = _recipe(options)
    record = _record(checkpoint, specs[0], options)
    options.output.mkdir(parents=True, exist_ok=True)
    # On the CPU, so that a seed means the same weights everywhere.
    torch.manual_seed(options.seed)
    network = build(specs[0])
    added = add_hourglass(network, checkpoint)
    spec = network.spec
    data = load_windows(
        options.data,
        family(options.model),
        detections=options.detections,
        channels=spec.size.channels,
        frames=spec.frames,
        stride=options.stride or max(1, spec.frames // 3),
    )
    with _logged_to(options.output / "train.log"):
        weights = train(network, added, specs, data, recipe, record, checkpoint.sha256, options)
        if weights is not None and options.export:
            for ratio in options.ratio or (None,):
                _export(weights, ratio, options)


def pruned_specs(checkpoint: Checkpoint, options: Namespace) -> list[ModelSpec]:
    """Resolve the network that each ratio makes of a plain one; one with every frame is plain.

    Raises:
        CheckpointError: The weights are of another network, or have an hourglass already.
        UsageError: An option is out of range or contradicts another.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
    found = infer_shape(options.model, shapes)
    if found.variant is not Variant.PLAIN:
        raise CheckpointError(
            f"'{checkpoint.path.name}' has an hourglass already.",
            hint="Give the weights of a plain network; hot-export takes these as they are.",
        )
    if options.freeze and 1.0 in options.ratio:
        raise UsageError(
            "Ratio 1 trains nothing if the plain network is frozen.",
            hint="Leave out the 1, or --freeze.",
        )
    request = ExportRequest(
        options.model, checkpoint=checkpoint.path, size=options.size, config=dict(options.set)
    )
    plain = resolve_spec_for_checkpoint(request, found, checkpoint.training)
    size = {name: getattr(plain.size, name) for name in family(options.model).settings}
    specs = [
        plain
        if ratio == 1.0
        else resolve(
            options.model,
            frames=plain.frames,
            variant=Variant.HOT,
            ratio=ratio,
            prune_at=options.prune_at,
            selector=options.selector,
            elastic=len(options.ratio) > 1,
            **size,
        )
        for ratio in options.ratio or (None,)
    ]
    # The first decides which weights there are.
    specs.sort(key=lambda spec: spec.variant is Variant.PLAIN)
    if specs[0].variant is Variant.PLAIN:
        raise UsageError("With ratio 1 alone, nothing is pruned.", hint="Give a ratio below 1.")
    return specs


def _record(checkpoint: Checkpoint, spec: ModelSpec, options: Namespace) -> TrainingRecord:
    """Return what hot-export has to know of the weights and shapes do not encode."""
    entry, before = family(options.model), checkpoint.training
    if before is not None and joint_order(before.trained_on) != joint_order(HUMAN36M):
        raise CheckpointError(
            f"'{checkpoint.path.name}' has its joints in another order than Human3.6M.",
            hint="Give a network that was trained on Human3.6M's joints.",
        )
    requested = None if options.root_relative is None else options.root_relative == "yes"
    recorded = None if before is None else before.root_relative
    return TrainingRecord(
        fps=entry.training_fps,
        heads=spec.size.heads,
        prune_at=spec.stages[0].prune_at,
        license=entry.license if before is None else f"{before.license}; {LICENSE}",
        credit=None if before is None else before.credit,
        limits=" ".join(filter(None, (before and before.limits, LIMITS))),
        neighbors=spec.size.neighbors,
        trained_on=HUMAN36M,
        root_relative=decide_root(entry, requested, recorded=recorded),
    )


def _recipe(options: Namespace) -> Recipe:
    names = ("epochs", "batch", "rate", "stride")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.device != "cpu" and not torch.cuda.is_available():
        raise UsageError(f"There is no device {options.device!r}.", hint="Leave out --device.")
    if any(value <= 0 for value in changes.values()):
        raise UsageError(f"{', '.join(names)} have to be above 0.", hint="See --help.")
    changes.pop("stride", None)
    return dataclasses.replace(RECIPES[options.model], **changes)


def add_hourglass(network: HourglassNetwork, checkpoint: Checkpoint) -> set[str]:
    """Load a plain network's weights into one with an hourglass.

    Norms of the ranks of kept frames, which MotionAGFormer has, begin as those of the frames,
    resampled. An elastic recovery begins as interpolation, which it corrects.

    Returns:
        Keys of what the checkpoint does not hold in this shape.
    """
    mine = network.state_dict()
    held = dict(checkpoint.tensors)
    added = {key for key in mine if key not in held or held[key].shape != mine[key].shape}
    for key in added & held.keys():
        by_frame = held[key][None, None]
        held[key] = functional.interpolate(
            by_frame, size=len(mine[key]), mode="linear", align_corners=True
        )[0, 0]
    if network.spec.elastic:
        for key in ("pos_embed_token", "cross_attention.proj.weight", "cross_attention.proj.bias"):
            mine[key] = torch.zeros_like(mine[key])
    tensors = {**{key: mine[key] for key in added - held.keys()}, **held}
    load_strict(network, dataclasses.replace(checkpoint, tensors=tensors))
    return added


def train(
    network: HourglassNetwork, added: set[str], specs: list[ModelSpec], data: Windows,
    recipe: Recipe, record: TrainingRecord, digest: str, options: Namespace,
) -> Path | None:  # fmt: skip
    """Train, from the beginning or from where a run stopped, and save the weights each epoch.

    Returns:
        The weights; None if ``--stop-after`` came first.

    Raises:
        UsageError: The folder holds a run with other options.
    """
    network = network.to(options.device)
    for key, parameter in network.named_parameters():
        parameter.requires_grad_(not options.freeze or key in added)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=recipe.rate, weight_decay=recipe.weight_decay, amsgrad=recipe.amsgrad
    )
    kept, weights = options.output / "state.pt", options.output / "hot.safetensors"
    run = _describe_run(digest, recipe, options)
    epoch, first = 0, 0
    if kept.exists():
        epoch, first = _resume(kept, run, network, optimizer)
    in_meters = family(options.model).unit is Unit.METER
    scale, unit = (1000.0, "mm") if in_meters else (1.0, "of half the image's width")
    steps = -(-len(data) // recipe.batch)
    LOG.info("%d windows, %d steps an epoch, %s", len(data), steps, recipe.source)
    done, saved, logged = 0, time.monotonic(), 0.0
    while epoch < recipe.epochs:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_of(epoch)
        order = _order(len(data), options.seed, epoch)
        # The statistics of norms stay those of the plain network if that is frozen.
        network.train(not options.freeze)
        for step in range(first, steps):
            numbers = order[step * recipe.batch : (step + 1) * recipe.batch]
            mirrored = torch.rand(len(numbers)) < 0.5
            if len(specs) > 1:
                network.prune_as(specs[int(torch.randint(len(specs), ()))])
            seen, truth = (part.to(options.device) for part in data.batch(numbers, mirrored))
            poses = network(seen)[0]
            if not record.root_relative:
                # As the exported function does.
                poses = poses - poses[:, :, :1]
            loss, error = loss_of(poses, truth, recipe)
            if not torch.isfinite(loss):
                raise UsageError(
                    f"The loss is {loss.item()} in step {step + 1} of epoch {epoch + 1}.",
                    hint="Begin in another folder with a lower --rate.",
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1
            now, last = time.monotonic(), step + 1 == steps
            if now - logged > _LOG_EVERY_S or last:
                LOG.info(
                    "epoch %d step %d of %d: loss %.4f, MPJPE %.4g %s, rate %.3g",
                    epoch + 1, step + 1, steps, loss.item(), scale * error.item(), unit,
                    recipe.rate_of(epoch),
                )  # fmt: skip
                logged = now
            stops = done == options.stop_after
            if last:
                _save_weights(weights, network, record)
            if now - saved > _SAVE_EVERY_S or last or stops:
                place = (epoch + 1, 0) if last else (epoch, step + 1)
                _save_state(kept, run, place, network, optimizer)
                saved = now
            if stops:
                return None
        epoch, first = epoch + 1, 0
    return weights


def _order(windows: int, seed: int, epoch: int) -> Tensor:
    """Shuffle the windows of an epoch, the same way after an interruption."""
    generator = torch.Generator().manual_seed((seed << 32) + epoch)
    return torch.randperm(windows, generator=generator)


def _describe_run(digest: str, recipe: Recipe, options: Namespace) -> str:
    """Describe what a resumed run must not change; more epochs are a change that it may."""
    free = {"output", "data", "checkpoint", "device", "threads", "stop_after", "export", "epochs"}
    chosen = {key: value for key, value in sorted(vars(options).items()) if key not in free}
    return f"{digest} {chosen} {dataclasses.replace(recipe, epochs=0)}"


def _resume(
    kept: Path, run: str, network: HourglassNetwork, optimizer: torch.optim.Optimizer
) -> tuple[int, int]:
    """Restore a run; return the epoch and the step that come next."""
    state = torch.load(kept, weights_only=True, map_location="cpu")
    if state["run"] != run:
        raise UsageError(
            f"'{kept.parent}' holds a run with another checkpoint or other options.",
            hint="Give the same ones again, or another folder.",
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return state["epoch"], state["step"]


def _save_state(
    kept: Path, run: str, place: tuple[int, int], network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:  # fmt: skip
    state = {
        "run": run,
        "epoch": place[0],
        "step": place[1],
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    with replaced_on_success(kept) as temporary:
        torch.save(state, temporary)


def _save_weights(target: Path, network: nn.Module, record: TrainingRecord) -> None:
    held = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with replaced_on_success(target) as temporary:
        save_file(held, temporary, {KEY: to_json(record)})


def _export(weights: Path, ratio: float | None, options: Namespace) -> None:
    if ratio == 1.0:
        return
    name = "hot.onnx" if ratio is None else f"hot_r{ratio:.2f}.onnx"
    result = export_model(
        ExportRequest(
            options.model,
            checkpoint=weights,
            ratio=ratio if len(options.ratio) > 1 else None,
            selector=options.selector,
            output=weights.with_name(name),
            force=True,
        )
    )
    LOG.info("%s: %s", result.path, result.manifest.parity)


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Write the log to a file and to standard error."""
    handlers = (logging.FileHandler(path), logging.StreamHandler())
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOG.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


if __name__ == "__main__":
    sys.exit(main())

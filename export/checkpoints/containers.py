"""Find the one set of weights in what a checkpoint file holds, and give its keys their own names.

Training scripts put weights next to an optimizer, averages of weights next to weights, and a prefix
before each key: ``module.`` (``DataParallel``), ``_orig_mod.`` (``torch.compile``), ``model.``
(Lightning, and any module that holds the network). Counters of operations add a buffer to every
module. All of that is undone here; a choice between sets of weights is left to the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from hot_sdk.errors import CheckpointError
from hot_sdk.export.checkpoints.unpickler import Placeholder

SAVE_WEIGHTS_ALONE = "Save model.state_dict() alone."
BARE = "bare"

_NAMED = (
    "model_pos",
    "model",
    "state_dict",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "weights",
)
"""Names under which published and common training scripts save weights."""

_AVERAGED = re.compile(r"(^|[_.])(ema|swa|avg|averaged?|shadow)([_.]|$)")
_OTHER_STATE = re.compile(r"optim|sched|scaler|callback|loop|random|rng|loss|hyper|buffer|meta")
_DEEPEST = 3
_MOST_ENTRIES = 200_000
_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Names that wrappers insert wherever a module is wrapped; no network has them."""
_COUNTERS = ("total_ops", "total_params")
"""Buffers that thop adds to every module it counts."""
_AVERAGES = "n_averaged"
"""Buffer of PyTorch's AveragedModel, next to the averaged module."""
_LISTED = 10


@dataclass(frozen=True)
class Found:
    """One set of weights.

    Attributes:
        container: Path of the dictionary that it was in, ``state_dict`` or ``model_ema.module``;
            ``bare`` if the file is that dictionary.
        tensors: The weights by their own names.
        notes: What was done to find and to name them, in words.
    """

    container: str
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def find_weights(
    value: object, source: str, *, chosen: str | None = None, extra: Sequence[str] = ()
) -> Found:
    """Find the weights in the content of a file.

    Args:
        value: What the file holds; objects that were not rebuilt are placeholders.
        source: Name of the file, for messages.
        chosen: Name of the set to take if there are several: that of a dictionary, or the prefix of
            its keys.
        extra: Shell patterns of keys that may belong to something else than the network.

    Raises:
        CheckpointError: There is no set of weights, or more than one and none is chosen; or it
            holds other things than tensors.
    """
    if not isinstance(value, dict):
        raise no_weights(source, f"a whole object, {_describe(value)}")
    # A pickle can hold one dictionary under any number of names.
    if _entries(value) > _MOST_ENTRIES:
        raise CheckpointError(
            f"{source!r} holds over {_MOST_ENTRIES} entries in dictionaries.",
            hint=SAVE_WEIGHTS_ALONE,
        )
    unnamed = list(_lists(value))
    if chosen is not None and chosen in {part for name in unnamed for part in _parts(name)}:
        raise _without_names(source, unnamed)
    if unnamed and not any(_sets(value)) and not _tensors(value):
        raise _without_names(source, unnamed)
    container, entries = _choose(value, source, chosen)
    by_prefix = chosen is not None and not _is_named(container, chosen)
    notes = [] if container == BARE else [f"read from {container!r}"]
    if unnamed:
        notes.append(f"{', '.join(unnamed)} holds weights without names, which were left out")
    if _AVERAGED.search(container):
        notes.append("these are averaged weights")
    held = _only_tensors(entries, source)
    tensors = name_weights(held, source, notes, chosen=chosen if by_prefix else None, extra=extra)
    return Found(container, tensors, tuple(notes))


def name_weights(
    tensors: Mapping[str, Tensor],
    source: str,
    notes: list[str],
    *,
    chosen: str | None = None,
    extra: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Leave out counters, and strip what wrappers put before all keys, in any order.

    Args:
        tensors: The weights by the keys of the file.
        source: Name of the file, for messages.
        notes: Receives what was done, in words.
        chosen: Prefix of the keys to take, if they are those of several networks.
        extra: Shell patterns of keys that may have other prefixes.

    Raises:
        CheckpointError: Some keys have a wrapper's prefix and others have not, or no key has the
            chosen one.
    """
    named = {_unwrapped(key): tensor for key, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise CheckpointError(
            f"In {source!r}, {len(tensors) - len(named)} keys are there twice, with and without"
            " what torch.compile inserts.",
            hint=SAVE_WEIGHTS_ALONE,
        )
    if any(_unwrapped(key) != key for key in tensors):
        notes.append("what torch.compile and other wrappers insert into keys was removed")
    counted = [key for key in named if key.rpartition(".")[2] in _COUNTERS]
    if counted:
        named = {key: tensor for key, tensor in named.items() if key not in set(counted)}
        notes.append(f"{len(counted)} counters (total_ops, total_params) were left out")
    averages = [key for key in named if key.rpartition(".")[2] == _AVERAGES]
    if averages:
        named = {key: tensor for key, tensor in named.items() if key not in set(averages)}
        notes.append(f"these are averaged weights; their counter {averages[0]!r} was left out")
    if chosen is not None:
        prefix = f"{chosen.rstrip('.')}."
        # What all sets are in is no choice.
        while (common := _common_prefix(named, extra)) and not _any_under(prefix, named):
            named = {key.removeprefix(common): tensor for key, tensor in named.items()}
        named = {key[len(prefix) :]: one for key, one in named.items() if key.startswith(prefix)}
        if not named:
            raise _no_such_set(source, chosen, [key.partition(".")[0] for key in tensors])
        notes.append(f"the keys that start with {prefix!r} were taken")
    stripped = ""
    while common := _common_prefix(named, extra):
        named = {key.removeprefix(common): tensor for key, tensor in named.items()}
        stripped += common
    if stripped:
        notes.append(f"prefix {stripped!r} removed from the keys")
    _refuse_two_networks(named, source, extra)
    return named


def matches_any(key: str, patterns: Sequence[str]) -> bool:
    """Return True if a key matches one of several shell patterns."""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def name_some(names: Sequence[str]) -> str:
    """Return the first ten names, and the number of the others."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def no_weights(source: str, content: str) -> CheckpointError:
    """Return the error for a file without weights."""
    return CheckpointError(
        f"{source!r} holds no state-dict, neither bare nor under a name such as "
        f"{', '.join(_NAMED)}; it holds {content}.",
        hint="Save the weights with torch.save(model.state_dict(), ...).",
    )


def _choose(
    value: dict[object, object], source: str, chosen: str | None
) -> tuple[str, dict[object, object]]:
    """Return the name and the content of the dictionary that holds the weights."""
    sets = dict(_sets(value))
    named = {name: held for name, held in sets.items() if name.rpartition(".")[2] in _NAMED}
    averaged = {name: held for name, held in sets.items() if _AVERAGED.search(name)}
    if not named and not averaged and any(isinstance(each, Tensor) for each in value.values()):
        return BARE, value
    plain = {name: held for name, held in named.items() if name not in averaged}
    if not plain:
        plain = {name: held for name, held in sets.items() if name not in averaged}
    # Another set of the same network's weights, as of another epoch, is a choice, too.
    networks = [_lengths(held) for held in plain.values()]
    others = {name: held for name, held in sets.items() if name not in {*plain, *averaged}}
    plain |= {name: held for name, held in others.items() if _lengths(held) in networks}
    offered = {**plain, **averaged}
    if chosen is not None and len(offered) != 1:
        wanted = [name for name in offered if _is_named(name, chosen)]
        exact = [name for name in wanted if name == chosen] or wanted
        if len(exact) != 1:
            raise _no_such_set(source, chosen, list(offered))
        return exact[0], offered[exact[0]]
    if len(offered) > 1:
        names = list(offered)
        raise CheckpointError(
            f"{source!r} holds several sets of weights: {', '.join(names)}.",
            hint=f"Say which, as in: --weights {names[0]}"
            + (f"; {', '.join(averaged)} are averages over the training." if averaged else ""),
        )
    if offered:
        return next(iter(offered.items()))
    # The content of a container that is empty, or whatever else the file holds.
    inner = [value[name] for name in _NAMED if isinstance(value.get(name), dict)]
    entries = inner[0] if inner else value
    assert isinstance(entries, dict)
    raise no_weights(source, name_some([f"{key!r:.80}" for key in entries]) or "nothing")


def _sets(
    value: Mapping[object, object], path: str = "", depth: int = 1
) -> Iterator[tuple[str, dict[object, object]]]:
    """Yield the dictionaries of tensors by their paths, without those of optimizers and others."""
    for name, entry in value.items():
        known = isinstance(name, str) and not _OTHER_STATE.search(name.lower())
        if not (known and isinstance(entry, dict)):
            continue
        if any(isinstance(each, Tensor) for each in entry.values()):
            yield f"{path}{name}", entry
        elif depth < _DEEPEST:
            yield from _sets(entry, f"{path}{name}.", depth + 1)


def _lists(value: Mapping[object, object], path: str = "", depth: int = 1) -> Iterator[str]:
    """Yield the paths of lists of tensors, as averages of ``model.parameters()`` are saved."""
    for name, entry in value.items():
        if not isinstance(name, str) or _OTHER_STATE.search(name.lower()):
            continue
        if isinstance(entry, (list, tuple)) and any(isinstance(one, Tensor) for one in entry):
            yield f"{path}{name}"
        elif isinstance(entry, dict) and depth < _DEEPEST:
            yield from _lists(entry, f"{path}{name}.", depth + 1)


def _parts(path: str) -> tuple[str, ...]:
    return (path, *path.split("."))


def _without_names(source: str, lists: Sequence[str]) -> CheckpointError:
    return CheckpointError(
        f"In {source!r}, {', '.join(lists)} is a list of weights without their names.",
        hint="Copy them into the model, as with ema.copy_to(model.parameters()), and save"
        " model.state_dict().",
    )


def _tensors(held: Mapping[object, object]) -> list[Tensor]:
    return [each for each in held.values() if isinstance(each, Tensor)]


def _lengths(held: Mapping[object, object]) -> list[tuple[int, ...]]:
    """Return the shapes of all tensors, whatever their names."""
    return sorted(tuple(each.shape) for each in _tensors(held))


def _any_under(prefix: str, named: Mapping[str, Tensor]) -> bool:
    return any(key.startswith(prefix) for key in named)


def _entries(value: Mapping[object, object], depth: int = 1) -> int:
    """Count the entries of dictionaries in dictionaries, those that are there twice twice."""
    count = len(value)
    for entry in value.values():
        if isinstance(entry, dict) and depth < _DEEPEST and count <= _MOST_ENTRIES:
            count += _entries(entry, depth + 1)
    return count


def _is_named(container: str, chosen: str) -> bool:
    return chosen in (container, container.partition(".")[0], container.rpartition(".")[2])


def _no_such_set(source: str, chosen: str, known: Sequence[str]) -> CheckpointError:
    names = name_some([repr(name)[:80] for name in dict.fromkeys(known)])
    return CheckpointError(
        f"{source!r} holds no one set of weights named {chosen!r}; it holds {names or 'none'}.",
        hint="Give --weights one of these names, or drop it.",
    )


def _only_tensors(entries: dict[object, object], source: str) -> dict[str, Tensor]:
    others = {key: entry for key, entry in entries.items() if not isinstance(entry, Tensor)}
    for key, entry in others.items():
        raise CheckpointError(
            f"{source!r} has {len(others)} entries among its weights that are no tensors; "
            f"{key!r:.80} is {_describe(entry)}.",
            hint=SAVE_WEIGHTS_ALONE,
        )
    held: dict[str, Tensor] = {}
    for key, entry in entries.items():
        if not isinstance(key, str):
            raise CheckpointError(
                f"{source!r} has weights under {key!r:.80}, which is no name.",
                hint=SAVE_WEIGHTS_ALONE,
            )
        assert isinstance(entry, Tensor)
        held[key] = entry
    return held


def _describe(value: object) -> str:
    if isinstance(value, Placeholder):
        return value.of
    name = "tensor" if isinstance(value, Tensor) else type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _unwrapped(key: str) -> str:
    for wrapper in _WRAPPERS:
        while key.startswith(wrapper) or f".{wrapper}" in key:
            key = key.removeprefix(wrapper).replace(f".{wrapper}", ".")
    return key


def _common_prefix(named: Mapping[str, Tensor], extra: Sequence[str]) -> str:
    """Return the first part of all keys if it is the same, or nothing."""
    keys = [key for key in named if not matches_any(key, extra)] or list(named)
    first = {key.partition(".")[0] for key in keys if "." in key}
    same = len(first) == 1 and all("." in key for key in keys)
    # A single module with a weight and a bias is a network, not a wrapper.
    return f"{first.pop()}." if same and any(key.count(".") > 1 for key in keys) else ""


def _refuse_two_networks(named: Mapping[str, Tensor], source: str, extra: Sequence[str]) -> None:
    """Refuse weights of which only some are under a wrapper's prefix."""
    keys = [key for key in named if not matches_any(key, extra)]
    for wrapper in ("module", "model", "net", "network", "model_pos"):
        under = [key for key in keys if key.startswith(f"{wrapper}.")]
        others = [key for key in keys if not key.startswith(f"{wrapper}.")]
        if not under or not others:
            continue
        parts = list(dict.fromkeys(key.partition(".")[0] for key in others))
        patterns = " ".join(f"--allow-extra '{part}*'" for part in parts[:3])
        raise CheckpointError(
            f"In {source!r}, {len(under)} of {len(keys)} keys start with '{wrapper}.': these are "
            f"the weights of more than one model. The others start with {name_some(parts)}.",
            hint=f"Choose one set with --weights {wrapper} (or another prefix); or leave keys out "
            f"that the network does not need, as in: {patterns}",
        )

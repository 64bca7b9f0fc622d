"""A small network of every family, so that tests over the registry take seconds."""

from hot_sdk.export.models import list_models

_BLOCKS = {"width": 32, "depth": 3, "heads": 4, "mlp_hidden": 48}
# Settings of a family besides or instead of the usual ones; a new family needs an entry only if its
# widths follow other rules.
_OWN = {
    "htnet": {"width": 48, "heads": 4},
    "nanohtnet": {"width": 48, "heads": 4, "coefficients": 5},
    "motionbert": {"representation": 24},
}
_FRAMES = {"htnet": 1}


def small_size(name, **changes):
    """Return the settings of a small network of a family."""
    assert name in list_models()
    return {**_BLOCKS, **_OWN.get(name, {}), **changes}


def small_frames(name, frames):
    """Return the frames of a window: those requested, unless the family lifts single frames."""
    return _FRAMES.get(name, frames)

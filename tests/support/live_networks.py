"""A small live network with random weights."""

from hot_sdk.export import ExportRequest
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import build
from hot_sdk.export.options import resolve_request

SIZE = {
    "width": 24,
    "depth": 3,
    "heads": 4,
    "mlp_hidden": 32,
    "stem": 32,
    "conditions": 5,
    "spread": 16,
}


def live_request(**options):
    """A request for a file of a small live network."""
    config = {**SIZE, **options.pop("config", {})}
    return ExportRequest("mixste", variant="live", config=config, **options)


def live_spec(**options):
    """Its architecture."""
    return resolve_request(live_request(random_weights=True, **options))


def live_lifter(spec):
    """Its function to export, with random weights."""
    return build_lifter(spec, random_state_dict(build(spec)), flip=False)

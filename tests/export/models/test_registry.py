"""Every registered family says what it is and where that is published."""

import importlib
import inspect
import subprocess
import sys

import pytest
from small_networks import small_frames, small_size

from hot_sdk.errors import UsageError
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import create_model, family, list_models, resolve
from hot_sdk.export.models.families import Normalization, Unit

FAMILIES = pytest.mark.parametrize("name", list_models())
PRUNED = [(name, variant) for name in list_models() for variant in family(name).pruning]


def test_names_are_sorted_and_unique():
    names = list_models()
    assert "mixste" in names
    assert names == sorted({*names})


@FAMILIES
def test_entry_is_complete(name):
    entry = family(name)
    assert entry.name == name
    for text in (
        entry.title,
        entry.paper,
        entry.license,
        *(size.source for size in entry.sizes.values()),
        entry.conventions_source,
        entry.axes,
    ):
        assert len(text) > 3
        assert text == text.strip()
    assert entry.training_fps > 0
    assert isinstance(entry.normalization, Normalization)
    assert isinstance(entry.unit, Unit)
    assert sorted(entry.skeleton.mirror) == list(range(len(entry.skeleton.joints)))


@FAMILIES
def test_published_size_resolves(name):
    entry = family(name)
    spec = resolve(name)
    assert (spec.frames, spec.size, spec.variant) == (entry.frames, entry.size, Variant.PLAIN)


@pytest.mark.parametrize(("name", "variant"), PRUNED)
def test_published_pruning_is_consistent(name, variant):
    entry = family(name)
    pruning = entry.pruning[variant]
    assert variant is not Variant.PLAIN
    assert 2 <= pruning.tokens < entry.frames
    assert 1 <= pruning.prune_at < entry.size.depth
    assert pruning.source.strip()


@FAMILIES
def test_module_builds_the_network(name):
    module = importlib.import_module(f"hot_sdk.export.models.{name}")
    assert list(inspect.signature(module.build).parameters) == ["spec", "mirrored_pairs"]
    network = create_model(name, frames=small_frames(name, 9), **small_size(name))
    assert type(network).__module__ == module.__name__
    assert not network.training


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("mixtse", "Did you mean 'mixste'?"),
        ("MixSTE", "Did you mean 'mixste'?"),
        ("resnet50", "Known: "),
    ],
)
def test_unknown_family(given, hint):
    with pytest.raises(UsageError, match=f"no model family '{given}'") as caught:
        family(given)
    assert caught.value.hint.startswith(hint)
    assert "mixste" in caught.value.hint


def test_registry_and_specs_import_nothing_heavy():
    program = (
        "import sys\n"
        "import hot_sdk.export.models, hot_sdk.export.models.registry, hot_sdk.export.models.spec\n"
        "hot_sdk.export.models.resolve('mixste', ratio=0.5)\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

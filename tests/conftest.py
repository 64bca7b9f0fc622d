"""What every test shares."""

import fnmatch
import signal
import sys

import pytest

# Fixtures of tests in several folders.
from fake_gpu import fake_driver, fake_pycuda  # noqa: F401
from hypothesis import settings
from old_torch import untraced_is_skipped
from untraced import untraced

# A deadline would assert a time, which a busy machine fails.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# A shell's process in the background ignores Ctrl-C, and so would all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Ten seconds to a minute each; most are further cases of what another case always goes through.
SLOW = (
    "*::test_symbolic_batch_stays_symbolic[[]mhformer*",
    "*::test_symbolic_batch_stays_symbolic[[]motion*",
    "*::test_symbolic_batch_stays_symbolic[[]nanohtnet*",
    "*::test_fp16_keeps_choices_sums_and_poses_in_float32[[]int8+fp16-m[ho]*",
    "*::test_poses_stay_near[[]fp16-mhformer*",
    "*::test_poses_stay_near[[]fp16-motion*",
    "*::test_converted_graphs_pass_the_check[[]fp16-mhformer*",
    "*::test_converted_graphs_pass_the_check[[]fp16-motion*",
    "*::test_flops_are_those_of_the_manifest[[]mhformer-plain*",
    "*::test_flops_are_those_of_the_manifest[[]mhformer-stages*",
    "*::test_flops_are_those_of_the_manifest[[]mhformer-tpc*",
    "*::test_flops_are_those_of_the_manifest[[]motion*-stages*",
    "*::test_flops_are_those_of_the_manifest[[]motionbert-tpc*",
    "*::test_every_module_of_every_family_is_known[[]m*-plain*",
    "*::test_one_checkpoint_exports_at_any_ratio[[]options[3-9]*",
    "*::test_every_exported_file_compiles[[]mixste-stages-uniform*",
    "*::test_every_exported_file_compiles[[]mixste-hot-flip*",
    "*::test_every_exported_file_compiles[[]mixste-uniform-interpolate*",
    "*/test_train_starter.py::test_the_ablation_trains_and_measures_a_variant",
    "*/test_train_starter.py::test_the_spread_is_checked_on_people_whom_it_was_not_calibrated_on",
    "*/test_starter_model.py::test_compares_sizes",
    "*/test_starter_model.py::test_measures_ratios_and_plots_them",
    "*::test_sensitivity_lists_every_block_and_counts_its_steps",
    "*::test_ratios_are_exported_once_and_compared_with_pytorch",
    "*/test_gpu_check.py::test_measures_and_compares_on_the_cpu",
)


def pytest_collection_modifyitems(items):
    """Marks what ``make test`` leaves out for its time, and ``make test-slow`` runs."""
    for item in items:
        if any(fnmatch.fnmatchcase(item.nodeid, pattern) for pattern in SLOW):
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    """Skips tests whose fixtures an old PyTorch cannot export."""
    with untraced_is_skipped():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Skips tests that export what an old PyTorch cannot."""
    with untraced_is_skipped():
        return (yield)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Runs each test in a folder of its own.

    What a test writes stays out of the checkout; and the checkout's folder ``hot_sdk``, which is
    only a part of the installed package, does not hide it from child processes.
    """
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="session")
def _coverage_follows_no_export():
    """Measures coverage of our code, not the time of PyTorch's exporter under its tracer.

    What the exporter calls of ours, the networks, other tests call without it.
    """
    if sys.gettrace() is None:
        yield
        return
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", untraced(torch.onnx.export))
        yield

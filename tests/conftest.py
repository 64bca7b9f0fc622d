"""What every test shares."""

import signal
import sys

import pytest

# Fixtures of tests in several folders.
from fake_gpu import fake_driver, fake_pycuda  # noqa: F401
from hypothesis import settings
from untraced import untraced

# A deadline would assert a time, which a busy machine fails.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# A shell's process in the background ignores Ctrl-C, and so would all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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

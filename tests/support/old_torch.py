"""Skip what the oldest supported PyTorch cannot export, of which the error of the SDK says so."""

import contextlib

import pytest


def skip_open_batch_if_old():
    """Skip a test of a file with an open batch if PyTorch cannot trace most of them."""
    # Here, because most tests do without.
    import torch

    if torch.__version__ < (2, 10):
        pytest.skip("PyTorch 2.9 cannot trace most networks with an open batch")


@contextlib.contextmanager
def untraced_is_skipped():
    """Skip a test that fails because PyTorch is old and cannot trace an open batch."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "GraphCheckError" and "with an open batch" in str(error):
            skip_open_batch_if_old()
        raise

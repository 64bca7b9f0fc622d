"""What every test shares."""

import pytest


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Runs each test in a folder of its own.

    What a test writes stays out of the checkout; and the checkout's folder ``hot_sdk``, which is
    only a part of the installed package, does not hide it from child processes.
    """
    monkeypatch.chdir(tmp_path)

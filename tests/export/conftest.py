"""Exported files, and PyTorch kept to few threads."""

import pytest
import torch
from equal_networks import trace_once
from exported_models import cases, export_case

from hot_sdk.export import pipeline


@pytest.fixture(scope="session", params=list(cases()), ids="-".join)
def exported(request, tmp_path_factory):
    """Every family in every way of exporting it."""
    model, name = request.param
    return export_case(model, name, tmp_path_factory)


@pytest.fixture(scope="session")
def hot_export(tmp_path_factory):
    """One pruned network, for tests that need a file but do not ask which."""
    return export_case("mixste", "hot", tmp_path_factory)


@pytest.fixture(scope="module")
def equal_networks_traced_once():
    """Several exports of one network trace it once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "trace", trace_once)
        yield


@pytest.fixture
def one_thread():
    """Two threads cost more than they save on arrays and networks as small as some tests'."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _few_threads():
    torch.set_num_threads(2)

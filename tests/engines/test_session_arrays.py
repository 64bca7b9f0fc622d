from __future__ import annotations

import numpy as np

from hot_sdk.engines.session import TensorSpec, check_inputs


def test_contiguous_arrays_are_not_copied():
    x = np.ones((2, 3), np.float32)
    assert check_inputs({"x": x}, [TensorSpec("x", (2, 3), "float32")])["x"] is x


def test_scalar_stays_a_scalar():
    out = check_inputs({"x": np.array(2.0, np.float32)}, [TensorSpec("x", (), "float32")])
    assert out["x"].shape == ()


def test_nameless_dimensions_may_differ():
    spec = [TensorSpec("x", ("?", "?"), "float32")]
    assert check_inputs({"x": np.ones((2, 3), np.float32)}, spec)["x"].shape == (2, 3)


def test_order_follows_the_session():
    one = np.ones(1, np.float32)
    specs = [TensorSpec(name, (1,), "float32") for name in "ab"]
    assert list(check_inputs({"b": one, "a": one}, specs)) == ["a", "b"]

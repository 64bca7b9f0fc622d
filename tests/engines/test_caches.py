"""Inputs that stay with an engine from run to run, in every engine: a memory of three frames."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import finish_model

from hot_sdk.engines import open_session
from hot_sdk.engines.caches import CacheSpec, HostCaches
from hot_sdk.errors import EngineError

SLOTS, WIDTH = 3, 2
KEYS = CacheSpec(("key_0", "key_1"), "new_keys", (WIDTH, SLOTS), 1)
VALUES = CacheSpec(("value_0", "value_1"), "new_values", (SLOTS, WIDTH), 0)
SPECS = KEYS, VALUES


def remembering():
    """Remember frames: layer 0 keeps x, layer 1 keeps 10 x, and y is x and what they hold."""
    batched = {"x": [WIDTH], "y": [WIDTH], "new_keys": [2, WIDTH], "new_values": [2, WIDTH]}
    batched |= {name: spec.shape for spec in SPECS for name in spec.inputs}

    def values(*names):
        kind = TensorProto.FLOAT
        return [helper.make_tensor_value_info(one, kind, ["batch", *batched[one]]) for one in names]

    constant = helper.make_tensor
    node = helper.make_node
    graph = helper.make_graph(
        [
            *(
                node("ReduceSum", [f"{kind}_{layer}", axis], [f"{kind}s_{layer}"], keepdims=0)
                for kind, axis in (("key", "last"), ("value", "middle"))
                for layer in range(2)
            ),
            node("Sum", ["x", "keys_0", "keys_1", "values_0", "values_1"], ["y"]),
            node("Mul", ["x", "ten"], ["tens"]),
            node("Unsqueeze", ["x", "middle"], ["first"]),
            node("Unsqueeze", ["tens", "middle"], ["second"]),
            node("Concat", ["first", "second"], ["new_keys"], axis=1),
            node("Identity", ["new_keys"], ["new_values"]),
        ],
        "remembering",
        values("x", *KEYS.inputs, *VALUES.inputs),
        values("y", "new_keys", "new_values"),
        [
            constant("last", TensorProto.INT64, [1], [2]),
            constant("middle", TensorProto.INT64, [1], [1]),
            constant("ten", TensorProto.FLOAT, [], [10.0]),
        ],
    )
    return finish_model(graph).SerializeToString()


def test_what_was_kept_is_an_input_of_the_next_run(engine):
    chance = np.random.default_rng(0)
    remembered = np.zeros((4, SLOTS, WIDTH))
    with open_session(remembering(), engine=engine) as session:
        caches = session.caches(SPECS, 4, None)
        assert caches.nbytes == 4 * 2 * 2 * SLOTS * WIDTH * 4
        fed = {"x": np.zeros((2, WIDTH), np.float32)}
        run = session.prepare(fed, caches, slice(1, 3))
        for step in range(7):
            fed["x"][:] = chance.standard_normal((2, WIDTH))
            found = run()["y"].copy()
            expected = fed["x"] + 22.0 * remembered[1:3].sum(axis=1)
            np.testing.assert_allclose(found, expected, atol=1e-4)
            # The first item's frame counts every time, the second's every other time.
            for item in range(1 + step % 2):
                run.keep(item, step % SLOTS)
                remembered[1 + item, step % SLOTS] = fed["x"][item]
        caches.move(2, 1)
        caches.clear(2)
        fed["x"][:] = 0.0
        expected = [22.0 * remembered[2].sum(axis=0), np.zeros(WIDTH)]
        np.testing.assert_allclose(run()["y"], expected, atol=1e-4)
        with pytest.raises(EngineError, match=r"'key_0' has shape \(3, 2, 3\)"):
            session.prepare(fed, caches, slice(0, 3))
    with pytest.raises(EngineError, match="closed"):
        run()


def test_rows_of_the_host_are_views():
    caches = HostCaches(SPECS, 4)
    inputs = caches.inputs(slice(1, 3))
    assert inputs.keys() == {*KEYS.inputs, *VALUES.inputs}
    outputs = {spec.output: np.ones((2, 2, WIDTH), np.float32) for spec in SPECS}
    caches.write(1, 2, outputs, 0)
    assert inputs["key_1"].flags.c_contiguous
    assert (inputs["key_1"][0] == [[0, 0, 1], [0, 0, 1]]).all()
    assert (inputs["value_0"][0] == [[0, 0], [0, 0], [1, 1]]).all()
    assert not inputs["key_1"][1].any()

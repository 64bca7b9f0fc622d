"""The study of fused operators: what is compared computes the same, and every row has a ratio."""

import cpu_operators
import numpy as np
import pytest
from cpu_operators import COLUMNS, PAIRS, ROWS, open_copies


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_compared_computes_the_same(name):
    random = np.random.default_rng(2)
    arrays = {
        name: random.standard_normal((ROWS, COLUMNS)).astype(np.float32) for name in ("x", "skip")
    }
    before, after = (open_copies(write).run(None, arrays)[0] for write in PAIRS[name])
    # The approximation of GELU is one.
    tolerance = 1e-3 if "tanh" in name else 2e-5
    np.testing.assert_allclose(after.reshape(before.shape), before, atol=tolerance)
    assert before.std() > 0.1


def test_every_operator_and_setting_has_a_ratio(capsys):
    assert cpu_operators.main(["--rounds", "1", "--markdown"]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if " to " in line]
    names = {*PAIRS, *cpu_operators._SETTINGS, *cpu_operators._SWITCHES, "defaults"}
    assert {row.split("|")[1].strip() for row in rows} == names

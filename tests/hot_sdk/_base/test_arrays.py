import numpy as np
import pytest

from hot_sdk._base.arrays import percentiles


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (1001,), (33, 2)])
def test_percentiles_are_those_of_numpy(shape):
    values = np.random.default_rng(0).normal(size=shape)
    percents = [0, 1, 50, 90, 99, 100]
    expected = np.percentile(values, percents, axis=0)
    np.testing.assert_allclose(percentiles(values, percents), expected, rtol=1e-12, atol=1e-15)

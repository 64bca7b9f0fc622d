"""Each kind of file: a valid one is read, and a damaged one is read or refused with our error."""

import logging
import random

import pytest
from fuzz_files import fuzz, kinds, mutate

from hot_sdk.errors import HotSDKError

SKELETON_IS_NAMED = {"keypoints: openpose", "keypoints: npy"}


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_seeds_are_valid(tmp_path):
    refused = {}
    for name, kind in kinds().items():
        path = tmp_path / "input"
        errors = []
        for read in kind.reads:
            path.write_bytes(kind.seed)
            try:
                read(path)
            except HotSDKError as error:
                errors.append(str(error))
        if len(errors) == len(kind.reads):
            refused[name] = errors
    assert set(refused) <= SKELETON_IS_NAMED, refused


def test_damaged_files_are_read_or_refused(tmp_path):
    for name, kind in kinds().items():
        report = fuzz(kind, tmp_path, inputs=20, seconds=2.0, seed=1)
        assert report.untyped == {}, name
        assert report.slowest_s < 2.0, (name, report.slowest)


def test_a_seed_gives_the_same_inputs():
    content = kinds()["manifest"].seed
    first, second = (mutate(content, random.Random(3)) for _ in range(2))
    assert first == second != content

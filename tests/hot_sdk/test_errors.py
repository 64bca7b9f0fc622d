from __future__ import annotations

import copy
import pickle

import pytest

from hot_sdk import errors
from hot_sdk.errors import HotSDKError, MissingDependencyError, UsageError

# Programs and scripts rely on these numbers, so they never change.
PUBLISHED = {
    "hot-sdk": 1,
    "usage": 2,
    "missing-dependency": 3,
    "checkpoint": 4,
    "graph-check": 5,
    "verification": 6,
    "manifest": 7,
    "engine": 8,
    "keypoints": 9,
    "stream": 10,
    "result": 11,
    "video": 12,
    "dataset": 14,
    "batch": 17,
}
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, Exception)
]


def test_codes_and_exit_statuses_are_the_published_ones():
    assert len(CLASSES) == len(PUBLISHED)
    assert {kind.code: kind.exit_status for kind in CLASSES} == PUBLISHED
    assert len(set(PUBLISHED.values())) == len(PUBLISHED)


@pytest.mark.parametrize(
    ("kind", "builtin"), [(UsageError, ValueError), (MissingDependencyError, ImportError)]
)
def test_usual_handlers_catch_it(kind, builtin):
    with pytest.raises(builtin, match=r"^It broke\. Mend it\.$"):
        raise kind("It broke.", hint="Mend it.")


@pytest.mark.parametrize("kind", CLASSES)
class TestEach:
    def test_one_base_catches_it(self, kind):
        assert issubclass(kind, HotSDKError)
        assert issubclass(kind, Exception)

    def test_text_is_message_and_hint(self, kind):
        error = kind("It broke.", hint="Mend it.")
        assert str(error) == "It broke. Mend it."
        assert (error.message, error.hint) == ("It broke.", "Mend it.")

    def test_hint_is_required(self, kind):
        with pytest.raises(TypeError, match="hint"):
            kind("It broke.")

    @pytest.mark.parametrize(
        "copied",
        [copy.copy, copy.deepcopy]
        + [
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ],
    )
    def test_copies_are_equal(self, kind, copied):
        error = kind("It 'broke'\u2026", hint="Mend it.")
        error.clip = 3
        again = copied(error)
        assert type(again) is kind
        assert str(again) == str(error)
        assert (
            vars(again) == vars(error) == {"message": error.message, "hint": "Mend it.", "clip": 3}
        )

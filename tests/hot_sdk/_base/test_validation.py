from types import SimpleNamespace

import pytest

from hot_sdk._base.closing import Closing
from hot_sdk._base.validation import check_settings, closest, nearest
from hot_sdk.errors import UsageError


def test_names_the_setting_its_value_and_what_is_expected():
    settings = SimpleNamespace(size=3, rate=-1.0)
    check_settings(settings, {"size": (True, "any")})
    with pytest.raises(UsageError, match=r"^rate is -1\.0; expected 0 or more\. Leave it out"):
        check_settings(settings, {"size": (True, "any"), "rate": (False, "0 or more")})


def test_suggests_the_nearest_name():
    assert nearest("COCO-17", ("h36m17", "coco17")) == "coco17"
    assert nearest("x", ("h36m17", "coco17")) is None
    assert closest("mixst", ("mixste", "htnet")) == "Did you mean 'mixste'?"
    assert closest("x", ("mixste", "htnet")) == "Known: mixste, htnet."


def test_closing_closes_after_errors_too():
    class Session(Closing):
        closed = 0

        def close(self):
            self.closed += 1

    session = Session()
    with session as same:
        assert same is session
    with pytest.raises(KeyError), session:
        raise KeyError
    assert session.closed == 2

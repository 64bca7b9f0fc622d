"""One budget for what an input may become, and a variable that raises it."""

import dataclasses

import pytest

from hot_sdk._base.budget import Budget, Clock, OverBudgetError, input_budget, require
from hot_sdk.errors import UsageError


def test_default_without_the_variable(monkeypatch):
    monkeypatch.delenv("HOT_SDK_INPUT_BUDGET", raising=False)
    assert input_budget() == Budget()
    monkeypatch.setenv("HOT_SDK_INPUT_BUDGET", "")
    assert input_budget() == Budget()


def test_variable_multiplies_every_limit_but_depth_and_share(monkeypatch):
    monkeypatch.setenv("HOT_SDK_INPUT_BUDGET", "2.5")
    before, after = dataclasses.asdict(Budget()), dataclasses.asdict(input_budget())
    fixed = {"depth", "unpacked_share"}
    assert {name for name in before if after[name] == before[name]} == fixed
    assert all(after[name] == 2.5 * before[name] for name in before.keys() - fixed)


@pytest.mark.parametrize("text", ["0", "-1", "1001", "nan", "inf", "much", "1" * 5000, "\x1b[2J"])
def test_other_values_of_the_variable_are_refused(monkeypatch, text):
    monkeypatch.setenv("HOT_SDK_INPUT_BUDGET", text)
    with pytest.raises(UsageError, match="HOT_SDK_INPUT_BUDGET is") as caught:
        input_budget()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_errors_name_amount_limit_and_way_out():
    require(5, 5, "values")
    with pytest.raises(OverBudgetError, match=r"it has 6 values, over the limit of 5; .*BUDGET=4"):
        require(6, 5, "values")


def test_time_is_limited():
    Clock(Budget()).check()
    with pytest.raises(OverBudgetError, match=r"longer than -1 s"):
        Clock(Budget(seconds=-1.0)).check()

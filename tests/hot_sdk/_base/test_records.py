from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hot_sdk._base.records import MAX_TEXT, TypedJSONError, build, parse_object, to_json

MOST_MESSAGE = 300


@dataclass(frozen=True)
class Leg:
    side: str
    length: float | None


@dataclass(frozen=True)
class Robot:
    name: str
    moves: bool
    joints: int
    mass: float
    serial: int | None
    legs: tuple[Leg, ...]
    span: tuple[int, float]
    battery: Leg


ROBOT = Robot(
    name='a "b" \n\u00e9\U0001f600',
    moves=True,
    joints=12,
    mass=0.1,
    serial=None,
    legs=(Leg("left", 1.5), Leg("right", None)),
    span=(3, 2.5),
    battery=Leg("", -0.0),
)

numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63])
names = st.text(st.characters(), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
int64 = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
legs = st.builds(Leg, names, st.none() | finite)
robots = st.builds(
    Robot,
    name=names,
    moves=st.booleans(),
    joints=int64,
    mass=finite,
    serial=st.none() | int64,
    legs=st.lists(legs, max_size=3).map(tuple),
    span=st.tuples(int64, finite),
    battery=legs,
)
thorough = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def as_data(**changes):
    return {**json.loads(to_json(ROBOT)), **changes}


def refusal(kind, data):
    with pytest.raises(TypedJSONError) as caught:
        build(kind, data)
    message = str(caught.value)
    # It is shown on one line of a terminal, whatever an untrusted file holds.
    assert message.isprintable()
    assert len(message) < MOST_MESSAGE
    return message


def test_round_trip():
    text = to_json(ROBOT)
    again = build(Robot, parse_object(text))
    assert again == ROBOT
    assert math.copysign(1, again.battery.length) == -1
    assert to_json(again) == text


@thorough
@given(robots)
def test_round_trip_of_any_record(robot):
    again = build(Robot, parse_object(to_json(robot)))
    assert again == robot
    assert to_json(again) == to_json(robot)


def test_whole_number_counts_as_float():
    mass = build(Robot, as_data(mass=3)).mass
    assert mass == 3
    assert type(mass) is float


@pytest.mark.parametrize("mass", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_not_written(mass):
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(Leg("left", mass))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("{} {}", "it is not JSON"),
        ("\ufeff{}", "it is not JSON"),
        ('{"a": "\n"}', "it is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ("null", "it is not a JSON object"),
        ("NaN", "it is not a JSON object"),
        (" " * MAX_TEXT + "{}", f"it is {MAX_TEXT + 2} characters long; at most {MAX_TEXT}"),
        ('{"a":' + "[" * 200_000 + "]" * 200_000 + "}", "it is not JSON"),
    ],
)
def test_rejects_texts(text, problem):
    with pytest.raises(TypedJSONError) as caught:
        parse_object(text)
    assert str(caught.value).startswith(problem)
    assert len(str(caught.value)) < MOST_MESSAGE


def test_longest_text_is_read():
    assert parse_object('{"a": 1}'.ljust(MAX_TEXT)) == {"a": 1}


def test_type_error_is_a_value_error():
    assert issubclass(TypedJSONError, ValueError)


@thorough
@given(st.text() | st.text('{}[]",:0123456789.eE-+ntrufalsNIiy\\ud8 ', max_size=30))
def test_any_text_is_an_object_or_rejected(text):
    try:
        assert type(parse_object(text)) is dict
    except TypedJSONError as error:
        assert str(error).startswith("it is not ")  # noqa: PT017


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": 3}, "name is 3, where str was expected"),
        ({"name": None}, "name is None, where str was expected"),
        ({"moves": 1}, "moves is 1, where bool was expected"),
        ({"joints": True}, "joints is True, where int was expected"),
        ({"joints": 12.0}, "joints is 12.0, where int was expected"),
        ({"joints": 2**63}, f"joints is {2**63}, where int was expected"),
        ({"joints": 10**5000}, "joints is an integer of 16610 bits, where int was expected"),
        ({"mass": "3"}, "mass is '3', where float was expected"),
        ({"mass": False}, "mass is False, where float was expected"),
        ({"mass": math.nan}, "mass is nan, where float was expected"),
        ({"mass": -math.inf}, "mass is -inf, where float was expected"),
        ({"mass": 10**400}, "mass is an integer of 1329 bits, where float was expected"),
        ({"serial": "x"}, "serial is 'x', where int was expected"),
        ({"legs": "left"}, "legs is not an array"),
        ({"legs": {}}, "legs is not an array"),
        ({"legs": [{"side": "left", "length": 1}, 4]}, "legs[1] is not an object"),
        ({"legs": [{"side": "left"}]}, "legs[0].length is missing"),
        ({"span": [1]}, "span has 1 items, where 2 were expected"),
        ({"span": [1, 2, 3]}, "span has 3 items, where 2 were expected"),
        ({"span": [1, "2"]}, "span[1] is '2', where float was expected"),
        ({"battery": {"side": [], "length": 1}}, "battery.side is an array, where str was"),
        ({"battery": {"side": {}, "length": 1}}, "battery.side is an object, where str was"),
        ({"battery": {"side": "", "length": 1, "b": 2, "a": 1}}, "battery.'a' is unknown"),
        ({"wheels": 4}, "'wheels' is unknown"),
        ({"\x1b[31m\n\ud800": 4}, r"'\x1b[31m\n\ud800' is unknown"),
        ({"w" * 100_000: 4}, "'wwwwwwww"),
        ({"joints": "\x1b[31m\n" * 10_000}, r"joints is '\x1b[31m\n\x1b"),
    ],
)
def test_rejects_values(changes, problem):
    assert refusal(Robot, as_data(**changes)).startswith(problem)


@pytest.mark.parametrize("field", list(as_data()))
def test_missing_fields_are_named(field):
    data = as_data()
    del data[field]
    assert refusal(Robot, data) == f"{field} is missing"


@pytest.mark.parametrize("data", [None, [], "{}", 3])
def test_rejects_what_is_no_object(data):
    assert refusal(Robot, data) == "the text is not an object"


@pytest.mark.parametrize("edge", [-(2**63), 2**63 - 1])
def test_integers_of_64_bits_are_read(edge):
    assert build(Robot, as_data(joints=edge)).joints == edge


def test_rejects_text_of_any_depth():
    # The parser's recursion and that of whatever looks at its result end at different depths.
    limit = sys.getrecursionlimit()
    for depth in [*range(limit - 400, limit + 50), 3 * limit, 20 * limit]:
        text = '{"battery":{"side":"","length":' + "[" * depth + "]" * depth + "}}"
        with pytest.raises(TypedJSONError, match=r"^length is an array|^it is not JSON"):
            build(Leg, parse_object(text)["battery"])


@thorough
@given(json_values)
def test_any_value_is_rejected_in_one_way(data):
    refusal(Robot, data)


@thorough
@given(st.sampled_from(list(as_data())), json_values)
def test_any_value_in_one_field_is_read_or_rejected_in_one_way(field, value):
    data = as_data(**{field: value})
    try:
        robot = build(Robot, data)
    except TypedJSONError:
        refusal(Robot, data)
    else:
        assert build(Robot, parse_object(to_json(robot))) == robot


class Side(str, Enum):
    LEFT = "left"


@dataclass(frozen=True)
class Foot:
    side: Side | None


@pytest.mark.parametrize("foot", [Foot(Side.LEFT), Foot(None)])
def test_enums_of_texts_survive_a_round_trip(foot):
    back = build(Foot, parse_object(to_json(foot)))
    assert back == foot
    assert type(back.side) is type(foot.side)


@pytest.mark.parametrize("value", ["right", 1, [], {}])
def test_rejects_values_outside_an_enum(value):
    with pytest.raises(TypedJSONError, match="where Side was expected"):
        build(Foot, {"side": value})

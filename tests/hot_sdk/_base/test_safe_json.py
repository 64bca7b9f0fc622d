"""What JSON would take is known before it is parsed."""

import json
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot_sdk._base.budget import Budget, OverBudgetError
from hot_sdk._base.safe_json import parse_json, parsed_bytes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_values_are_parsed_as_json_does(value):
    content = json.dumps(value).encode()
    assert parse_json(b"\xef\xbb\xbf" + content, Budget()) == json.loads(content)


@pytest.mark.parametrize(
    "piece",
    ["{}", "[]", "[1]", "[[1]]", '{"a":1}', '{"ab":{}}', "1.5", "-123456789012", '"ab"', "null"],
)
@pytest.mark.parametrize("count", [1, 30_000])
def test_estimate_is_no_less_than_what_is_taken(piece, count):
    content = ("[" + ",".join([piece] * count) + "]").encode()
    tracemalloc.start()
    value = parse_json(content, Budget())
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert value
    assert taken + sys.getsizeof(content) < parsed_bytes(content) * 1.05 + 10_000


@pytest.mark.parametrize("text", ["\u00e9", "\u20ac", "\U0001f600"])
def test_estimate_knows_the_width_of_characters(text):
    content = json.dumps(["a" * 100_000 + text], ensure_ascii=False).encode()
    assert parsed_bytes(content) >= len(content) + sys.getsizeof(content.decode()) - 200


def test_too_many_values_are_refused():
    with pytest.raises(OverBudgetError, match="bytes once it is parsed"):
        parse_json(b"[" + b"0," * 1000 + b"0]", Budget(parsed_bytes=10_000))


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('[{"b":', "}]")])
def test_depth_is_limited(begin, end):
    levels = 100 // sum(begin.count(bracket) for bracket in "[{")
    parse_json((begin * levels + "1" + end * levels).encode(), Budget())
    with pytest.raises(ValueError, match="levels deep; at most 100 are read"):
        parse_json((begin * (levels + 1) + "1" + end * (levels + 1)).encode(), Budget())


def test_brackets_in_texts_do_not_count():
    value = ["[" * 500, {"{" * 300: 'quoted " [[[ and \\'}, "]" * 900]
    assert parse_json(json.dumps(value).encode(), Budget()) == value


@pytest.mark.parametrize("content", [b"", b"{", b"[1] [2]", b"\xff", b'"a', b"[" * 200_000])
def test_what_is_no_json_is_refused(content):
    with pytest.raises(ValueError, match=r"."):
        parse_json(content, Budget())

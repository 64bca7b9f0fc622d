"""Serialize frozen dataclasses to JSON, and validate untrusted JSON back into them."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from hot_sdk._base.budget import Budget
from hot_sdk._base.safe_json import require_parsable

_Record = TypeVar("_Record")

MAX_TEXT = 1 << 20
"""Longest JSON text that is read, in characters."""

WAS = "was"
"""Key in the ``metadata`` of a dataclass field: its name in older files."""


class TypedJSONError(ValueError):
    """A JSON text does not describe the expected record."""


def to_json(record: object) -> str:
    """Return a dataclass as JSON, tuples as arrays; raise ValueError for NaN and infinities."""
    assert dataclasses.is_dataclass(record)
    assert not isinstance(record, type)
    return json.dumps(dataclasses.asdict(record), allow_nan=False)


def parse_object(text: str) -> dict[str, Any]:
    """Parse a JSON object of bounded size and depth.

    Raises:
        TypedJSONError: The text is too long, too deep, not JSON, or not an object.
    """
    if len(text) > MAX_TEXT:
        raise TypedJSONError(f"it is {len(text)} characters long; at most {MAX_TEXT} are read")
    try:
        require_parsable(text.encode(errors="surrogatepass"), Budget())
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TypedJSONError(f"it is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise TypedJSONError("it is not a JSON object")
    return data


def build(kind: type[_Record], data: object, where: str = "") -> _Record:
    """Build a dataclass from parsed JSON, each value of exactly the declared type.

    Args:
        kind: The dataclass; fields may be str, bool, int of 64 bits, finite float, None,
            enums of texts, dataclasses, and tuples and unions of these.
        data: Parsed JSON.
        where: Path of ``data``, for messages.

    Raises:
        TypedJSONError: A field is missing, unknown, or of another type; names its path.
    """
    if not isinstance(data, dict):
        raise TypedJSONError(f"{where.rstrip('.') or 'the text'} is not an object")
    hints = _types_of(typing.cast(Any, kind))
    data = _with_current_names(kind, data)
    if missing := sorted(hints.keys() - data.keys()):
        raise TypedJSONError(f"{where}{missing[0]} is missing")
    if unknown := sorted(_shown(key) for key in data.keys() - hints.keys()):
        raise TypedJSONError(f"{where}{unknown[0]} is unknown")
    values = {key: _value(hint, data[key], f"{where}{key}") for key, hint in hints.items()}
    return kind(**values)


@cache
def _types_of(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _with_current_names(kind: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    for field in dataclasses.fields(kind):
        old = field.metadata.get(WAS)
        if old in data and field.name not in data:
            data = {(field.name if key == old else key): value for key, value in data.items()}
    return data


def _value(hint: Any, value: object, where: str) -> object:  # noqa: ANN401
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits(arguments, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, f"{where}.")
    if isinstance(hint, type) and issubclass(hint, Enum):
        members = [member.value for member in hint]
        if isinstance(value, str) and value in members:
            return hint(value)
    if hint is float and isinstance(value, (int, float)) and type(value) is not bool:
        # Also false for NaN, and true for no integer that float() would refuse.
        if abs(value) <= sys.float_info.max:
            return float(value)
    elif hint is int and type(value) is int:
        if -(2**63) <= value < 2**63:
            return value
    elif type(value) is hint:
        return value
    expected = "null" if hint is type(None) else getattr(hint, "__name__", str(hint))
    raise TypedJSONError(f"{where} is {_shown(value)}, where {expected} was expected")


def _shown(value: object) -> str:
    """Return a value for messages: short, in one line and printable."""
    # The repr of a container may be deeper than the stack, that of an integer longer than allowed.
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return f"{value!r:.80}"


def _first_that_fits(alternatives: tuple[Any, ...], value: object, where: str) -> object:
    problem: TypedJSONError | None = None
    for alternative in alternatives:
        try:
            return _value(alternative, value, where)
        except TypedJSONError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _tuple(arguments: tuple[Any, ...], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise TypedJSONError(f"{where} is not an array")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        kinds: tuple[Any, ...] = (arguments[0],) * len(value)
    else:
        kinds = arguments
    if len(kinds) != len(value):
        raise TypedJSONError(f"{where} has {len(value)} items, where {len(kinds)} were expected")
    return tuple(
        _value(kind, item, f"{where}[{position}]")
        for position, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )

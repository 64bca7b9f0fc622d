"""Read the wire format of protocol buffers, no more and no less than their own parsers accept.

Parsers differ in what they make of a malformed file: some cut a number to 32 bits, some merge a
message that is there twice, some take its last. What they could read differently is refused here,
so that an engine never sees another file than the one that was checked.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

Buffer = bytes | mmap.mmap

# Wire types of protocol buffers. Groups, 3 and 4, are of no message of onnx.proto.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_WIRE_TYPES = {
    "int32": _VARINT,
    "int64": _VARINT,
    "uint64": _VARINT,
    "float": _FIXED32,
    "double": _FIXED64,
}
_FIXED_BYTES = {_FIXED32: 4, _FIXED64: 8}
_LARGEST_TAG = 2**32 - 1
_LARGEST_LENGTH = 2**31 - 1
_LARGEST_VALUE = 2**64 - 1
# Bytes of the longest number of 32 and of 64 bits.
_SHORT, _LONG = 5, 10
_CHUNK = 1 << 20


class Field(NamedTuple):
    """One field of a message in the wire format of protocol buffers.

    Attributes:
        number: Its number in the message's definition.
        begin: Where its bytes begin, if it is text, bytes or a message.
        end: Where they end.
        value: Its value if it is a number, else None. A floating-point number, which nothing here
            needs, is 0.
        wire: Its wire type.
    """

    number: int
    begin: int
    end: int
    value: int | None
    wire: int = _BYTES


Message = dict[int, list[Field]]
"""The fields of a message, by number."""


def read_fields(buffer: Buffer, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message between two positions, in their order.

    Raises:
        ValueError: It is not a complete message; says where.
    """
    position = start
    while position < stop:
        # As most tags are: one byte.
        tag = buffer[position]
        if tag < 0x80:
            position += 1
        else:
            tag, position = _varint(buffer, position, stop, _SHORT, _LARGEST_TAG)
        wire = tag & 7
        if not tag >> 3:
            raise ValueError(f"byte {position} does not begin a field")
        begin, value = position, 0
        if wire in (_BYTES, _VARINT):
            # As most lengths and values are: one byte.
            if position < stop and (value := buffer[position]) < 0x80:
                begin = position + 1
            elif wire == _BYTES:
                value, begin = _varint(buffer, position, stop, _SHORT, _LARGEST_LENGTH)
            else:
                value, begin = _varint(buffer, position, stop, _LONG, _LARGEST_VALUE)
            position = begin + value if wire == _BYTES else begin
        elif wire in _FIXED_BYTES:
            begin = position = position + _FIXED_BYTES[wire]
        else:
            raise ValueError(f"byte {position} does not begin a field")
        if position > stop:
            raise ValueError(f"it ends {position - stop} bytes early")
        yield Field(tag >> 3, begin, position, None if wire == _BYTES else value, wire)


def read_message(buffer: Buffer, field: Field) -> Message:
    """Read the message in a field.

    Raises:
        ValueError: See ``read_fields``.
    """
    found: Message = {}
    for part in read_fields(buffer, field.begin, field.end):
        found.setdefault(part.number, []).append(part)
    return found


def read_texts(buffer: Buffer, message: Message, number: int) -> Iterator[str]:
    """Yield the texts of all fields of a number."""
    for field in message.get(number, ()):
        yield buffer[field.begin : field.end].decode()


def read_text(buffer: Buffer, message: Message, number: int) -> str:
    """Return the text of the last field of a number; empty if there is none."""
    if number not in message:
        return ""
    field = message[number][-1]
    return buffer[field.begin : field.end].decode()


def read_integers(buffer: Buffer, fields: Iterable[Field], most: int) -> Iterator[int]:
    """Yield whole numbers, of a field each or of one field for all.

    Args:
        buffer: The file.
        fields: The fields.
        most: Numbers of one field that are read.
    """
    for field in fields:
        if field.value is not None:
            yield field.value
            continue
        value = shift = 0
        for byte in buffer[field.begin : min(field.end, field.begin + _LONG * most)]:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                yield value
                value = shift = 0


def check_field(buffer: Buffer, field: Field, kind: str, *, repeated: bool) -> None:
    """Check that a field is what its definition says.

    Args:
        buffer: The file.
        field: The field.
        kind: ``string``, ``bytes``, a type of numbers, or anything else for a message.
        repeated: Whether it may be there more than once; numbers then also come in one field.

    Raises:
        ValueError: It is of another type, or text that is not UTF-8.
    """
    expected = _WIRE_TYPES.get(kind, _BYTES)
    if field.wire == expected:
        if kind == "string":
            buffer[field.begin : field.end].decode()
    elif repeated and field.wire == _BYTES:
        _check_packed(buffer, field, expected)
    else:
        raise ValueError(f"byte {field.begin} does not begin a {kind}")


def _check_packed(buffer: Buffer, field: Field, wire: int) -> None:
    """Check numbers that are written one after the other, without a tag each."""
    whole = True
    if wire in _FIXED_BYTES:
        whole = (field.end - field.begin) % _FIXED_BYTES[wire] == 0
    elif field.end > field.begin:
        # In parts that overlap by a number's length, so that memory does not grow with the field.
        whole = buffer[field.end - 1] < 0x80 and not any(
            _has_long_number(buffer[at : min(at + _CHUNK + _LONG, field.end)])
            for at in range(field.begin, field.end, _CHUNK)
        )
    if not whole:
        raise ValueError(f"byte {field.begin} does not begin a list of whole numbers")


def _has_long_number(content: bytes) -> bool:
    """Return whether a number has more than 64 bits: nine bytes that go on, and another above 1."""
    goes_on = np.frombuffer(content, np.uint8) >= 0x80
    nine = goes_on
    for span in (1, 2, 4, 1):  # Together 2, 4, 8 and 9 bytes in a row.
        nine = nine[:-span] & nine[span:]
    last = np.frombuffer(content, np.uint8)[_LONG - 1 :]
    return bool((nine[: len(last)] & (last > 1)).any())


def _varint(
    buffer: Buffer, position: int, stop: int, longest: int, largest: int
) -> tuple[int, int]:
    """Return the number written at a position, and the position after it."""
    value = 0
    for shift in range(0, 7 * longest, 7):
        if position >= stop:
            raise ValueError("it ends in the middle of a number")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > largest:
                raise ValueError(f"the number before byte {position} is too large")
            return value, position
    raise ValueError(f"byte {position} does not end a number")

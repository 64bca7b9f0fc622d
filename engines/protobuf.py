"""The wire format of protocol buffers, as far as reading an ONNX file's structure needs it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

Buffer = bytes | mmap.mmap

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Its number in the message's definition.
        begin: Where its bytes begin, of a text, some bytes or a message.
        end: Where they end.
        value: Of a number; None for everything else. A floating-point number, which nothing here
            needs, is 0.
    """

    number: int
    begin: int
    end: int
    value: int | None


def read_fields(buffer: Buffer, start: int, stop: int) -> Iterator[Field]:
    """The fields of the message between two positions, in their order.

    Raises:
        ValueError: It is no message, or an incomplete one; says where.
    """
    position = start
    while position < stop:
        tag, position = _varint(buffer, position, stop)
        wire = tag & 7
        if not tag >> 3:
            raise ValueError(f"byte {position} does not begin a field")
        if wire == _BYTES:
            length, position = _varint(buffer, position, stop)
            end = position + length
            if end > stop:
                raise ValueError(f"it ends {end - stop} bytes early")
            yield Field(tag >> 3, position, end, None)
            position = end
            continue
        value = 0
        if wire == _VARINT:
            value, position = _varint(buffer, position, stop)
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"byte {position} does not begin a field")
        if position > stop:
            raise ValueError(f"it ends {position - stop} bytes early")
        yield Field(tag >> 3, position, position, value)


def _varint(buffer: Buffer, position: int, stop: int) -> tuple[int, int]:
    """The number written at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= stop:
            raise ValueError("it ends in the middle of a number")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"byte {position} does not end a number")

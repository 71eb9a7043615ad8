"""The two frames of ABI.md: a batch as it comes (section 3), and what is answered (section 5)."""

from __future__ import annotations

from struct import Struct
from typing import Union

_HEADER_COUNT = Struct("<I")
_LENGTH = Struct("<i")
_NUMBER = Struct("<q")
_TOPIC_LENGTH = Struct("<H")
_BATCH = Struct("<iI")
_OUTPUT = Struct("<IBHiq")
_FAILURE = Struct("<IBHI")

#: Between a record's start and its key: the offset and the time.
FIXED = 16
_BY_KEY = -1
_OWN_TIME = -(1 << 63)
_I32_MAX = 0x7FFFFFFF
_CODE_MAX = 999
_NULL = _LENGTH.pack(-1)
NO_HEADERS = _HEADER_COUNT.pack(0)

# What is done for each record or field.
_length = _LENGTH.unpack_from
_packed_length = _LENGTH.pack
_output = _OUTPUT.pack


class Batch:
    """A batch as it comes; its fields are where their lengths stand."""

    __slots__ = ("count", "data", "first", "is_text", "partition", "topic")

    def __init__(self, data: bytes, is_text: bool) -> None:
        (length,) = _TOPIC_LENGTH.unpack_from(data)
        end = 2 + length
        self.data = data
        self.is_text = is_text
        self.topic = data[2:end].decode()
        self.partition, self.count = _BATCH.unpack_from(data, end)
        self.first = end + _BATCH.size

    def number(self, at: int) -> int:
        """The number of 64 bits at a place."""
        return _NUMBER.unpack_from(self.data, at)[0]

    def bytes(self, at: int) -> bytes | None:
        """The bytes at a place; None if there are none."""
        (length,) = _length(self.data, at)
        return None if length < 0 else self.data[at + 4 : at + 4 + length]

    def payload(self, at: int) -> Union[str, bytes, None]:
        """The text at a place, or bytes where it is none or bytes are wanted."""
        given = self.bytes(at)
        if given is None or not self.is_text:
            return given
        try:
            return given.decode()
        except UnicodeDecodeError:
            return given

    def headers(self, at: int) -> list[tuple[str, Union[str, bytes, None]]]:
        """Names and values of the headers at a place."""
        found = []
        (count,) = _HEADER_COUNT.unpack_from(self.data, at)
        at += 4
        for _ in range(count):
            value = behind(self.data, at)
            found.append((self.data[at + 4 : value].decode("utf-8", "replace"), self.payload(value)))
            at = behind(self.data, value)
        return found


def behind(data: bytes, at: int) -> int:
    """The place behind bytes and their length; null has none."""
    (length,) = _length(data, at)
    return at + 4 + length if length > 0 else at + 4


def behind_headers(data: bytes, at: int) -> int:
    """The place behind headers and their number."""
    (count,) = _HEADER_COUNT.unpack_from(data, at)
    at += 4
    for _ in range(2 * count):
        at = behind(data, at)
    return at


def output(index: int, number: int, partition: int | None, timestamp: int | None) -> bytes:
    """What stands before an output's key."""
    # One that no target has fails the record, whichever it is.
    partition = _BY_KEY if partition is None else min(partition, _I32_MAX)
    return _output(index, 0, number, partition, _OWN_TIME if timestamp is None else timestamp)


def same(index: int) -> bytes:
    """What stands before the key of the output that is the record itself."""
    return _output(index, 0, 0, _BY_KEY, _OWN_TIME)


def payload(value: bytes | None) -> bytes:
    """Bytes with their length before them."""
    return _NULL if value is None else _packed_length(len(value)) + value


def header_count(count: int) -> bytes:
    """How many headers follow."""
    return _HEADER_COUNT.pack(count)


def failure(index: int, code: int, message: bytes) -> bytes:
    """Why a record failed."""
    code = code if 0 <= code <= _CODE_MAX else 0
    return _FAILURE.pack(index, 1, code, len(message)) + message

"""The frames as the host has them, in tests: makes a batch, and reads what is answered."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Union

from ._native import Failure

_INHERIT = -(1 << 63)

Headers = list[tuple[str, Union[bytes, None]]]


@dataclass
class Given:
    """A record of a batch."""

    offset: int = 0
    timestamp: int = -1
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = field(default_factory=list)


@dataclass
class Sent:
    """An output."""

    output: int
    partition: int | None
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


def batch_of(topic: str, partition: int, records: list[Given]) -> bytes:
    """A batch."""
    name = topic.encode()
    frame = struct.pack("<H", len(name)) + name + struct.pack("<iI", partition, len(records))
    for given in records:
        frame += struct.pack("<qq", given.offset, given.timestamp)
        frame += _sized(given.key) + _sized(given.value) + struct.pack("<I", len(given.headers))
        for header, value in given.headers:
            frame += _sized(header.encode()) + _sized(value)
    return frame


def _sized(value: bytes | None) -> bytes:
    return struct.pack("<i", -1) if value is None else struct.pack("<i", len(value)) + value


class _Reader:
    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.at = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(layout, self.frame, self.at)
        self.at += struct.calcsize(layout)
        return found

    def sized(self) -> bytes | None:
        (length,) = self.numbers("<i")
        if length < 0:
            return None
        self.at += length
        return self.frame[self.at - length : self.at]

    def name(self) -> str:
        return (self.sized() or b"").decode()


def entries_of(frame: bytes) -> list[tuple[int, Sent | Failure]]:
    """The index and what it says of each entry of an answer."""
    reader = _Reader(frame)
    entries: list[tuple[int, Sent | Failure]] = []
    while reader.at < len(frame):
        index, kind, number = reader.numbers("<IBH")
        if kind == 1:
            entries.append((index, Failure(number, reader.name())))
            continue
        partition, timestamp = reader.numbers("<iq")
        key, value = reader.sized(), reader.sized()
        (count,) = reader.numbers("<I")
        sent = Sent(
            number,
            None if partition == -1 else partition,
            None if timestamp == _INHERIT else timestamp,
            key,
            value,
            [(reader.name(), reader.sized()) for _ in range(count)],
        )
        entries.append((index, sent))
    return entries

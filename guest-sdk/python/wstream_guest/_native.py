"""Stands in for the component's types and for the host where there is no component: in tests."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

KEY_BYTES_MAX = 4096


@dataclass
class Ok:
    value: Any


@dataclass
class Err(Exception):
    value: Any


@dataclass
class Payload_Text:
    value: str


@dataclass
class Payload_Binary:
    value: bytes


@dataclass
class Header:
    name: str
    value: Any


@dataclass
class Input:
    offset: int
    timestamp: int
    key: Any
    value: Any
    headers: list[Header]


@dataclass
class Output:
    output: int
    partition: int | None
    timestamp: int | None
    key: Any
    value: Any
    headers: list[Header]


@dataclass
class Failure:
    code: int
    message: str


class Payloads(Enum):
    TEXT = 0
    BINARY = 1


class host:
    """The log goes to standard error, metrics nowhere."""

    Level = Enum("Level", "TRACE DEBUG INFO WARN ERROR", start=0)
    MetricKind = Enum("MetricKind", "COUNTER GAUGE HISTOGRAM", start=0)

    @staticmethod
    def log(level: Any, message: str) -> None:
        print(f"{level.name.lower()}: {message}", file=sys.stderr)

    @staticmethod
    def metric(kind: Any, name: str, value: float) -> None:
        pass

    @staticmethod
    def now_ms() -> int:
        return time.time_ns() // 1_000_000


class state:
    """One dictionary of the process."""

    entries: dict[bytes, bytes] = {}

    @classmethod
    def get(cls, key: bytes) -> bytes | None:
        return cls.entries.get(key)

    @classmethod
    def put(cls, key: bytes, value: bytes, ttl_ms: int) -> None:
        if not 1 <= len(key) <= KEY_BYTES_MAX:
            raise Err(f"a key has 1 to {KEY_BYTES_MAX} bytes")
        cls.entries[key] = value

    @classmethod
    def delete(cls, key: bytes) -> bool:
        return cls.entries.pop(key, None) is not None

    @classmethod
    def scan(cls, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        keys = [key for key in sorted(cls.entries) if key.startswith(prefix)]
        keys = [key for key in keys if after is None or key > after]
        return [(key, cls.entries[key]) for key in keys[:limit]]

"""Stands in for the component's types and for the host where there is no component: in tests."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

KEY_BYTES_MAX = 4096
VALUE_BYTES_MAX = 1 << 20
ENTRIES_MAX = 100_000


@dataclass
class Err(Exception):
    value: Any


@dataclass
class Failure:
    code: int
    message: str


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
    """One dictionary of the process that answers as the host's table does."""

    entries: dict[bytes, tuple[bytes, float]] = {}
    #: What the record in work has replaced, in order.
    replaced: list[tuple[bytes, tuple[bytes, float] | None]] = []
    passed_ms = 0

    @classmethod
    def get(cls, key: bytes) -> bytes | None:
        value, expires = cls.entries.get(key, (None, 0))
        return value if expires > host.now_ms() + cls.passed_ms else None

    @classmethod
    def put(cls, key: bytes, value: bytes, ttl_ms: int) -> None:
        if not 1 <= len(key) <= KEY_BYTES_MAX:
            raise Err(f"a key has 1 to {KEY_BYTES_MAX} bytes")
        if len(value) > VALUE_BYTES_MAX:
            raise Err(f"a value has at most {VALUE_BYTES_MAX} bytes")
        if key not in cls.entries and len(cls.entries) >= ENTRIES_MAX:
            raise Err("the state has as many entries as it may have")
        expires = host.now_ms() + cls.passed_ms + ttl_ms if ttl_ms else math.inf
        cls._write(key, (value, expires))

    @classmethod
    def delete(cls, key: bytes) -> bool:
        was_live = cls.get(key) is not None
        cls._write(key, None)
        return was_live

    @classmethod
    def scan(cls, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        keys = [key for key in sorted(cls.entries) if key.startswith(prefix)]
        keys = [key for key in keys if after is None or key > after]
        live = [(key, cls.entries[key][0]) for key in keys if cls.get(key) is not None]
        return live[:limit]

    @classmethod
    def clear(cls) -> None:
        cls.entries.clear()
        cls.replaced.clear()

    @classmethod
    def commit(cls) -> None:
        """What was written so far holds."""
        cls.replaced.clear()

    @classmethod
    def discard(cls) -> None:
        """What was written since is discarded, as the host does it where a record fails."""
        while cls.replaced:
            cls._set(*cls.replaced.pop())

    @classmethod
    def _write(cls, key: bytes, entry: tuple[bytes, float] | None) -> None:
        cls.replaced.append((key, cls.entries.get(key)))
        cls._set(key, entry)

    @classmethod
    def _set(cls, key: bytes, entry: tuple[bytes, float] | None) -> None:
        if entry is None:
            cls.entries.pop(key, None)
        else:
            cls.entries[key] = entry

"""What a transform gets and what it makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Union

from ._frame import FIXED, Batch, behind, behind_headers
from ._json import JsonObject, loads

Bytes = Union[str, bytes]
"""A key, a value or a header's value."""

CODE_MAX = 999
_OWN = ("key", "value", "headers")
NOT_OBJECT = "the value is not a JSON object"


class Failure(Exception):
    """Fails the record, or in `__init__` the configuration, with a code of 0 to 999."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        if not 0 <= code <= CODE_MAX:
            raise ValueError(f"a failure's code is 0 to {CODE_MAX}, not {code}")
        self.code = code
        self.message = message


@dataclass
class Output:
    """A record to be sent: what is not given is null, and of the headers there are none."""

    value: Bytes | JsonObject | None = None
    key: Bytes | None = None
    headers: Iterable[tuple[str, Bytes | None]] = ()
    #: A name of the class's `outputs`, or a number.
    output: str | int = 0
    #: None is by the hash of the key.
    partition: int | None = None
    #: Milliseconds since 1970; None is the record's.
    timestamp: int | None = None


class Record:
    """What a transform gets. Keys and values are text, or bytes where they are not UTF-8; with
    `payloads = "binary"` in the class all are bytes."""

    __slots__ = ("_at", "_batch", "_end", "_headers_at", "_value_at")

    def __init__(self, batch: Batch, at: int) -> None:
        data = batch.data
        self._batch = batch
        self._at = at
        self._value_at = value_at = behind(data, at + FIXED)
        self._headers_at = headers_at = behind(data, value_at)
        self._end = behind_headers(data, headers_at)

    @property
    def topic(self) -> str:
        """Where it comes from."""
        return self._batch.topic

    @property
    def partition(self) -> int:
        """Where it comes from."""
        return self._batch.partition

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        return self._batch.number(self._at)

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970, -1 if unknown."""
        return self._batch.number(self._at + 8)

    @property
    def key(self) -> Bytes | None:
        """The key as it came."""
        return self._batch.payload(self._at + FIXED)

    @property
    def value(self) -> Bytes | None:
        """The value as it came."""
        return self._batch.payload(self._value_at)

    @property
    def headers(self) -> list[tuple[str, Bytes | None]]:
        """Names and values, in order; names may repeat."""
        return self._batch.headers(self._headers_at)

    def header(self, name: str) -> Bytes | None:
        """The last header of that name."""
        found = [value for given, value in self.headers if given == name]
        return found[-1] if found else None

    def bytes(self) -> bytes | None:
        """The value's bytes."""
        return self._batch.bytes(self._value_at)

    def text(self) -> str | None:
        """The value as text; fails the record where it is not UTF-8."""
        value = self.bytes()
        return None if value is None else value.decode()

    def json(self, code: int = 0) -> Any:
        """The value as JSON; fails the record with the code where it is none."""
        try:
            return loads(self.text() or "")
        except ValueError:
            raise Failure(code, "the value is not JSON") from None

    def object(self, code: int = 0) -> JsonObject:
        """The value as an object to edit; fails the record with the code where it is none."""
        try:
            found = JsonObject.parse(self.text() or "")
        except UnicodeDecodeError:
            found = None
        if found is None:
            raise Failure(code, NOT_OBJECT)
        return found

    def replace(self, **changes: Any) -> Output:
        """An output with the record's key, value and headers but for what is given."""
        # What is given instead need not be read.
        for field in _OWN:
            if field not in changes:
                changes[field] = getattr(self, field)
        return Output(**changes)

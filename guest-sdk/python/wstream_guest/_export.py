"""Makes a transform's class what the component exports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from . import _frame as frame
from ._json import JsonObject, loads
from ._record import Failure, Output, Record

try:
    from componentize_py_types import Err
    from wit_world.imports import types
except ImportError:
    # Outside of a component: in tests.
    from . import _native as types
    from ._native import Err

OUTPUT_MAX = 0xFFFF
PARTITION_MAX = 0xFFFFFFFF
TIMESTAMP_MAX = 0x7FFFFFFFFFFFFFFF


class Transform(Protocol):
    """What one writes; there may be `outputs` and `payloads` too."""

    def __init__(self, config: dict[str, Any]) -> None: ...

    def transform(self, record: Record) -> Iterable[Output | Record] | Output | Record | None:
        """What becomes of a record: an output, the record itself, several, or nothing."""
        ...


def export(transform: type[Transform]) -> type:
    """The class that the module must call `Guest`."""
    names: Sequence[str] = getattr(transform, "outputs", ("default",))
    is_text = _is_text(getattr(transform, "payloads", "text"))
    # Not of an object: the runtime makes one for each call.
    work: Any = None

    class Guest:
        outputs = names

        def init(self, config: str) -> None:
            nonlocal work
            try:
                work = transform(loads(config)).transform
            except Exception as error:
                raise Err(types.Failure(*_failure(error))) from None

        def process(self, batch: bytes) -> bytes:
            given = frame.Batch(batch, is_text)
            sent: list[bytes] = []
            at = given.first
            for index in range(given.count):
                record = Record(given, at)
                at = record._end
                start = len(sent)
                try:
                    _send(sent, index, work(record), names)
                except Exception as error:
                    del sent[start:]
                    code, message = _failure(error)
                    sent.append(frame.failure(index, code, message.encode()))
            return b"".join(sent)

    return Guest


def _is_text(payloads: str) -> bool:
    return {"text": True, "binary": False}[payloads.lower()]


def _failure(error: Exception) -> tuple[int, str]:
    if isinstance(error, Failure):
        return error.code, _well_formed(error.message)
    return 0, _well_formed(f"{type(error).__name__}: {error}")


def _well_formed(text: str) -> str:
    """The text without halves of surrogate pairs, which no UTF-8 holds."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _send(sent: list[bytes], index: int, made: Any, names: Sequence[str]) -> None:
    """Adds what a transform made of a record."""
    if made is None:
        return
    if isinstance(made, (Output, Record)):
        _send_one(sent, index, made, names)
        return
    for output in made:
        _send_one(sent, index, output, names)


def _send_one(sent: list[bytes], index: int, made: Any, names: Sequence[str]) -> None:
    if isinstance(made, Record):
        sent.append(frame.same(index))
        sent.append(made._batch.data[made._at + frame.FIXED : made._end])
        return
    if not isinstance(made, Output):
        raise TypeError(f"a transform returns outputs, not {type(made).__name__}")
    number, partition, timestamp = made.output, made.partition, made.timestamp
    if isinstance(number, str):
        if number not in names:
            raise ValueError(f"there is no output {number!r}")
        number = names.index(number)
    _check(number, 0, OUTPUT_MAX, "an output's number")
    if partition is not None:
        _check(partition, 0, PARTITION_MAX, "an output's partition")
    if timestamp is not None:
        _check(timestamp, -1, TIMESTAMP_MAX, "an output's timestamp")
    sent.append(frame.output(index, number, partition, timestamp))
    sent.append(frame.payload(_bytes(made.key)))
    sent.append(frame.payload(_bytes(made.value)))
    headers = list(made.headers)
    sent.append(frame.header_count(len(headers)))
    for name, value in headers:
        sent.append(frame.payload(_well_formed(name).encode()))
        sent.append(frame.payload(_bytes(value)))


def _check(number: int, least: int, most: int, what: str) -> None:
    if not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{what} is a whole number from {least} to {most}, not {number!r}")


def _bytes(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, JsonObject):
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"keys and values are str, bytes or None, not {type(value).__name__}")
    return value.encode()

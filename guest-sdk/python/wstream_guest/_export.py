"""Makes a transform's class what the component exports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ._json import JsonObject, loads
from ._record import Failure, Output, Record

try:
    from componentize_py_types import Err, Ok
    from wit_world.imports import types
except ImportError:
    # Outside of a component: in tests.
    from . import _native as types
    from ._native import Err, Ok

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
    payloads = types.Payloads[getattr(transform, "payloads", "text").upper()]
    # Not of an object: the runtime makes one for each call.
    work: Any = None

    class Guest:
        outputs = names

        def init(self, config: str) -> Any:
            nonlocal work
            try:
                work = transform(loads(config)).transform
            except Exception as error:
                raise Err(_failure(error)) from None
            return payloads

        def process(self, topic: str, partition: int, records: list[Any]) -> list[Any]:
            answers: list[Any] = []
            for given in records:
                record = Record(given, topic, partition)
                try:
                    answer = work(record)
                    outputs = [_same(given)] if answer is record else _outputs(answer, names)
                    answers.append(Ok(outputs))
                except Exception as error:
                    answers.append(Err(_failure(error)))
            return answers

    return Guest


def _failure(error: Exception) -> Any:
    if isinstance(error, Failure):
        return types.Failure(error.code, _well_formed(error.message))
    return types.Failure(0, _well_formed(f"{type(error).__name__}: {error}"))


def _well_formed(text: str) -> str:
    """The text without halves of surrogate pairs, which no UTF-8 holds."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _outputs(answer: Any, names: Sequence[str]) -> list[Any]:
    if answer is None:
        return []
    if isinstance(answer, (Output, Record)):
        return [_output(answer, names)]
    return [_output(output, names) for output in answer]


def _same(given: Any) -> Any:
    """The output that is the record itself."""
    return types.Output(0, None, None, given.key, given.value, given.headers)


def _output(output: Any, names: Sequence[str]) -> Any:
    if isinstance(output, Record):
        return _same(output._input)
    if not isinstance(output, Output):
        raise TypeError(f"a transform returns outputs, not {type(output).__name__}")
    number, partition, timestamp = output.output, output.partition, output.timestamp
    if isinstance(number, str):
        if number not in names:
            raise ValueError(f"there is no output {number!r}")
        number = names.index(number)
    _check(number, 0, OUTPUT_MAX, "an output's number")
    if partition is not None:
        _check(partition, 0, PARTITION_MAX, "an output's partition")
    if timestamp is not None:
        _check(timestamp, -1, TIMESTAMP_MAX, "an output's timestamp")
    headers = [types.Header(_well_formed(name), _payload(value)) for name, value in output.headers]
    key, value = _payload(output.key), _payload(output.value)
    return types.Output(number, partition, timestamp, key, value, headers)


def _check(number: int, least: int, most: int, what: str) -> None:
    if not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{what} is a whole number from {least} to {most}, not {number!r}")


def _payload(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, JsonObject):
        value = str(value)
    if isinstance(value, str):
        # Text that is not ASCII may hold half a surrogate pair: to find it is to encode it.
        if value.isascii():
            return types.Payload_Text(value)
        value = value.encode()
    if not isinstance(value, bytes):
        raise TypeError(f"keys and values are str, bytes or None, not {type(value).__name__}")
    return types.Payload_Binary(value)

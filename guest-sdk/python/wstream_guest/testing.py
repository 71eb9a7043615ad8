"""Runs a transform's cases in plain Python: for its own tests."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from . import _native as types
from ._native import state


def clear_state() -> None:
    """Removes all entries of the keyed state; `check_cases` does it before each case."""
    state.clear()


def pass_time(ms: int) -> None:
    """Lets time pass for the keyed state: what was put for less is gone."""
    state.passed_ms += ms


def check_cases(guest: type, path: str | Path) -> None:
    """Runs every case of a file through what a module exports as `Guest`.

    Raises AssertionError with what differs first.
    """
    count = 0
    for number, line in enumerate(Path(path).read_text("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        case = json.loads(line)
        wanted = _wanted(case, guest.outputs)
        got = _run(guest(), case)
        assert got == wanted, f"line {number}: wanted {wanted!r}\n  got {got!r}"
        count += 1
    assert count, "there is no case"


def _run(guest: Any, case: dict[str, Any]) -> Any:
    """What becomes of a case's record, behind those before it, with an instance and a state of its
    own."""
    clear_state()
    try:
        payloads = guest.init(json.dumps(case.get("config", {})))
    except types.Err as refused:
        return refused.value
    is_text = payloads is types.Payloads.TEXT
    for record in case.get("after", []):
        _feed(guest, record, is_text)
    answer = _feed(guest, case["in"], is_text)
    if isinstance(answer, types.Err):
        return answer.value
    for output in answer.value:
        output.key, output.value = _sent(output.key), _sent(output.value)
        output.headers = [types.Header(h.name, _sent(h.value)) for h in output.headers]
    return answer.value


def _feed(guest: Any, record: dict[str, Any], is_text: bool) -> Any:
    given = types.Input(
        offset=record.get("offset", 0),
        timestamp=record.get("timestamp", -1),
        key=_incoming(_bytes(record, "key"), is_text),
        value=_incoming(_bytes(record, "value"), is_text),
        headers=[
            types.Header(name, _incoming(_header(value), is_text))
            for name, value in record.get("headers", [])
        ],
    )
    topic, partition = record.get("topic", "test"), record.get("partition", 0)
    (answer,) = guest.process(topic, partition, [given])
    if isinstance(answer, types.Err):
        state.discard()
    state.commit()
    return answer


def _wanted(case: dict[str, Any], outputs: list[str]) -> Any:
    if "error" in case:
        return types.Failure(**case["error"])
    return [
        types.Output(
            output=list(outputs).index(record.get("output", outputs[0])),
            partition=record.get("partition"),
            timestamp=record.get("timestamp"),
            key=_bytes(record, "key"),
            value=_bytes(record, "value"),
            headers=[types.Header(name, _header(value)) for name, value in record.get("headers", [])],
        )
        for record in case["out"]
    ]


def _incoming(value: bytes | None, is_text: bool) -> Any:
    if value is None:
        return None
    if is_text:
        try:
            return types.Payload_Text(value.decode())
        except UnicodeDecodeError:
            pass
    return types.Payload_Binary(value)


def _bytes(record: dict[str, Any], field: str) -> bytes | None:
    if field + "_base64" in record:
        return base64.b64decode(record[field + "_base64"])
    if field + "_json" in record:
        return json.dumps(record[field + "_json"], ensure_ascii=False, separators=(",", ":")).encode()
    text = record.get(field)
    return None if text is None else text.encode()


def _header(value: Any) -> bytes | None:
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def _sent(payload: Any) -> bytes | None:
    if payload is None:
        return None
    return payload.value.encode() if isinstance(payload.value, str) else payload.value

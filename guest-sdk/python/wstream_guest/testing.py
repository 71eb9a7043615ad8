"""Runs a transform's cases in plain Python: for its own tests."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from . import _native as types
from ._testing_frame import Given, Sent, batch_of, entries_of
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
        guest.init(json.dumps(case.get("config", {})))
    except types.Err as refused:
        return refused.value
    for record in case.get("after", []):
        _feed(guest, record)
    return _feed(guest, case["in"])


def _feed(guest: Any, record: dict[str, Any]) -> Any:
    given = Given(
        offset=record.get("offset", 0),
        timestamp=record.get("timestamp", -1),
        key=_bytes(record, "key"),
        value=_bytes(record, "value"),
        headers=[(name, _header(value)) for name, value in record.get("headers", [])],
    )
    batch = batch_of(record.get("topic", "test"), record.get("partition", 0), [given])
    made = [what for _, what in entries_of(guest.process(batch))]
    failed = bool(made) and isinstance(made[0], types.Failure)
    if failed:
        state.discard()
    state.commit()
    return made[0] if failed else made


def _wanted(case: dict[str, Any], outputs: list[str]) -> Any:
    if "error" in case:
        return types.Failure(**case["error"])
    return [
        Sent(
            output=list(outputs).index(record.get("output", outputs[0])),
            partition=record.get("partition"),
            timestamp=record.get("timestamp"),
            key=_bytes(record, "key"),
            value=_bytes(record, "value"),
            headers=[(name, _header(value)) for name, value in record.get("headers", [])],
        )
        for record in case["out"]
    ]


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

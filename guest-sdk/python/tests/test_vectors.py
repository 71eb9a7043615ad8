"""The frames are those of `vectors`, byte for byte."""

import base64
import json
import unittest
from pathlib import Path
from typing import Any

from wstream_guest import Record, export
from wstream_guest import _frame as frame
from wstream_guest._native import Failure
from wstream_guest._testing_frame import Given, Sent, batch_of, entries_of

VECTORS = Path(__file__).resolve().parent.parent.parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines()]


def payload(record: dict[str, Any], field: str) -> bytes | None:
    if field + "_base64" in record:
        return base64.b64decode(record[field + "_base64"])
    return record[field].encode() if record.get(field) is not None else None


def headers(record: dict[str, Any]) -> list[tuple[str, bytes | None]]:
    found = []
    for name, value in record.get("headers", []):
        given = {"value_base64": value["base64"]} if isinstance(value, dict) else {"value": value}
        found.append((name, payload(given, "value")))
    return found


def shown(value: bytes | None) -> Any:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


class Keep:
    """Keeps every record, and sends it on."""

    seen: list[Record] = []

    def __init__(self, config: dict) -> None:
        self.seen.clear()

    def transform(self, record: Record) -> Record:
        self.seen.append(record)
        return record


class Vectors(unittest.TestCase):
    def test_batches(self) -> None:
        for vector in vectors("input"):
            given = [
                Given(r.get("offset", 0), r.get("timestamp", -1), payload(r, "key"),
                      payload(r, "value"), headers(r))
                for r in vector["records"]
            ]
            data = bytes.fromhex(vector["hex"])
            self.assertEqual(batch_of(vector["topic"], vector["partition"], given), data)
            guest = export(Keep)()
            guest.init("{}")
            answer = guest.process(data)
            for read, wanted in zip(Keep.seen, given, strict=True):
                self.assertEqual(
                    (read.topic, read.partition, read.offset, read.timestamp, read.key, read.value,
                     read.headers),
                    (vector["topic"], vector["partition"], wanted.offset, wanted.timestamp,
                     shown(wanted.key), shown(wanted.value),
                     [(name, shown(value)) for name, value in wanted.headers]),
                )
            sent = [Sent(0, None, None, g.key, g.value, g.headers) for g in given]
            self.assertEqual(entries_of(answer), list(enumerate(sent)), vector["name"])

    def test_answers(self) -> None:
        good = [v for v in vectors("output") if "entries" in v and not v.get("decode_only")]
        self.assertGreater(len(good), 10)
        for vector in good:
            made, wanted = b"", []
            for entry in vector["entries"]:
                index = entry["index"]
                if "code" in entry:
                    made += frame.failure(index, entry["code"], entry["message"].encode())
                    wanted.append((index, Failure(entry["code"], entry["message"])))
                    continue
                record = entry["record"]
                head = (entry["output"], entry["partition"], entry["timestamp"])
                key, value, named = payload(record, "key"), payload(record, "value"), headers(record)
                made += frame.output(index, *head)
                made += frame.payload(key) + frame.payload(value) + frame.header_count(len(named))
                for name, content in named:
                    made += frame.payload(name.encode()) + frame.payload(content)
                wanted.append((index, Sent(*head, key, value, named)))
            self.assertEqual(made.hex(), vector["hex"], vector["name"])
            self.assertEqual(entries_of(made), wanted, vector["name"])

    def test_codes_of_others_are_none(self) -> None:
        for code in (-1, 1000, 65536):
            self.assertEqual(entries_of(frame.failure(0, code, b"x")), [(0, Failure(0, "x"))])



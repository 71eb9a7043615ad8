"""Keyed state: what transforms rely on, with the table that stands in for the host's."""

import unittest

from wstream_guest import state
from wstream_guest._native import state as table
from wstream_guest.testing import clear_state, pass_time


def keys(prefix: str = "") -> list[bytes]:
    return [key for key, _ in state.scan(prefix)]


class State(unittest.TestCase):
    def setUp(self) -> None:
        clear_state()

    def test_what_was_put_is_there_until_it_is_deleted(self) -> None:
        self.assertIsNone(state.get("a"))
        state.put("a", "1")
        state.put(b"a", "\u00fc")
        self.assertEqual((state.get("a"), state.text("a")), (b"\xc3\xbc", "\u00fc"))
        state.put("a", b"")
        self.assertEqual(state.get("a"), b"")
        self.assertEqual((state.delete("a"), state.delete("a"), state.get("a")), (True, False, None))

    def test_what_was_put_for_some_time_expires(self) -> None:
        state.put("short", "", ttl_ms=60_000)
        state.put("long", "", ttl_ms=120_000)
        state.put("for good", "")
        pass_time(60_000)
        self.assertEqual((state.get("short"), state.delete("short")), (None, False))
        self.assertEqual((keys(), keys("l")), ([b"for good", b"long"], [b"long"]))

    def test_a_limit_that_is_hit_is_named(self) -> None:
        rows = [
            ("", "", "a key has 1 to 4096 bytes"),
            ("k" * 4097, "", "a key has 1 to 4096 bytes"),
            ("k", "v" * (2**20 + 1), "a value has at most 1048576 bytes"),
        ]
        for key, value, message in rows:
            with self.assertRaises(ValueError) as raised:
                state.put(key, value)
            self.assertEqual(str(raised.exception), message)
        state.put("k" * 4096, "v" * 2**20)

    def test_a_scan_goes_through_pages_in_the_order_of_keys(self) -> None:
        names = [f"a{n:04}" for n in range(2500)]
        for name in reversed(names):
            state.put(name, name)
        state.put("b", "")
        self.assertEqual(keys("a"), [name.encode() for name in names])

    def test_what_a_record_that_fails_has_written_is_discarded(self) -> None:
        state.put("a", "before")
        table.commit()
        state.put("a", "after")
        state.delete("a")
        state.put("b", "")
        table.discard()
        self.assertEqual((state.text("a"), keys()), ("before", [b"a"]))

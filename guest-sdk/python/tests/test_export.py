"""What a transform answers becomes what the host wants; what it raises fails one record."""

import unittest
from typing import Any

from wstream_guest import Failure, Output, export
from wstream_guest import _native as types
from wstream_guest._testing_frame import Given, Sent, batch_of, entries_of


def answers(transform: Any, *values: str | bytes, payloads: str = "text") -> list[Any]:
    """What each record of a call becomes: its outputs, or its failure."""

    class Made:
        outputs = ("default", "other")

        def __init__(self, config: dict) -> None:
            pass

        def transform(self, record: Any) -> Any:
            return transform(record)

    Made.payloads = payloads
    guest = export(Made)()
    guest.init("{}")
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    batch = batch_of("t", 3, [Given(7, 5, None, value, [("h", b"1")]) for value in encoded])
    made: list[Any] = [[] for _ in values]
    for index, what in entries_of(guest.process(batch)):
        if isinstance(what, Sent):
            made[index].append(what)
        else:
            made[index] = what
    return made


def raises(error: Exception) -> Any:
    raise error


class Export(unittest.TestCase):
    def test_a_failure_is_the_records_own(self) -> None:
        rows = [
            (lambda r: raises(Failure(7, "no")), types.Failure(7, "no")),
            (lambda r: raises(KeyError("x")), types.Failure(0, "KeyError: 'x'")),
            (lambda r: Output("v", output="x"), types.Failure(0, "ValueError: there is no output 'x'")),
            (lambda r: raises(ValueError("\ud800")), types.Failure(0, "ValueError: ?")),
        ]
        for transform, wanted in rows:
            only = lambda r, t=transform: t(r) if r.value == "bad" else r
            good, bad, last = answers(only, "a", "bad", "b")
            self.assertEqual(bad, wanted)
            self.assertEqual([good[0].value, last[0].value], [b"a", b"b"])

    def test_answers_are_one_several_or_none(self) -> None:
        (answer,) = answers(lambda r: None, "a")
        self.assertEqual(answer, [])
        (answer,) = answers(lambda r: iter([r, Output("b", output="other", partition=2)]), "a")
        self.assertEqual([(o.output, o.partition, o.timestamp) for o in answer],
                         [(0, None, None), (1, 2, None)])
        bad = [Output(output=-1), Output(partition=1.5), Output(timestamp=-2), Output(5), Output("\ud800"), "text"]
        for output in bad:
            (answer,) = answers(lambda r, o=output: o, "a")
            self.assertIsInstance(answer, types.Failure, output)

    def test_a_record_that_fails_leaves_nothing_behind(self) -> None:
        def work(record: Any) -> Any:
            yield Output("large", headers=[("h", b"1")])
            if record.value == "bad":
                raise Failure(1, "late")

        first, bad, last = answers(work, "a", "bad", "b")
        self.assertEqual(bad, types.Failure(1, "late"))
        self.assertEqual([len(first), len(last)], [1, 1])

    def test_a_record_gives_its_value_as_it_is_wanted(self) -> None:
        seen = []
        see = lambda r: seen.append((r.value, r.bytes(), r.header("h"), r.offset, r.timestamp))
        answers(see, "\ufeff1", b"\xff")
        answers(see, "1", payloads="binary")
        self.assertEqual(seen, [
            ("\ufeff1", b"\xef\xbb\xbf1", "1", 7, 5),
            (b"\xff", b"\xff", "1", 7, 5),
            (b"1", b"1", b"1", 7, 5),
        ])

    def test_a_partition_that_a_frame_cannot_hold_is_as_wrong_as_those_that_it_can(self) -> None:
        ((sent,),) = answers(lambda r: Output(partition=0xFFFFFFFF), "a")
        self.assertEqual(sent.partition, 0x7FFFFFFF)

    def test_what_is_replaced_is_not_read_and_the_rest_is_kept(self) -> None:
        ((sent,),) = answers(lambda r: r.replace(value="b", output="other"), "a")
        self.assertEqual(sent, Sent(1, None, None, None, b"b", [("h", b"1")]))

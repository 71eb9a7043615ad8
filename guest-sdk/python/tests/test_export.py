"""What a transform answers becomes what the host wants; what it raises fails one record."""

import unittest
from typing import Any

from wstream_guest import Failure, Output, export
from wstream_guest import _native as types


def answers(transform: Any, *values: str) -> list[Any]:
    class Made:
        outputs = ("default", "other")

        def __init__(self, config: dict) -> None:
            pass

        def transform(self, record: Any) -> Any:
            return transform(record)

    guest = export(Made)()
    guest.init("{}")
    inputs = [types.Input(7, 5, None, types.Payload_Text(value), []) for value in values]
    return guest.process("t", 3, inputs)


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
            self.assertEqual(bad, types.Err(wanted))
            self.assertEqual([good.value[0].value, last.value[0].value],
                             [types.Payload_Text("a"), types.Payload_Text("b")])

    def test_answers_are_one_several_or_none(self) -> None:
        (answer,) = answers(lambda r: None, "a")
        self.assertEqual(answer.value, [])
        (answer,) = answers(lambda r: iter([r, Output("b", output="other", partition=2)]), "a")
        self.assertEqual([(o.output, o.partition, o.timestamp) for o in answer.value],
                         [(0, None, None), (1, 2, None)])
        bad = [Output(output=-1), Output(partition=1.5), Output(timestamp=-2), Output(5), Output("\ud800"), "text"]
        for output in bad:
            (answer,) = answers(lambda r, o=output: o, "a")
            self.assertIsInstance(answer, types.Err, output)

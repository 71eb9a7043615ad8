"""Passes records whose `amount` is a number from 0 on, and fails the others."""

from wstream_guest import Failure, Record, export


class Strict:
    def __init__(self, config: dict) -> None:
        pass

    def transform(self, record: Record) -> Record:
        payment = record.object(code=1)
        amount = payment.get("amount")
        # True and False are numbers to isinstance.
        if type(amount) not in (int, float) or amount < 0:
            shown = payment.raw("amount") or "missing"
            raise Failure(3, f"amount is not a number from 0 on: {shown}")
        return record


Guest = export(Strict)

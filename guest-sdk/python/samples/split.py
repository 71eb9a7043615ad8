"""Makes a record of each element of an array, and one with their number for the output `totals`."""

from collections.abc import Iterator

from wstream_guest import Failure, Output, Record, export


class Split:
    outputs = ("default", "totals")

    def __init__(self, config: dict) -> None:
        self.field = config.get("field", "items")
        if not isinstance(self.field, str):
            raise Failure(1, "field is not a string")

    def transform(self, record: Record) -> Iterator[Output]:
        items = record.object(code=1).elements(self.field)
        if items is None:
            raise Failure(2, f"{self.field} is not an array")
        for item in items:
            yield Output(item, key=record.key)
        yield Output(f'{{"count":{len(items)}}}', key=record.key, output="totals")


Guest = export(Split)

"""Adds to each object how many records with its key came so far, this one included."""

from wstream_guest import Failure, Output, Record, export, state


class Count:
    def __init__(self, config: dict) -> None:
        pass

    def transform(self, record: Record) -> Output:
        key = record.key
        if key is None:
            raise Failure(2, "the record has no key")
        count = int(state.text(key) or 0) + 1
        try:
            state.put(key, str(count))
        except ValueError as limit:
            raise Failure(3, str(limit)) from None
        # If this raises, what was just put is discarded: a record that fails does not count.
        found = record.object(code=1)
        found.set("count", count)
        return record.replace(value=found)


Guest = export(Count)

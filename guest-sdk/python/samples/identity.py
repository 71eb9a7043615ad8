"""Sends every record on as it is."""

from wstream_guest import Record, export


class Identity:
    def __init__(self, config: dict) -> None:
        pass

    def transform(self, record: Record) -> Record:
        return record


Guest = export(Identity)

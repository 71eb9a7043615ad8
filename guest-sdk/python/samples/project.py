"""Drops debug events, calls `msg` `message`, and says where events come from."""

from wstream_guest import Output, Record, export


class Project:
    def __init__(self, config: dict) -> None:
        pass

    def transform(self, record: Record) -> Output | None:
        event = record.object(code=1)
        if event.get("level") == "debug":
            return None
        event.rename("msg", "message")
        event.set("env", "prod")
        return record.replace(value=event)


Guest = export(Project)

#!/usr/bin/env python3
"""Writes input.jsonl and output.jsonl: byte-exact vectors of the wstream_v1 frames.

It follows ../ABI.md only and shares no code with the host or an SDK, so that an error in one of
them does not repeat here. Run it in this folder; the result is the same each time.
"""

import base64
import json
import struct

INHERIT = -(1 << 63)


def nullable(data):
    return struct.pack("<i", -1) if data is None else struct.pack("<i", len(data)) + data


def payload(key, value, headers=()):
    out = nullable(key) + nullable(value) + struct.pack("<I", len(headers))
    for name, content in headers:
        out += struct.pack("<I", len(name)) + name + nullable(content)
    return out


def as_json(key, value, headers=()):
    form = {}
    for field, data in (("key", key), ("value", value)):
        if data is not None:
            try:
                form[field] = data.decode()
            except UnicodeDecodeError:
                form[field + "_base64"] = base64.b64encode(data).decode()
    if headers:
        form["headers"] = []
        for name, content in headers:
            try:
                text = None if content is None else content.decode()
            except UnicodeDecodeError:
                text = {"base64": base64.b64encode(content).decode()}
            form["headers"].append([name.decode(), text])
    return form


def input_vector(name, topic, partition, records):
    frame = struct.pack("<H", len(topic)) + topic.encode()
    frame += struct.pack("<iI", partition, len(records))
    forms = []
    for offset, timestamp, *rest in records:
        frame += struct.pack("<qq", offset, timestamp) + payload(*rest)
        form = {"offset": offset}
        if timestamp != -1:
            form["timestamp"] = timestamp
        forms.append(form | as_json(*rest))
    return {"name": name, "topic": topic, "partition": partition, "records": forms,
            "hex": frame.hex()}


def out(index, key, value, headers=(), output=0, partition=-1, timestamp=INHERIT):
    """An output entry as (bytes, JSON)."""
    data = struct.pack("<IBHiq", index, 0, output, partition, timestamp)
    form = {"index": index, "output": output,
            "partition": None if partition == -1 else partition,
            "timestamp": None if timestamp == INHERIT else timestamp,
            "record": as_json(key, value, headers)}
    return data + payload(key, value, headers), form


def fail(index, code, message):
    """A failure entry as (bytes, JSON)."""
    data = struct.pack("<IBHI", index, 1, code, len(message)) + message
    return data, {"index": index, "code": code, "message": message.decode(errors="replace")}


def good(name, records, *entries, **more):
    return {"name": name, "records": records, "hex": b"".join(e[0] for e in entries).hex(),
            "entries": [e[1] for e in entries]} | more


def bad(name, records, data, reason):
    return {"name": name, "records": records, "hex": data.hex(), "bad_frame": reason}


def inputs():
    tricky = [(b"a", b"1"), (b"", None), (b"a", b""), ("\u00fc".encode(), b"\xff\x00")]
    yield input_vector("one record", "t", 0, [(0, 1760000000000, b"k", b"v")])
    yield input_vector("null key and value", "t", 0, [(0, 0, None, None)])
    yield input_vector("empty is not null", "t", 0, [(1, 1, b"", b"")])
    yield input_vector("no timestamp", "t", 3, [(7, -1, None, b"v")])
    yield input_vector("headers", "t", 0, [(0, 5, b"k", b"v", tricky)])
    yield input_vector("bytes that are not text", "t", 0, [(0, 5, b"\xff\xfe", b"\x00\x80")])
    yield input_vector("three records", "netflix-titles", 2, [
        (100, 1, b"ts300399", b'{"id":"ts300399"}'),
        (101, 2, None, "\u00e9\u65e5\u672c".encode()),
        (105, 3, b"k", None, [(b"h", b"x")])])
    yield input_vector("largest numbers", "a" * 249, 2**31 - 1, [(2**63 - 1, 2**63 - 1, None, b"")])
    yield input_vector("an offset twice, in a chain", "t", 0, [(9, 1, None, b"a"), (9, 1, None, b"b")])
    yield input_vector("a value of 300 bytes", "t", 0, [(0, 0, None, b"x" * 300)])


def outputs():
    tricky = [(b"a", b"1"), (b"", None), (b"a", b""), ("\u00fc".encode(), b"\xff\x00")]
    yield good("empty", 3)
    yield good("one output", 1, out(0, b"k", b"v"))
    yield good("null key and value", 1, out(0, None, None))
    yield good("empty is not null", 1, out(0, b"", b""))
    yield good("partition, timestamp and output", 1,
               out(0, b"k", b"v", output=65535, partition=2147483647, timestamp=2**63 - 1))
    yield good("partition 0 and timestamp 0", 1, out(0, None, b"v", partition=0, timestamp=0))
    yield good("no timestamp is not inherit", 1, out(0, None, b"v", timestamp=-1))
    yield good("headers", 1, out(0, b"k", b"v", tricky))
    yield good("first dropped, second split, third failed", 3,
               out(1, b"k", b"a"), out(1, b"k", b"b", output=1), fail(2, 7, b"poisoned record"))
    yield good("failure codes 0 and 999", 2, fail(0, 0, b""), fail(1, 999, "gr\u00fc\u00df".encode()))
    yield good("outputs after a failure of an earlier record", 3,
               fail(0, 1, b"x"), out(1, None, b"y"), out(2, None, b"z"))
    yield good("a message that is not text", 1, fail(0, 5, b"a\xffb"), decode_only=True)
    yield good("bytes that are not text", 1, out(0, b"\xff", b"\x00\xfe"))
    yield good("the last record of a thousand", 1000, out(999, None, b"v"))

    one = out(0, b"k", b"v")[0]
    head = struct.pack("<IBHiq", 0, 0, 0, -1, INHERIT)
    at = len(one)
    p = "bad frame at byte "
    yield bad("trailing bytes", 1, one + b"\0", p + f"{at}: record index needs 4 bytes, 1 are left")
    yield bad("no kind", 1, b"\0\0\0\0", p + "4: kind needs 1 bytes, 0 are left")
    yield bad("no output", 1, b"\0\0\0\0\0\0", p + "5: output needs 2 bytes, 1 are left")
    yield bad("cut in the partition", 1, head[:10], p + "7: partition needs 4 bytes, 3 are left")
    yield bad("cut in the timestamp", 1, head[:18], p + "11: timestamp needs 8 bytes, 7 are left")
    yield bad("no key length", 1, head, p + "19: key length needs 4 bytes, 0 are left")
    yield bad("key outside", 1, head + struct.pack("<i", 5) + b"abcd",
              p + "23: key needs 5 bytes, 4 are left")
    yield bad("key of 2 GiB", 1, head + struct.pack("<i", 2**31 - 1),
              p + "23: key needs 2147483647 bytes, 0 are left")
    yield bad("key length -2", 1, head + struct.pack("<i", -2), p + "19: key length -2 is below -1")
    yield bad("value length", 1, head + nullable(None) + struct.pack("<i", -(2**31)),
              p + "23: value length -2147483648 is below -1")
    yield bad("value outside", 1, head + nullable(None) + struct.pack("<i", 1),
              p + "27: value needs 1 bytes, 0 are left")
    yield bad("no header count", 1, head + nullable(b"k") + nullable(b"v"),
              p + "29: header count needs 4 bytes, 0 are left")
    heads = head + nullable(None) * 2
    yield bad("four billion headers", 1, heads + struct.pack("<I", 2**32 - 1),
              p + "31: header name length needs 4 bytes, 0 are left")
    yield bad("header name outside", 1, heads + struct.pack("<II", 1, 2**32 - 1) + b"n",
              p + "35: header name needs 4294967295 bytes, 1 are left")
    yield bad("no header value length", 1, heads + struct.pack("<II", 1, 1) + b"n",
              p + "36: header value length needs 4 bytes, 0 are left")
    yield bad("header value length -2", 1, heads + struct.pack("<II", 1, 1) + b"n" + struct.pack("<i", -2),
              p + "36: header value length -2 is below -1")
    yield bad("header value outside", 1, heads + struct.pack("<II", 1, 0) + struct.pack("<i", 2) + b"x",
              p + "39: header value needs 2 bytes, 1 are left")
    yield bad("index out of range", 1, out(1, None, b"v")[0],
              p + "0: record index 1, the call has 1 records")
    yield bad("the largest index", 1000, out(2**32 - 1, None, b"v")[0],
              p + "0: record index 4294967295, the call has 1000 records")
    yield bad("index falls", 3, out(2, None, None)[0] + out(1, None, None)[0],
              p + "31: record index 1 after 2")
    yield bad("kind 2", 1, b"\0\0\0\0\2", p + "4: unknown kind 2")
    yield bad("kind 255", 1, one + b"\0\0\0\0\xff", p + f"{at + 4}: unknown kind 255")
    yield bad("failure after an output", 1, one + fail(0, 1, b"x")[0],
              p + f"{at + 4}: a failure beside another entry of record 0")
    yield bad("output after a failure", 1, fail(0, 1, b"x")[0] + one,
              p + "16: a failure beside another entry of record 0")
    yield bad("two failures", 1, fail(0, 1, b"x")[0] * 2,
              p + "16: a failure beside another entry of record 0")
    yield bad("partition -2", 1, out(0, None, None, partition=-2)[0],
              p + "7: partition -2 is below -1")
    yield bad("timestamp -2", 1, out(0, None, None, timestamp=-2)[0],
              p + "11: timestamp -2 is below -1")
    yield bad("timestamp just above inherit", 1, out(0, None, None, timestamp=INHERIT + 1)[0],
              p + "11: timestamp -9223372036854775807 is below -1")
    yield bad("failure code 1000", 1, fail(0, 1000, b"x")[0], p + "5: failure code 1000 is the host's")
    yield bad("failure code 65535", 1, fail(0, 65535, b"x")[0],
              p + "5: failure code 65535 is the host's")
    yield bad("no failure code", 1, b"\0\0\0\0\1", p + "5: failure code needs 2 bytes, 0 are left")
    yield bad("no message length", 1, b"\0\0\0\0\1\7\0", p + "7: message length needs 4 bytes, 0 are left")
    yield bad("message outside", 1, b"\0\0\0\0\1\7\0" + struct.pack("<I", 2**32 - 1) + b"abc",
              p + "11: message needs 4294967295 bytes, 3 are left")


def write(path, vectors):
    with open(path, "w", encoding="ascii", newline="\n") as file:
        for vector in vectors:
            file.write(json.dumps(vector) + "\n")


write("input.jsonl", inputs())
write("output.jsonl", outputs())

#!/usr/bin/env python3
"""Writes seeds for the fuzz targets to corpus/TARGET, from the vectors and modules of the tests."""

import json
import pathlib
import struct

here = pathlib.Path(__file__).parent
root = here.parent.parent


def write(target, name, data):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


for number, line in enumerate((root / "guest-sdk/vectors/output.jsonl").read_text().splitlines()):
    vector = json.loads(line)
    count = struct.pack("<H", vector["records"])
    write("output_frame", number, count + bytes.fromhex(vector["hex"]))

for name, data in {
    "record": "026b0a68656c6c6f02026801",
    "null": "010100",
    "empty": "0000020000",
}.items():
    write("redpanda_payload", name, bytes.fromhex(data))

# What scripts/guests.sh has built, and the empty module.
write("module_inspect", "empty", b"\0asm\1\0\0\0")
for module in (root / "transforms/dist").glob("*.wasm"):
    write("module_inspect", module.stem, module.read_bytes())

#!/usr/bin/env python3
"""Takes the measurements that README.md lists: `bench.py NAME...`, or all.

Each prints a table and, with --out DIR, keeps it as JSON. wstream and its peer alternate in one
run where a peer exists; medians and ratios are what to quote.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import generate
import index as documents
from measure import ROOT, as_dict, binary, free_port, median, memory_mb, report, run, spread

SHARED = Path(os.environ.get("WSTREAM_SHARED", ROOT.parent / "shared"))


def once(args):
    """1. titles and credits, from empty to searchable."""
    runs = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as data:
            env = {
                "TITLES": str(SHARED / "data/netflix/titles.csv"),
                "CREDITS": str(SHARED / "data/netflix/credits.csv"),
            }
            config = ROOT / "examples/netflix/wstream.toml"
            runs.append(run([binary(), "run", config, "--once", "--data", data, *free_ports()], env))
    rows = {
        "seconds (aim 3)": spread([r.wall for r in runs]),
        "CPU seconds": spread([r.cpu for r in runs]),
        "peak memory MB (aim 250)": spread([r.peak_mb for r in runs]),
    }
    report("once", rows, args.out)


def log(args):
    """2. The log beside a plain file, both durabilities: batches of 100 KB, and 1 KB alone."""
    alone = ["--batch-bytes", "1KiB", "--in-flight", "1", "--total-bytes", "4MiB"]
    rows = {}
    for durability in ["process", "disk"]:
        command = [binary(), "bench", "log", "--durability", durability, "--baseline", "file", "--json"]
        rows[durability] = json.loads(run(command).stdout)
        rows[f"{durability}, alone"] = json.loads(run([*command, *alone]).stdout)
    report("log", rows, args.out)


def transform(args):
    """3. The JSON record in a guest and natively, in one process."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = [target / "release" / "wstream-bench", "transform", ROOT / "transforms/dist"]
    report("transform", json.loads(run(command).stdout), args.out)


def index(args):
    """4. Documents to searchable, beside OpenSearch."""
    documents.measure(args, SHARED)


JOB = """
[topics.events]
partitions = 1
[sources.events]
type = "jsonl"
path = "{input}"
topic = "events"
[pipelines.job]
from = ["events"]
transforms = [{{ module = "{module}" }}]
to = ["out"]
[sinks.out]
type = "file"
path = "{output}"
format = "value"
"""


def job(args):
    """5. Drop, rename, add: file to file through the whole node."""
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        path = generate.json_job(scratch / "events.jsonl", args.lines)
        module = ROOT / "transforms/dist/bench-json.wasm"
        config = scratch / "wstream.toml"
        config.write_text(JOB.format(input=path, module=module, output=scratch / "out"))
        for _ in range(args.runs):
            command = [binary(), "run", config, "--once", "--data", scratch / "data", *free_ports()]
            runs.append(run(command))
            lines = sum(f.read_bytes().count(b"\n") for f in (scratch / "out").rglob("*.jsonl"))
            shutil.rmtree(scratch / "data")
            shutil.rmtree(scratch / "out")
    rows = {
        "lines in": args.lines,
        "lines out": lines,
        "records/s (aim 350,000)": spread([args.lines / r.wall for r in runs]),
        "CPU seconds per million (aim 2.7)": spread([r.cpu * 1e6 / args.lines for r in runs]),
        "peak memory MB": spread([r.peak_mb for r in runs]),
    }
    report("job", rows, args.out)


def start(args):
    """6. Ready to serve, empty and loaded; idle memory."""
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        rows["empty"] = timed_start(scratch / "empty", None, args.runs)
        loaded = scratch / "loaded"
        env = {
            "TITLES": str(SHARED / "data/netflix/titles.csv"),
            "CREDITS": str(SHARED / "data/netflix/credits.csv"),
        }
        config = ROOT / "examples/netflix/wstream.toml"
        run([binary(), "run", config, "--once", "--data", loaded, *free_ports()], env)
        fill = [binary(), "bench", "log", "--data", loaded, "--partitions", "4"]
        run([*fill, "--total-bytes", f"{args.gib}GiB", "--json"])
        rows["loaded"] = timed_start(loaded, config, args.runs, env)
        rows["loaded bytes"] = sum(f.stat().st_size for f in loaded.rglob("*") if f.is_file())
    report("start", rows, args.out)


def timed_start(data, config, runs, env=None) -> dict:
    """Seconds until /health/ready answers 200, and memory ten seconds later."""
    times, memory = [], []
    for i in range(runs):
        http, search = free_port(), free_port()
        command = [binary(), "run", *([config] if config else []), "--data", data]
        command += ["--http", f"127.0.0.1:{http}", "--search", f"127.0.0.1:{search}"]
        begin = time.monotonic()
        child = subprocess.Popen(
            [str(c) for c in command],
            env={**os.environ, **(env or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not answers(f"http://127.0.0.1:{http}/health/ready"):
                if time.monotonic() - begin > 60 or child.poll() is not None:
                    raise SystemExit(f"{command} did not become ready")
                time.sleep(0.002)
            times.append(time.monotonic() - begin)
            if i == 0:
                time.sleep(10)
                memory.append(memory_mb(child.pid))
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)
    return {"ready seconds (aim 0.5)": spread(times), "idle MB (aim 100)": median(memory)}


def answers(url) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def build(args):
    """7. Clean debug and release, warm check and one crate's tests."""
    rows = {}
    with tempfile.TemporaryDirectory() as target:
        env = {"CARGO_TARGET_DIR": target}
        touched = ROOT / "host/crates/log/src/lib.rs"
        for name, command in {
            "clean debug": ["cargo", "build"],
            "warm check after an edit of wstream-log": ["cargo", "check"],
            "clean release": ["cargo", "build", "--release"],
        }.items():
            if name.startswith("warm"):
                run(["cargo", "check"], env)
                touched.touch()
            rows[name] = as_dict(run(command, env))
        run(["cargo", "test", "-p", "wstream-log", "--no-run"], env)
        touched.touch()
        rows["warm cargo test -p wstream-log"] = as_dict(run(["cargo", "test", "-p", "wstream-log"], env))
    report("build", rows, args.out)


def partitions(args):
    """8. The log with many partitions: appends, a trickle with a kill, catching up, an idle fetch."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "partitions"

    def taken(what, data, check=True, **settings):
        command = [program, what, data, *(f"{k}={v}" for k, v in settings.items())]
        return json.loads(run(command, check=check).stdout)

    def fresh(what, **settings):
        with tempfile.TemporaryDirectory() as data:
            return taken(what, data, **settings)

    rows = {}
    for count in [16, 96, 256, 5_000]:
        runs = [fresh("appends", partitions=count, mb=256) for _ in range(args.runs)]
        rows[f"{count} partitions, 1.1 KB, appends/s"] = spread([r["appends_per_second"] for r in runs])
        rows[f"{count} partitions, CPU s/GB"] = spread([r["cpu_seconds_per_gigabyte"] for r in runs])
    one, many = [], []
    for _ in range(args.runs):
        one.append(fresh("appends", partitions=1, bytes=10_000, in_flight=100, mb=1_000))
        many.append(fresh("appends", partitions=100, bytes=10_000, mb=1_000))
    rows["1 partition, 10 KB, 100 in flight, MB/s"] = spread([r["megabytes_per_second"] for r in one])
    rows["100 partitions, 10 KB, 1 in flight, MB/s"] = spread([r["megabytes_per_second"] for r in many])
    with tempfile.TemporaryDirectory() as data:
        rows["5,000 partitions, an append a second, disk"] = taken(
            "trickle", data, check=False, partitions=5_000, seconds=30, disk=1, abort=1
        )
        rows["the same, start after a kill, clean stop"] = taken("start", data)
    rows["one of 1,000 partitions, caught up"] = fresh("catchup", partitions=1_000, mb=4_000)
    rows["a fetch over 1,000 partitions, nothing new"] = fresh("fetch", partitions=1_000, rounds=1_000)
    report("partitions", rows, args.out)


def free_ports():
    return ["--http", "127.0.0.1:0", "--search", "127.0.0.1:0"]


ALL = {f.__name__: f for f in [once, log, transform, index, job, start, build, partitions]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="which; all without one")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=20_000, help="documents/s while delays are taken")
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--gib", type=int, default=5, help="records of the loaded data directory")
    parser.add_argument("--no-peer", action="store_true", help="without OpenSearch")
    parser.add_argument("--out", type=Path, help="folder for the results as JSON")
    args = parser.parse_args()
    # A stopped measurement stops its servers and removes its files, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    for name in args.names or ALL:
        ALL[name](args)


if __name__ == "__main__":
    main()

"""Documents from the log to searchable: rates, CPU, bytes on disk, delay; and the searches.

wstream fills its log first; what is measured is a whole `wstream run --once` with one pipeline
from that log into a new index, its start and its end included. OpenSearch gets the same documents
by `_bulk`, from memory, with ids of our own. Both take turns.
"""

import csv
import http.client
import itertools
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import generate
import opensearch
from measure import binary, cpu_of, free_port, median, report, run, spread

CREDITS_MAPPING = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0},
    "mappings": {
        "properties": {
            "person_id": {"type": "keyword"},
            "id": {"type": "keyword"},
            "name": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
            "character": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
            "role": {"type": "keyword"},
        }
    },
}
LOAD = """
[topics.{name}]
partitions = 1
[sources.{name}]
type = "jsonl"
path = "{path}"
topic = "{name}"
"""
INDEX = """
[topics.{topic}]
partitions = 1
[pipelines.{index}]
from = ["{topic}"]
to = ["index"]
[sinks.index]
type = "search"
index = "{index}"
"""
# Documents of one request, and how often a search looks whether they are there.
DELAY_BATCH = 200
DELAY_POLL = 0.005


def measure(args, shared: Path):
    """4. Documents to searchable, beside OpenSearch."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        sets = {"http": (generate.http_log(scratch / "http.jsonl", args.documents), opensearch.MAPPING)}
        source = shared / "data/netflix/credits.csv"
        if source.exists():
            sets["credits"] = (credits(source, scratch / "credits.jsonl"), CREDITS_MAPPING)
        data = scratch / "data"
        config = scratch / "wstream.toml"
        config.write_text("".join(LOAD.format(name=n, path=p) for n, (p, _) in sets.items()))
        once(config, data)
        peer = None if args.no_peer else opensearch.Node(scratch / "opensearch")
        rows = {}
        try:
            for name, (path, mapping) in sets.items():
                rows |= rates(name, path, mapping, data, config, peer, args.runs)
            rows["delay of wstream"] = delay_of_wstream(data, config, sets["http"][0], args.rate)
            if peer:
                rows["delay of OpenSearch"] = delay_of_peer(peer, sets["http"][0], args.rate)
            rows |= searches(sets["http"][0], peer, args.runs, scratch)
        finally:
            if peer:
                peer.stop()
    report("index", rows, args.out)


def credits(source: Path, path: Path) -> Path:
    """The rows as the csv source makes them: objects of strings."""
    with open(source, encoding="utf-8", newline="") as rows, open(path, "w") as out:
        for row in csv.DictReader(rows):
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    return path


def once(config, data):
    ports = ["--http", "127.0.0.1:0", "--search", "127.0.0.1:0"]
    return run([binary(), "run", config, "--once", "--data", data, *ports])


def rates(name, path, mapping, data, config, peer, runs) -> dict:
    """One set of documents, in turns."""
    count = sum(1 for _ in open(path, "rb"))
    size = path.stat().st_size
    ours, theirs = [], []
    if peer:
        peer.load(path, f"{name}-warm-up", mapping)
    for i in range(runs):
        index = f"{name}-{i}"
        config.write_text(INDEX.format(topic=name, index=index))
        taken = once(config, data)
        files = data / "search" / index
        disk = sum(f.stat().st_size for f in files.iterdir() if f.is_file())
        shutil.rmtree(files)
        ours.append((count / taken.wall, taken.cpu * 1e6 / count, disk / size, taken.peak_mb))
        if peer:
            theirs.append(peer.load(path, index, mapping))
    rows = {
        f"{name}: documents, bytes": f"{count}, {size}",
        f"{name}: documents/s": spread([o[0] for o in ours]),
        f"{name}: CPU s per million (aim 6)": spread([o[1] for o in ours]),
        f"{name}: bytes on disk per byte (aim 0.40)": spread([o[2] for o in ours]),
        f"{name}: peak memory MB": spread([o[3] for o in ours]),
    }
    if theirs:
        ratio = median(o[0] for o in ours) / median(t["documents_per_second"] for t in theirs)
        rows |= {
            f"{name}: OpenSearch, documents/s": spread([t["documents_per_second"] for t in theirs]),
            f"{name}: OpenSearch, CPU s per million": spread([t["cpu_seconds_per_million"] for t in theirs]),
            f"{name}: OpenSearch, bytes per byte": spread([t["disk_per_byte"] for t in theirs]),
            f"{name}: times its rate (aim 3)": f"{ratio:.2f}",
        }
    return rows


def searches(path, peer, runs, scratch) -> dict:
    """The searches in process, and OpenSearch's over HTTP."""
    command = [binary(), "bench", "search", "--input", path, "--dir", scratch, "--json"]
    inside = json.loads(run(command).stdout)
    rows = {
        "in process: documents/s": f"{inside['documents_per_second']:.0f}",
        "in process: CPU s per million": f"{inside['cpu_seconds_per_million']:.2f}",
    }
    for timing in inside["searches"]:
        rows[f"in process: {timing['name']}"] = f"p50 {timing['p50_ms']:.2f} ms, p99 {timing['p99_ms']:.2f} ms"
    if peer:
        for name, p50 in peer.queries(f"http-{runs - 1}").items():
            rows[f"OpenSearch over HTTP: {name}"] = f"p50 {p50} ms"
    return rows


def delay_of_wstream(data, config, path, rate) -> str:
    """Acknowledged by POST on :8080 until a search on :9200 counts it."""
    config.write_text(INDEX.format(topic="delay", index="delay"))
    web, search = free_port(), free_port()
    ports = ["--http", f"127.0.0.1:{web}", "--search", f"127.0.0.1:{search}"]
    command = [binary(), "run", config, "--data", data, *ports]
    child = subprocess.Popen(
        [str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(web, "/health/ready")
        line = lambda text: json.dumps({"value": text}) + "\n"
        bodies = batches(path, rate, line)
        address = "/api/v1/topics/delay/records"
        before = cpu_of(child.pid)
        text = delays(web, address, bodies, search, "/delay/_count", rate)
        cpu = (cpu_of(child.pid) - before) * 1e6 / (len(bodies) * DELAY_BATCH)
        return f"{text}, {cpu:.1f} CPU s per million"
    finally:
        child.terminate()
        child.wait(20)


def delay_of_peer(peer, path, rate) -> str:
    """Acknowledged by `_bulk` until a search counts it, with its default refresh."""
    peer.call("PUT", "/delay", opensearch.MAPPING)
    line = lambda text: '{"create":{}}\n' + text + "\n"
    bodies = batches(path, rate, line)
    return delays(peer.port, "/delay/_bulk", bodies, peer.port, "/delay/_count", rate)


def batches(path, rate, line) -> list:
    """Ten seconds of requests."""
    with open(path) as lines:
        texts = [line(text.rstrip("\n")) for text in itertools.islice(lines, rate * 10)]
    texts = texts[: len(texts) // DELAY_BATCH * DELAY_BATCH]
    return ["".join(texts[i : i + DELAY_BATCH]).encode() for i in range(0, len(texts), DELAY_BATCH)]


def wait_for(port, path):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"nothing is ready on {port}")


def delays(port, address, bodies, search_port, count, rate) -> str:
    """Sends bodies at the rate; milliseconds until a search sees them, batch by batch."""
    seen, done = [], threading.Event()

    def poll():
        connection = http.client.HTTPConnection("127.0.0.1", search_port, timeout=30)
        while not done.is_set():
            connection.request("GET", count)
            answer = json.loads(connection.getresponse().read())
            seen.append((time.monotonic(), answer.get("count", 0)))
            time.sleep(DELAY_POLL)

    poller = threading.Thread(target=poll)
    poller.start()
    acknowledged = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    begin = time.monotonic()
    try:
        for i, body in enumerate(bodies):
            time.sleep(max(0.0, begin + i * DELAY_BATCH / rate - time.monotonic()))
            connection.request("POST", address, body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{address}: {answer.status} {data[:300]}")
            acknowledged.append(time.monotonic())
        deadline = time.monotonic() + 30
        while seen[-1][1] < len(bodies) * DELAY_BATCH and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        done.set()
        poller.join()
    sent = len(bodies) * DELAY_BATCH / (acknowledged[-1] - begin)
    took, at = [], 0
    for i, when in enumerate(acknowledged):
        while at < len(seen) and seen[at][1] < (i + 1) * DELAY_BATCH:
            at += 1
        if at == len(seen):
            raise SystemExit(f"only {seen[-1][1]} documents became searchable")
        took.append(max(0.0, seen[at][0] - when) * 1e3)
    p50, p99 = statistics.quantiles(took, n=100)[49], statistics.quantiles(took, n=100)[98]
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {max(took):.0f} ms at {sent:.0f} documents/s"

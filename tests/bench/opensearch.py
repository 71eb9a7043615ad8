"""A real OpenSearch to measure beside: bulk loads with ids of our own, and the same queries."""

import http.client
import json
import statistics
import subprocess
import threading
import time
from pathlib import Path

from measure import ROOT, cpu_of, free_port

SCRIPT = ROOT / "tests/peers/opensearch.sh"
BULK = 5_000
CLIENTS = 2
MAPPING = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0},
    "mappings": {
        "properties": {
            "@timestamp": {"type": "date"},
            "clientip": {"type": "keyword"},
            "request": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
            "status": {"type": "integer"},
            "size": {"type": "integer"},
        }
    },
}


class Node:
    """One server of its own, stopped by `stop`."""

    def __init__(self, folder: Path):
        self.port = free_port()
        self.folder = folder
        subprocess.run([SCRIPT, "install"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([SCRIPT, "start", folder, str(self.port)], check=True, stdout=subprocess.DEVNULL)
        pid = subprocess.run([SCRIPT, "pid", folder], check=True, capture_output=True, text=True)
        self.pid = int(pid.stdout)
        self.call("PUT", "/_cluster/settings", {"persistent": {"search.max_aggregation_rewrite_filters": 0}})

    def stop(self):
        subprocess.run([SCRIPT, "stop", self.folder], check=True)

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        text = json.dumps(body) if body is not None else None
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {data[:500]}")
        return json.loads(data)

    def load(self, path: Path, index: str, mapping: dict) -> dict:
        """Loads the lines with ids by `create`; until a search sees them all."""
        self.call("PUT", f"/{index}", mapping)
        lines = path.read_bytes().splitlines()
        bodies = []
        for at in range(0, len(lines), BULK):
            part = []
            for i, line in enumerate(lines[at : at + BULK]):
                part.append(b'{"create":{"_id":"http-0-%d"}}\n%s\n' % (at + i, line))
            bodies.append(b"".join(part))
        cpu, begin = cpu_of(self.pid), time.monotonic()
        threads = [
            threading.Thread(target=self._send, args=(index, bodies[n::CLIENTS])) for n in range(CLIENTS)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.call("POST", f"/{index}/_refresh")
        wall = time.monotonic() - begin
        cpu = cpu_of(self.pid) - cpu
        seen = self.call("GET", f"/{index}/_count")["count"]
        if seen != len(lines):
            raise SystemExit(f"OpenSearch has {seen} of {len(lines)} documents")
        self.call("POST", f"/{index}/_flush")
        store = self.call("GET", f"/{index}/_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"]
        return {
            "documents_per_second": len(lines) / wall,
            "cpu_seconds_per_million": cpu * 1e6 / len(lines),
            "disk_per_byte": store / path.stat().st_size,
        }

    def _send(self, index, bodies):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        for body in bodies:
            connection.request("POST", f"/{index}/_bulk", body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 200 or b'"errors":true' in data[:200]:
                raise SystemExit(f"_bulk: {answer.status} {data[:300]}")

    def queries(self, index: str) -> dict:
        """Milliseconds over HTTP of the three aggregations, p50 of 50."""
        by_status = {"terms": {"field": "status"}}
        by_minute = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}}
        nested = {**by_minute, "aggs": {"status": by_status}}
        out = {}
        for name, agg in {"terms": by_status, "date_histogram": by_minute, "nested": nested}.items():
            times = []
            for i in range(50):
                # A range of its own each time keeps the request cache out.
                query = {"range": {"@timestamp": {"gte": f"2025-01-01T00:00:{i:02}Z"}}}
                body = {"size": 0, "query": query, "aggs": {"a": agg}}
                begin = time.monotonic()
                self.call("POST", f"/{index}/_search?request_cache=false", body)
                times.append((time.monotonic() - begin) * 1e3)
            out[name] = round(statistics.median(times), 2)
        return out

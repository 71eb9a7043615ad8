"""Runs commands as whole processes and says what they took: wall and CPU seconds, peak memory.

CPU and memory come from the kernel's accounting of the finished child (wait4), so they include
everything the process did. Load that runs beside shows in wall time; trust CPU seconds first.
"""

import json
import os
import platform
import socket
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """One finished command."""

    wall: float
    cpu: float
    peak_mb: float
    stdout: str
    stderr: str


def binary() -> str:
    """The release program, as `cargo build --release` leaves it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(os.environ.get("WSTREAM_BIN", target / "release" / "wstream"))
    if not path.exists():
        raise SystemExit(f"{path} is missing: run 'cargo build --release' first")
    return str(path)


def run(command, env=None, check=True) -> Run:
    """Runs a command to its end."""
    start = time.monotonic()
    child = subprocess.Popen(
        [str(c) for c in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    # Small outputs only: both pipes are read to the end before the child is waited for.
    stdout, stderr = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    text = stderr.decode(errors="replace")
    if check and child.returncode != 0:
        raise SystemExit(f"{command} ended with {child.returncode}:\n{text}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall, cpu, usage.ru_maxrss / 1024, stdout.decode(errors="replace"), text)


def cpu_of(pid: int) -> float:
    """CPU seconds of a living process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, field="VmRSS") -> float:
    """Resident memory of a living process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def median(values) -> float:
    return statistics.median(values)


def spread(values) -> str:
    """Median with minimum and maximum."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def machine() -> dict:
    """What the figures were taken on."""
    model = next(
        (l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit,
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


def report(name: str, rows: dict, out: Path | None):
    """Prints a result and, if asked, keeps it as JSON."""
    print(f"\n{name}")
    for key, value in rows.items():
        print(f"  {key:<44} {value if isinstance(value, str) else json.dumps(value)}")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        whole = {"machine": machine(), "results": rows}
        (out / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")


def as_dict(result: Run) -> dict:
    return {k: v for k, v in asdict(result).items() if k not in ("stdout", "stderr")}

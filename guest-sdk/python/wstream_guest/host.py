"""The transform's log, its metrics and the clock. Import it at the top of a module: there are no
files to import from later."""

from __future__ import annotations

try:
    from wit_world.imports import host as _host
except ImportError:
    from ._native import host as _host


def trace(message: str) -> None:
    """Writes a line to the transform's log."""
    _host.log(_host.Level.TRACE, message)


def debug(message: str) -> None:
    """Writes a line to the transform's log."""
    _host.log(_host.Level.DEBUG, message)


def info(message: str) -> None:
    """Writes a line to the transform's log."""
    _host.log(_host.Level.INFO, message)


def warn(message: str) -> None:
    """Writes a line to the transform's log."""
    _host.log(_host.Level.WARN, message)


def error(message: str) -> None:
    """Writes a line to the transform's log."""
    _host.log(_host.Level.ERROR, message)


def count(name: str, value: float = 1) -> None:
    """Adds to a counter."""
    _host.metric(_host.MetricKind.COUNTER, name, value)


def gauge(name: str, value: float) -> None:
    """Sets a gauge."""
    _host.metric(_host.MetricKind.GAUGE, name, value)


def observe(name: str, value: float) -> None:
    """Observes into a histogram."""
    _host.metric(_host.MetricKind.HISTOGRAM, name, value)


def now() -> int:
    """Milliseconds since 1970."""
    return _host.now_ms()

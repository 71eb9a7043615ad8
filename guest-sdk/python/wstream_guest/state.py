"""Keyed state of the (pipeline, partition) that the instance works for: it survives the instance
and the node. Writes of a record that fails are discarded with its outputs."""

from __future__ import annotations

from collections.abc import Iterator

try:
    from componentize_py_types import Err as _Err
    from wit_world.imports import state as _state
except ImportError:
    from ._native import Err as _Err
    from ._native import state as _state

_PAGE = 1000


def _bytes(given: str | bytes) -> bytes:
    return given.encode() if isinstance(given, str) else given


def get(key: str | bytes) -> bytes | None:
    """The value of a key; None if there is none, or if it has expired."""
    return _state.get(_bytes(key))


def text(key: str | bytes) -> str | None:
    """The value of a key as text."""
    value = _state.get(_bytes(key))
    return None if value is None else value.decode()


def put(key: str | bytes, value: str | bytes, ttl_ms: int = 0) -> None:
    """Sets a key, for so many milliseconds, or for good with 0.

    Raises ValueError where a key has not 1 to 4,096 bytes, or a value more than 1 MiB.
    """
    try:
        _state.put(_bytes(key), _bytes(value), ttl_ms)
    except _Err as error:
        raise ValueError(error.value) from None


def delete(key: str | bytes) -> bool:
    """Removes a key; False if there was none."""
    return _state.delete(_bytes(key))


def scan(prefix: str | bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Entries whose key begins with `prefix`, in the order of keys."""
    after = None
    while page := _state.scan(_bytes(prefix), after, _PAGE):
        yield from page
        after = page[-1][0]

"""JSON objects whose fields are edited where they stand: what is not touched keeps its text, so
that 1.50 stays 1.50. The json module checks the text; what is looked for behind it trusts that.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

_DEPTH_MAX = 128

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_SCALAR = re.compile(r"[^ \t\n\r,\]}]+")
_MARK = re.compile(r'["{}\[\]]')
_NO_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^"{}\[\]]+')
_STEPS = {"{": 1, "[": 1, "}": -1, "]": -1, '"': 0}

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode
# Python reads no whole number of more than 4,300 digits.
_decode_long = json.JSONDecoder(parse_constant=_refuse, parse_int=float).decode


def loads(text: str) -> Any:
    """The value of a text.

    Raises ValueError where it is not JSON, or nests too deep.
    """
    if text.count("{") + text.count("[") > _DEPTH_MAX and _depth(text) > _DEPTH_MAX:
        raise ValueError("nested too deep")
    try:
        return _decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _decode_long(text)


def _depth(text: str) -> int:
    """How deep a text nests: beyond a few hundred Python's decoder runs out of stack."""
    return max(accumulate(map(_STEPS.__getitem__, _NO_BRACKET.sub("", text))), default=0)


class _Field:
    __slots__ = ("name", "quoted", "raw")

    def __init__(self, name: str, quoted: str, raw: str) -> None:
        self.name = name
        self.quoted = quoted
        self.raw = raw


class JsonObject:
    """Of fields with one name the last counts; an edit changes all of them."""

    __slots__ = ("_edited", "_fields", "_source", "_value")

    def __init__(self, source: str, value: dict[str, Any]) -> None:
        self._source = source
        self._value = value
        # Of the source until something is edited, then of the object as it is.
        self._fields: list[_Field] | None = None
        self._edited = False

    @classmethod
    def parse(cls, text: str) -> JsonObject | None:
        """The object of a text; None if it is not exactly one."""
        try:
            value = loads(text)
        except ValueError:
            return None
        return cls(text, value) if isinstance(value, dict) else None

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field."""
        if not self._edited:
            return self._value.get(name, default)
        raw = self.raw(name)
        return default if raw is None else loads(raw)

    def __contains__(self, name: str) -> bool:
        return self.raw(name) is not None if self._edited else name in self._value

    def raw(self, name: str) -> str | None:
        """The text of a field's value as it stands, such as `1.50`; None if there is no field."""
        for field in reversed(self._all()):
            if field.name == name:
                return field.raw
        return None

    def elements(self, name: str) -> list[str] | None:
        """The texts of the elements of a field that is an array; None if it is none."""
        raw = self.raw(name)
        return _elements(raw) if raw is not None and raw.startswith("[") else None

    def set(self, name: str, value: Any) -> None:
        """Sets a field, in its place or behind the last one."""
        self.set_raw(name, _encode(value))

    def set_raw(self, name: str, raw: str) -> None:
        """Sets a field to a text that is JSON already."""
        fields = self._edit()
        found = [field for field in fields if field.name == name]
        for field in found:
            field.raw = raw
        if not found:
            fields.append(_Field(name, _encode(name), raw))

    def remove(self, name: str) -> bool:
        """Removes a field; False if there is none."""
        if name not in self:
            return False
        self._fields = [field for field in self._edit() if field.name != name]
        return True

    def rename(self, old: str, new: str) -> bool:
        """Gives a field another name in its place; a field that had that name is removed. False if
        there is no such field."""
        if old not in self:
            return False
        if old == new:
            return True
        self.remove(new)
        quoted = _encode(new)
        for field in self._edit():
            if field.name == old:
                field.name, field.quoted = new, quoted
        return True

    def __str__(self) -> str:
        """The object as it is now."""
        if not self._edited:
            return self._source
        return "{" + ",".join([f"{field.quoted}:{field.raw}" for field in self._all()]) + "}"

    def _all(self) -> list[_Field]:
        if self._fields is None:
            self._fields = _fields(self._source)
        return self._fields

    def _edit(self) -> list[_Field]:
        self._edited = True
        return self._all()


def _space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()


def _fields(text: str) -> list[_Field]:
    found = []
    at = _space(text, text.index("{") + 1)
    while text[at] != "}":
        colon = _STRING.match(text, at).end()
        quoted = text[at:colon]
        name = loads(quoted) if "\\" in quoted else quoted[1:-1]
        start = _space(text, _space(text, colon) + 1)
        end = _behind(text, start)
        found.append(_Field(name, quoted, text[start:end]))
        at = _next(text, end)
    return found


def _elements(text: str) -> list[str]:
    found = []
    at = _space(text, 1)
    while text[at] != "]":
        end = _behind(text, at)
        found.append(text[at:end])
        at = _next(text, end)
    return found


def _next(text: str, at: int) -> int:
    """The next element behind one, or the closing bracket."""
    comma = _space(text, at)
    return _space(text, comma + 1) if text[comma] == "," else comma


def _behind(text: str, at: int) -> int:
    """The place behind the value at `at`."""
    if text[at] == '"':
        return _STRING.match(text, at).end()
    if text[at] not in "{[":
        return _SCALAR.match(text, at).end()
    depth = 0
    while True:
        mark = _MARK.search(text, at).start()
        at = mark + 1
        if text[mark] == '"':
            at = _STRING.match(text, mark).end()
        elif text[mark] in "{[":
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return at

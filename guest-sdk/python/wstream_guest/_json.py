"""JSON objects whose fields are edited where they stand: what is not touched keeps its text, so
that 1.50 stays 1.50. The json module checks the text; what is looked for behind it trusts that.

Methods of str look for a field and edit the text, where the field can be in one place only: they are
far faster than to list the fields, which is done otherwise.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

_DEPTH_MAX = 128

_S = r"[ \t\n\r]*"
_STRING_TEXT = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_SPACE = re.compile(_S)
_STRING = re.compile(_STRING_TEXT)
_MARK = re.compile(r'["{}\[\]]')
# A string, a scalar, or an object or array that holds none.
_SIMPLE_TEXT = (
    rf'{_STRING_TEXT}|[^ \t\n\r,"{{}}\[\]]+'
    rf'|[{{\[][^"{{}}\[\]]*(?:{_STRING_TEXT}[^"{{}}\[\]]*)*[}}\]]'
)
_SIMPLE = re.compile(_SIMPLE_TEXT)
_MEMBER = re.compile(rf"({_S})({_STRING_TEXT})({_S}:{_S})(?:({_SIMPLE_TEXT})({_S}))?")
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
    """A member of an object, with the white space around it."""

    __slots__ = ("after", "before", "colon", "name", "quoted", "raw")

    def __init__(
        self, before: str, name: str, quoted: str, colon: str, raw: str, after: str
    ) -> None:
        self.before = before
        self.name = name
        self.quoted = quoted
        self.colon = colon
        self.raw = raw
        self.after = after


class JsonObject:
    """Of fields with one name the last counts; an edit changes all of them."""

    __slots__ = ("_fields", "_text", "_value")

    def __init__(self, text: str, value: dict[str, Any]) -> None:
        # The object as it is; None where only the list of its fields is.
        self._text: str | None = text
        self._fields: list[_Field] | None = None
        # What it means.
        self._value = value

    @classmethod
    def parse(cls, text: str) -> JsonObject | None:
        """The object of a text; None if it is not exactly one."""
        try:
            value = loads(text)
        except ValueError:
            return None
        return cls(text.strip(), value) if isinstance(value, dict) else None

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field."""
        return self._value.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._value

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
        raw = _encode(value)
        # Others may change later.
        is_fixed = value is None or isinstance(value, (str, int, float))
        self._put(name, raw, value if is_fixed else loads(raw))

    def set_raw(self, name: str, raw: str) -> None:
        """Sets a field to a text that is JSON already."""
        self._put(name, raw, loads(raw))

    def remove(self, name: str) -> bool:
        """Removes a field; False if there is none."""
        if name not in self._value:
            return False
        self._fields = [field for field in self._edit() if field.name != name]
        del self._value[name]
        return True

    def rename(self, old: str, new: str) -> bool:
        """Gives a field another name in its place; a field that had that name is removed. False if
        there is no such field."""
        if old not in self._value:
            return False
        if old == new:
            return True
        self.remove(new)
        quoted = _encode(new)
        text, only = self._text, _encode(old)
        if text is not None and _is_once(text, old, only):
            self._text, self._fields = text.replace(only, quoted), None
        else:
            for field in self._edit():
                if field.name == old:
                    field.name, field.quoted = new, quoted
        self._value[new] = self._value.pop(old)
        return True

    def __str__(self) -> str:
        """The object as it is now."""
        if self._text is None:
            texts = [f.before + f.quoted + f.colon + f.raw + f.after for f in self._all()]
            self._text = "{" + ",".join(texts) + "}"
        return self._text

    def _put(self, name: str, raw: str, value: Any) -> None:
        if name in self._value:
            for field in self._edit():
                if field.name == name:
                    field.raw = raw
        else:
            self._append(name, raw)
        self._value[name] = value

    def _append(self, name: str, raw: str) -> None:
        quoted = _encode(name)
        if self._text is not None:
            rest = self._text[:-1].rstrip()
            comma = "" if rest == "{" else ","
            self._text, self._fields = f"{rest}{comma}{quoted}:{raw}}}", None
            return
        fields = self._all()
        if fields:
            fields[-1].after = ""
        fields.append(_Field("", name, quoted, ":", raw, ""))

    def _all(self) -> list[_Field]:
        if self._fields is None:
            self._fields = _fields(str(self))
        return self._fields

    def _edit(self) -> list[_Field]:
        fields = self._all()
        self._text = None
        return fields


def _is_once(text: str, name: str, quoted: str) -> bool:
    """Whether a field that there is can be in one place only: its name is not spelt in another way,
    and there is nothing else that looks like it."""
    is_plain = len(quoted) == len(name) + 2 and "/" not in name and "\\u" not in text
    return is_plain and text.find(quoted) == text.rfind(quoted)


def _space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()


def _fields(text: str) -> list[_Field]:
    found = []
    at = 1
    while member := _MEMBER.match(text, at):
        before, quoted, colon, raw, after = member.groups()
        at = member.end()
        if raw is None:
            end = _behind(text, at)
            raw = text[at:end]
            at = _space(text, end)
            after = text[end:at]
        name = loads(quoted) if "\\" in quoted else quoted[1:-1]
        found.append(_Field(before, name, quoted, colon, raw, after))
        # Behind the comma, or behind the last brace.
        at += 1
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
    simple = _SIMPLE.match(text, at)
    if simple:
        return simple.end()
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

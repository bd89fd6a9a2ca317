"""How much of a shape llguidance can enforce: all that it supports, and by name what it doesn't.

llguidance refuses a whole schema for one keyword. So this module drops keywords without effect, expresses others in
llguidance's terms, and removes the rest and names it. Every answer is held to what is left, and validation afterwards
is exact. A removal only ever allows more answers.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rung.schemas import IN_PLACE, followed, rebuilt, walk

MOST_TRIES = 400
"""Compilations to find what llguidance refuses in a schema. Each takes about a fifth of a millisecond."""
LONGEST_SEARCH = 2.0
"""Seconds for the same search. What isn't found by then is not enforced, and the answer begins."""
_MOST_NAMES = 500
"""Keys of `propertyNames` that are written out as properties."""
_MOST_WRITTEN = 1_000_000
"""Characters that such properties may add to a schema. Each has a copy of the schema for all values, which may again be
an object of many names. Beyond it the names are left to llguidance, which reports that it doesn't enforce them."""
_MOST_PAIRS = 20_000
"""Pairs of `oneOf` branches that are compared, in all: 200 branches, which take a third of a second. Beyond that it is
unknown whether they exclude each other."""

_SILENT = frozenset({"x-guidance", "$dynamicAnchor", "deprecated", "discriminator", "nullable"})
"""Keywords that say nothing about an answer, or would let a schema decide how it is enforced."""
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_IN_PLACE = IN_PLACE | {"$ref"}
"""Keywords that may have looked at properties which the schema itself doesn't name."""

_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(\.{_BYTE}){{3}}"
_BASE64 = "^([{0}]{{4}})*([{0}]{{2}}==|[{0}]{{3}}=)?$"
_PATTERNS = {
    **{
        f"uuid{version}": f"^[0-9a-f]{{8}}-[0-9a-f]{{4}}-{version}[0-9a-f]{{3}}-[89ab][0-9a-f]{{3}}-[0-9a-f]{{12}}$"
        for version in range(1, 9)
    },
    "base64": _BASE64.format("A-Za-z0-9+/"),
    "base64url": _BASE64.format("A-Za-z0-9_-"),
    "ipv4network": rf"^{_IPV4}(/(3[0-2]|[12]?[0-9]))?$",
    "ipv4interface": rf"^{_IPV4}(/(3[0-2]|[12]?[0-9]))?$",
    "fraction": r"^-?[0-9]+(/[1-9][0-9]*)?$",
    "json-pointer": r"^(/([^~/]|~[01])*)*$",
}
"""Formats that llguidance lacks, as patterns. A UUID's version counts, because pydantic refuses others."""
_ANNOTATIONS = frozenset({"path", "password", "binary", "byte", "text", "textarea", "markdown", "html", "multi-line"})
"""Formats that only say what a text is for."""


@dataclass(frozen=True, slots=True)
class Enforceable:
    """A schema in llguidance's terms.

    Args:
        schema: accepts everything that the original accepts.
        left_out: keywords of the original that it lacks, each once.
    """

    schema: dict[str, Any]
    left_out: tuple[str, ...] = ()


Compiles = Callable[[dict[str, Any]], str]
"""Returns what is wrong with a schema, in llguidance's words; an empty text if nothing is."""


def enforceable(schema: Mapping[str, Any], fault: Compiles) -> Enforceable:
    """Express as much of a schema as llguidance supports.

    Args:
        schema: with an object at its root.
        fault: compiles with llguidance, in its lenient mode.

    Raises:
        ValueError: llguidance supports none of it. The message is llguidance's own.
    """
    said = _Said(schema)
    if fault(said.schema):
        _Search(said, fault).run()
    return Enforceable(said.schema, tuple(dict.fromkeys(said.left_out)))


def without_look_around(pattern: str) -> str:
    """A pattern without its assertions. They only restrict, so the result matches whatever the pattern matched."""
    kept, at, in_class = [], 0, False
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            pair = pattern[at : at + 2]
            at += 2
            kept.append("" if pair in ("\\b", "\\B") and not in_class else pair)
        elif not in_class and re.compile(r"\(\?<?[=!]").match(pattern, at):
            at = _end_of_group(pattern, at)
            if quantifier := re.compile(r"[*+?]|\{\d*,?\d*\}").match(pattern, at):
                at = quantifier.end()
        else:
            in_class = letter == "[" if not in_class else letter != "]" or pattern[at - 1 : at] == "["
            kept.append(letter)
            at += 1
    return "".join(kept)


def _end_of_group(pattern: str, at: int) -> int:
    depth, in_class = 0, False
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            at += 1
        elif in_class:
            in_class = letter != "]"
        elif letter == "[":
            in_class = True
        elif letter in "()":
            depth += 1 if letter == "(" else -1
            if not depth:
                return at + 1
        at += 1
    return at


class _Said:
    """A schema in llguidance's terms, and what could not be expressed."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self.left_out: list[str] = []
        self._room, self._pairs = _MOST_WRITTEN, _MOST_PAIRS
        self.schema = rebuilt(schema, self._of)

    def _of(self, schema: dict[str, Any]) -> dict[str, Any]:
        said = {key: value for key, value in schema.items() if key not in _SILENT}
        self._assertions(said)
        self._names(said)
        if said.get("oneOf") and not self._exclusive(said["oneOf"]):
            self.left_out.append("oneOf (held as anyOf)")
        return said

    def _assertions(self, said: dict[str, Any]) -> None:
        """Drop keywords without effect, and rewrite those that can be expressed otherwise."""
        for key, empty in (("uniqueItems", False), ("unevaluatedItems", True), ("unevaluatedProperties", True)):
            if said.get(key) == empty and isinstance(said.get(key), bool):
                del said[key]
        if said.get("unevaluatedProperties") is False and not _IN_PLACE & said.keys():
            del said["unevaluatedProperties"]
            said.setdefault("additionalProperties", False)
        if "if" in said and not {"then", "else"} & said.keys():
            del said["if"]
        if "contentSchema" in said:
            self.left_out.append("contentSchema")
        self._count(said)
        self._format(said)

    def _count(self, said: dict[str, Any]) -> None:
        """Remove bounds on the number of properties if llguidance would count wrong: if some are optional."""
        optional = set(said.get("properties", ())) - set(said.get("required", ()))
        if optional and (said.get("required") or said.get("additionalProperties") is not False):
            for key in ("minProperties", "maxProperties"):
                if said.pop(key, None) is not None:
                    self.left_out.append(key)

    def _format(self, said: dict[str, Any]) -> None:
        form = said.get("format")
        if form in _ANNOTATIONS:
            del said["format"]
        elif form == "ipvanyaddress" and "anyOf" not in said:
            del said["format"]
            said["anyOf"] = [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]
        elif form in _PATTERNS:
            del said["format"]
            if "pattern" in said:
                said["allOf"] = [*said.get("allOf", ()), {"type": "string", "pattern": _PATTERNS[form]}]
            else:
                said["pattern"] = _PATTERNS[form]

    def _names(self, said: dict[str, Any]) -> None:
        """Rewrite `propertyNames` as properties or as patterns of properties."""
        names = self._resolved(said.get("propertyNames"))
        if names is None:
            return
        rest = said.get("additionalProperties", {})
        if names is True or names == {} or names == {"type": "string"}:
            del said["propertyNames"]
            return
        options = [names["const"]] if "const" in names else names.get("enum")
        plain = not {"properties", "patternProperties"} & said.keys()
        if isinstance(options, list) and len(options) <= _MOST_NAMES:
            # a property whose name isn't allowed can't occur
            known = {n: s for n, s in said.get("properties", {}).items() if n in options}
            if "patternProperties" not in said and self._has_room(len(options), rest):
                del said["propertyNames"]
                said["properties"] = {**{n: rest for n in options if isinstance(n, str)}, **known}
                said["additionalProperties"] = False
        elif plain and rest is not False and (pattern := _pattern_of(names)) is not None:
            del said["propertyNames"]
            said["patternProperties"] = {pattern: rest}
            said["additionalProperties"] = False

    def _has_room(self, copies: int, schema: Any) -> bool:
        """Whether there is room to write a schema this often. Takes the room."""
        taken = copies * len(json.dumps(schema))
        if taken > self._room:
            return False
        self._room -= taken
        return True

    def _resolved(self, names: Any) -> Any:
        """The schema of the names, with references followed."""
        names = followed(self._root, names)
        return names if isinstance(names, Mapping) or names is True else None

    def _exclusive(self, branches: Any) -> bool:
        """Whether one look shows that no two branches accept the same value, so that `anyOf` means the same."""
        pairs = len(branches) * (len(branches) - 1) // 2
        if pairs > self._pairs:
            return False
        self._pairs -= pairs
        resolved = [self._resolved(branch) for branch in branches]
        if not all(isinstance(branch, Mapping) for branch in resolved):
            return False
        return all(_disjoint(one, other) for i, one in enumerate(resolved) for other in resolved[:i])


def _pattern_of(names: Mapping[str, Any]) -> str | None:
    """A pattern for the names that a schema with a single assertion accepts; `None` if it has another form."""
    said = {key: value for key, value in names.items() if key not in ("type", "title", "description")}
    if set(said) == {"pattern"}:
        return str(said["pattern"])
    if said and set(said) <= {"minLength", "maxLength"}:
        return rf"^[\s\S]{{{said.get('minLength', 0)},{said.get('maxLength', '')}}}$"
    if set(said) == {"format"}:
        return _PATTERNS.get(said["format"]) or _KEYS.get(said["format"])
    return None


_KEYS = {
    "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "date": "^[0-9]{3}[1-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$",
}
"""Formats of names as patterns. llguidance has its own for values. Last days of months are not checked, because a
pattern can't know the months."""

_KINDS = {"integer": {"integer", "number"}, "number": {"integer", "number"}}


def _disjoint(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if (a := _types(one)) and (b := _types(other)) and not a & b:
        return True
    if (values := _values(one)) is not None and (others := _values(other)) is not None:
        return not values & others
    shared = set(one.get("required", ())) & set(other.get("required", ()))
    own, its = one.get("properties", {}), other.get("properties", {})
    for name in shared & own.keys() & its.keys():
        values, others = _values(own[name]), _values(its[name])
        if values is not None and others is not None and not values & others:
            return True
    return False


def _types(schema: Mapping[str, Any]) -> set[str]:
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return {wider for kind in kinds for wider in _KINDS.get(kind, {kind})}


def _values(schema: Any) -> set[str] | None:
    if not isinstance(schema, Mapping):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if values is None else {json.dumps(value, sort_keys=True) for value in values}


@dataclass(slots=True)
class _Search:
    """Finds what llguidance refuses in a schema, and removes it.

    Args:
        said: the schema, which is changed.
        fault: compiles with llguidance.
    """

    said: _Said
    fault: Compiles
    _left: int = field(default=MOST_TRIES, init=False)
    _end: float = field(default=0.0, init=False)

    def run(self) -> None:
        """Change the schema until it compiles.

        Raises:
            ValueError: it doesn't compile, whatever is removed.
        """
        self._end = time.monotonic() + LONGEST_SEARCH
        for node in self._nodes():
            self._patterns(node)
            self._range(node)
        fault = self.fault(self.said.schema)
        if not fault:
            return
        for node in reversed(self._nodes()):
            if node is not self.said.schema and self._fails(node):
                self._reduce(node)
        if self.fault(self.said.schema):
            self._reduce(self.said.schema)
        if self.fault(self.said.schema):
            raise ValueError(fault)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for _, node in walk(self.said.schema) if isinstance(node, dict)]

    @property
    def _spent(self) -> bool:
        return self._left <= 0 or time.monotonic() > self._end

    def _fails(self, schema: Any) -> bool:
        """Whether a part of the schema fails by itself. Assumes that it doesn't if there is no time to try."""
        if self._spent:
            return False
        self._left -= 1
        shared: dict[str, Any] = {
            key: self.said.schema[key] for key in ("$defs", "definitions") if key in self.said.schema
        }
        return bool(self.fault({**shared, "type": "object", "properties": {"v": schema}, "required": ["v"]}))

    def _patterns(self, node: dict[str, Any]) -> None:
        if isinstance(node.get("pattern"), str):
            pattern = self._taken(node["pattern"], "pattern")
            if pattern is None:
                del node["pattern"]
            else:
                node["pattern"] = pattern
        named = node.get("patternProperties")
        if isinstance(named, dict):
            taken = [(self._taken(pattern, "patternProperties"), inner) for pattern, inner in named.items()]
            node["patternProperties"] = {pattern: inner for pattern, inner in taken if pattern is not None}
            if any(pattern is None for pattern, _ in taken):
                node.pop("additionalProperties", None)  # the keys that it would apply to are no longer known

    def _taken(self, pattern: str, keyword: str) -> str | None:
        """A pattern that llguidance supports and that matches all that this one does; `None` if there is none."""
        without = without_look_around(pattern)
        if self._spent and without != pattern:
            self.said.left_out.append(f"look-around in {keyword}")
            return without  # untried: nothing else is likelier to be refused
        if not self._fails({"type": "string", "pattern": pattern}):
            return pattern
        self.said.left_out.append(f"look-around in {keyword}" if without != pattern else keyword)
        if without != pattern and not self._fails({"type": "string", "pattern": without}):
            return without
        self.said.left_out[-1] = keyword
        return None

    def _range(self, node: dict[str, Any]) -> None:
        bounds = {key: node[key] for key in _BOUNDS if isinstance(node.get(key), int | float)}
        if not bounds:
            return
        kind = {"type": node["type"]} if "type" in node else {}
        # the bound farthest from 0 is removed first, because it matters least
        for key in sorted(bounds, key=lambda key: -abs(bounds[key])):
            if not self._fails({**kind, **{k: node[k] for k in bounds if k in node}}):
                return
            del node[key]
            self.said.left_out.append(key)

    def _reduce(self, node: dict[str, Any]) -> None:
        """Remove one keyword if the schema then compiles, or else all of them."""
        whole = node is self.said.schema

        def fails(schema: dict[str, Any]) -> bool:
            return bool(self.fault(schema)) if whole else self._fails(schema)

        removable = [key for key in node if key not in ("type", "properties", "$defs", "definitions")]
        for key in (*removable, "properties"):
            if key in node and not fails({k: v for k, v in node.items() if k != key}):
                del node[key]
                self.said.left_out.append(key)
                return
        if whole or not self._spent:
            for key in (*removable, "properties"):
                if key in node:
                    del node[key]
                    self.said.left_out.append(key)

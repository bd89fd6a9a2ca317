"""Compiling a raw JSON Schema: check it against its meta-schema, resolve its references, make a node of each schema.

`jsonschema_rs` checks the schema and compiles what each node asserts of a value by itself. It doesn't get the whole
schema: its time may double with every reference, it can't be interrupted, and it would fetch remote references.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from rung.contract.nodes import Compiled, Node, count, refuse_circles, shorten
from rung.contract.parsing import cut
from rung.contract.patterns import Search
from rung.contract.plain import below, shown_place
from rung.errors import ContractError
from rung.schemas import ASSERTIONS, SILENT, Path, draft_of, pointed, rebuilt, schemas_in, walk

MOST_SCHEMAS = 15_000
"""Schemas in a schema. A page of 2,000 lines has some hundreds. Compiling one takes 0.1 ms, and this many 1.5 s."""
LONGEST_COMPILE = 10.0
"""Seconds that compiling a schema may take. A page of 2,000 lines takes some milliseconds. A schema that takes this
long has thousands of large patterns."""


def compiled(schema: Mapping[str, Any]) -> Compiled:
    """The nodes of a schema.

    Args:
        schema: as `plain` gives it.

    Raises:
        ContractError: it isn't a JSON Schema, refers to something outside itself, or can't be checked.
    """
    return _Compiler(schema).compile()


class _Compiler:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        uri = schema.get("$schema", "")
        if not isinstance(uri, str):
            raise ContractError("this is not a JSON Schema: its $schema is not a text", hint="leave $schema out")
        if "json-schema.org/draft-03/" in uri:
            raise ContractError("JSON Schema's draft 3 is too old", hint="write it in draft 4 or later")
        self._root = schema
        self._draft = draft_of(uri)
        self._places: dict[int, str] = {}
        self._anchors: dict[str, Any] = {}
        self._below: set[int] = set()
        self._nodes: dict[int, Node] = {}
        self._waiting: list[tuple[Node, dict[str, Any]]] = []
        self._searches: dict[str, Search] = {}
        self._tracks = False
        self._end = time.monotonic() + LONGEST_COMPILE

    def compile(self) -> Compiled:
        keywords = self._draft.keywords | self._draft.unknown
        if self._root and not keywords & set(self._root):
            raise ContractError(
                "this is not a JSON Schema: none of its keys is a keyword", hint='begin with {"type": "object", ...}'
            )
        self._adopt(self._root, "")
        root = self._node(self._root, "")
        while self._waiting:
            self._look()
            self._fill(*self._waiting.pop())
        refuse_circles(self._nodes.values())
        nodes = list(self._nodes.values())
        for node in nodes:
            shorten(node)
        count(root, nodes)
        return Compiled(root, self._draft, self._tracks)

    def _look(self) -> None:
        if time.monotonic() > self._end:
            raise ContractError(f"the schema takes more than {LONGEST_COMPILE:g} s to compile")

    def _adopt(self, schema: Any, place: str) -> None:
        """Check a schema and those in it against the meta-schema, and make nodes of them.

        A part that only a `$ref` leads to is adopted when the walk meets that `$ref`. Before, nothing says that it is
        a schema.
        """
        found = self._survey(schema, place)
        self._check(schema, place)
        for inner in found:
            self._node(inner, self._places[id(inner)])

    def _walk(self, schema: Any) -> Iterator[tuple[Path, Any]]:
        """The schemas within a schema, found by the keywords of the root's draft alone."""
        return walk(schema, self._draft, references=False)

    def _survey(self, schema: Any, place: str) -> list[dict[str, Any]]:
        """The schemas within a schema that are objects. Notes the place and the names of each."""
        own = {"$id", "id"} & self._draft.keywords if self._draft.name == "Draft4" else {"$id"}
        places: dict[Path, str] = {}
        surveyed = []
        for path, found in self._walk(schema):
            if path:
                outer = path[:-1] if path[:-1] in places else path[:-2]
                place = below(places[outer], *path[len(outer) :])
            places[path] = self._places[id(found)] = place
            if len(self._places) > MOST_SCHEMAS:
                raise ContractError(f"the schema holds more than {MOST_SCHEMAS:,} schemas")
            if not isinstance(found, dict):
                continue
            surveyed.append(found)
            if not isinstance(found.get("$schema", ""), str):
                at = shown_place(below(place, "$schema"))
                raise ContractError(f"this is not a JSON Schema: {at} is not a text")
            for key in ("$anchor", "$dynamicAnchor", *own):
                name = found.get(key)
                if key in own:
                    if not isinstance(name, str) or not name.startswith("#"):
                        # all that lies below one resource is noted already, including other resources in it
                        if isinstance(name, str) and found is not self._root and id(found) not in self._below:
                            self._below |= {id(inner) for _, inner in self._walk(found)}
                        continue
                    name = name[1:]
                if id(found) in self._below:
                    continue  # a name that belongs to another resource
                if isinstance(name, str) and name and key in (*own, *self._draft.keywords):
                    if name in self._anchors and self._anchors[name] is not found:
                        raise ContractError(f"the schema has two anchors {cut(name, 60)!r}")
                    self._anchors[name] = found
        return surveyed

    def _check(self, schema: Any, place: str) -> None:
        import jsonschema_rs

        try:
            jsonschema_rs.meta.validate(self._tame(schema))
        except jsonschema_rs.ValidationError as error:
            where = "/".join(str(p) for p in error.instance_path)
            whole = "/".join(p for p in (place.strip("/"), where) if p)
            raise ContractError(
                f"this is not a JSON Schema: at {whole or 'its root'}: {cut(error.message, 200)}"
            ) from None
        except ValueError as error:
            raise ContractError(f"this is not a JSON Schema: {cut(str(error), 200)}") from None

    def _tame(self, schema: Any) -> Any:
        """A schema as the meta-schema should check it: without patterns, which would be compiled, and unknown keys."""
        if not isinstance(schema, dict):
            return schema
        tame = rebuilt(schema, _tamed, self._draft, references=False)
        tame["$schema"] = self._draft.uri + ("#" if self._draft.uri.startswith("http:") else "")
        return tame

    def _node(self, schema: Any, place: str) -> Node:
        known = self._nodes.get(id(schema)) if isinstance(schema, dict) else None
        if known is not None:
            return known
        if not isinstance(schema, dict):
            return Node(place, never=schema is False)
        node = self._nodes[id(schema)] = Node(place)
        self._waiting.append((node, schema))
        return node

    def _fill(self, node: Node, schema: dict[str, Any]) -> None:
        draft = self._draft
        for key in draft.unknown & set(schema):
            raise ContractError(
                f"the schema has {key} at {shown_place(node.place)}, which isn't supported", hint="use $ref"
            )
        if "$ref" in schema:
            node.every.append(self._target(schema, node.place))
            node.is_reference = draft.ref_is_alone or not (schema.keys() & draft.keywords) - SILENT - {"$ref"}
            if draft.ref_is_alone:
                return
        parts: dict[str, dict[Any, Node]] = {}
        single: dict[str, Node] = {}
        for path, inner in schemas_in(schema, draft):
            made = self._node(inner, below(node.place, *path))
            if len(path) == 1:
                single[str(path[0])] = made
            else:
                parts.setdefault(str(path[0]), {})[path[1]] = made
        self._assert(node, schema)
        node.every += parts.get("allOf", {}).values()
        node.any_of = list(parts.get("anyOf", {}).values())
        node.one_of = list(parts.get("oneOf", {}).values())
        node.not_ = single.get("not")
        node.if_, node.then, node.else_ = (single.get(key) for key in ("if", "then", "else"))
        # properties that decide most cases by themselves are checked first
        properties = parts.get("properties", {})
        node.properties = dict(
            sorted(properties.items(), key=lambda named: not _settles(schema["properties"][named[0]]))
        )
        node.patterns = [(self._search(p, node.place), made) for p, made in parts.get("patternProperties", {}).items()]
        node.rest, node.names = single.get("additionalProperties"), single.get("propertyNames")
        node.dependents = parts.get("dependentSchemas", {})
        if draft.lists_items:
            node.prefix = list(parts.get("items", {}).values())
            node.items = single.get("additionalItems") if isinstance(schema.get("items"), list) else single.get("items")
        else:
            node.prefix, node.items = list(parts.get("prefixItems", {}).values()), single.get("items")
        node.contains = single.get("contains")
        if "minContains" in draft.keywords:
            node.least, node.most = math.ceil(schema.get("minContains", 1)), _whole(schema.get("maxContains"))
            node.unevaluated_properties = single.get("unevaluatedProperties")
            node.unevaluated_items = single.get("unevaluatedItems")
            self._tracks |= node.unevaluated_properties is not None or node.unevaluated_items is not None
        else:
            self._old_dependencies(node, schema, parts.get("dependencies", {}))

    def _assert(self, node: Node, schema: Mapping[str, Any]) -> None:
        """Compile what the schema asserts of a value by itself."""
        import jsonschema_rs

        node.flat = {key: schema[key] for key in ASSERTIONS & self._draft.keywords & set(schema)}
        if isinstance(schema.get("pattern"), str):
            node.pattern = self._search(schema["pattern"], f"{node.place}/pattern")
        if node.flat:
            make = getattr(jsonschema_rs, f"{self._draft.name}Validator")
            try:
                node.leaf = make(node.flat, validate_formats=True)
            except ValueError as error:
                raise ContractError(
                    f"this is not a JSON Schema: at {shown_place(node.place)}: {cut(str(error), 200)}"
                ) from None

    def _old_dependencies(self, node: Node, schema: Mapping[str, Any], made: Mapping[str, Node]) -> None:
        """Read `dependencies`, which gives for each name either a schema or the names that it needs."""
        node.dependents = dict(made)
        for name, needed in (schema.get("dependencies") or {}).items():
            if isinstance(needed, list) and needed:
                node.dependents[name] = dependent = Node(below(node.place, "dependencies", name))
                self._assert(dependent, {"required": needed})

    def _search(self, pattern: str, place: str) -> Search:
        known = self._searches.get(pattern)
        if known is None:
            self._look()
            try:
                known = self._searches[pattern] = Search(pattern)
            except ContractError as error:
                raise ContractError(f"this is not a JSON Schema: at {shown_place(place)}: {error.message}") from None
        return known

    def _target(self, schema: Mapping[str, Any], place: str) -> Node:
        ref = schema["$ref"]
        if not isinstance(ref, str):
            raise ContractError(f"this is not a JSON Schema: at {shown_place(place)}: $ref is not a text")
        if not ref.startswith("#"):
            raise ContractError(f"the schema refers to {cut(ref, 100)!r} outside itself", hint="copy it into $defs")
        if id(schema) in self._below:
            raise ContractError(
                f"the schema refers to {cut(ref, 100)!r} below an inner $id, at {shown_place(place)}",
                hint="leave the inner $id out, and refer from the root",
            )
        try:
            name = unquote(ref[1:], errors="strict")
            found = self._anchors[name] if name and not name.startswith("/") else pointed(self._root, name)[1]
        except (LookupError, ValueError):
            raise ContractError(f"the schema refers to {cut(ref, 100)!r}, which isn't in it") from None
        if not isinstance(found, dict | bool):
            raise ContractError(f"the schema refers to {cut(ref, 100)!r}, which is not a schema")
        if isinstance(found, dict) and id(found) not in self._places:
            self._adopt(found, name)
        return self._node(found, name)


def _tamed(schema: dict[str, Any]) -> dict[str, Any]:
    tame = {key: value for key, value in schema.items() if key not in ("$schema", "id", "$vocabulary")}
    if isinstance(tame.get("$id"), str):
        del tame["$id"]
    if isinstance(tame.get("pattern"), str):
        tame["pattern"] = ""
    if isinstance(tame.get("patternProperties"), dict):
        tame["patternProperties"] = {f"p{n}": inner for n, inner in enumerate(tame["patternProperties"].values())}
    return tame


def _whole(number: float | None) -> int | None:
    return None if number is None else math.floor(number)


def _settles(schema: Any) -> bool:
    return isinstance(schema, dict) and ("const" in schema or "enum" in schema)

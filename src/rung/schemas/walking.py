"""The walk over a JSON Schema: every schema in it, and the schema made anew with each of them changed.

What is data is never taken for a schema: literal values, names of properties, keywords that nobody knows. A part of
such data is one all the same where a `$ref` points at it, as in `{"$ref": "#/components/a", "components": {...}}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from rung.errors import ContractError
from rung.schemas.drafts import SchemaDraft, draft_of, schemas_in
from rung.schemas.references import pointed, pointer_of

Path = tuple[str | int, ...]
"""The steps from a schema to one in it: keywords, names and numbers."""

MOST_SCHEMAS = 50_000
"""Schemas that a walk visits. The largest in use have some thousand; one object that stands at two places is two, so a
few that hold each other twice would be any number."""

DEEPEST = 200
"""Steps to the innermost schema. Python's and llguidance's parsers of JSON go no deeper."""


def walk(schema: Any, draft: SchemaDraft | None = None, *, references: bool = True) -> Iterator[tuple[Path, Any]]:
    """A schema and every schema in it with the steps to it, each place once, the outer before the inner.

    Of those beside each other the last comes first, so that reversed the inner come before the outer, and the first
    before the last. Where references lead into data, all come in the order of their names instead.

    Args:
        schema: the whole, as `json.loads` gives it. Whatever stands in a schema's place is given, be it true, false or
            something else.
        draft: whose keywords count; by default the one that the schema names itself.
        references: whether to go on to what a `$ref` points at in data.

    Raises:
        ContractError: there are more than `MOST_SCHEMAS`, or one is deeper than `DEEPEST`.
    """
    draft = draft or _named_draft(schema)
    met: set[Path] = set()
    if not references:
        yield from _below(schema, (), draft, met)
        return
    found = list(_below(schema, (), draft, met))
    by_keywords = len(found)
    asked: set[str] = set()
    for _, node in found:  # which grows meanwhile
        pointer = pointer_of(node)
        if pointer is None or pointer in asked:
            continue
        asked.add(pointer)
        with suppress(LookupError):
            steps, target = pointed(schema, pointer)
            found += _below(target, steps, draft, met)
    if len(found) > by_keywords:
        found.sort(key=lambda it: it[0])  # a reference may lead to what holds a schema that was found before
    yield from found


def _below(schema: Any, path: Path, draft: SchemaDraft, met: set[Path]) -> Iterator[tuple[Path, Any]]:
    """A schema and those in it by their keywords, without those at places that were met."""
    waiting = [(path, schema)]
    while waiting:
        at, found = waiting.pop()
        if at in met:
            continue
        if len(met) >= MOST_SCHEMAS:
            raise ContractError(f"the schema holds more than {MOST_SCHEMAS:,} schemas", hint="move parts into $defs")
        if len(at) > DEEPEST:
            raise ContractError(f"the schema is nested more than {DEEPEST} levels deep", hint="move parts into $defs")
        met.add(at)
        yield at, found
        if isinstance(found, dict):
            waiting += [((*at, *steps), inner) for steps, inner in schemas_in(found, draft)]


def _named_draft(schema: Any) -> SchemaDraft:
    uri = schema.get("$schema") if isinstance(schema, dict) else None
    return draft_of(uri if isinstance(uri, str) else "")


def rebuilt(
    schema: Mapping[str, Any],
    change: Callable[[dict[str, Any]], dict[str, Any]],
    draft: SchemaDraft | None = None,
    *,
    references: bool = True,
) -> dict[str, Any]:
    """A schema in which each schema is what `change` made of it, the inner ones before the outer.

        rebuilt(schema, lambda node: {key: value for key, value in node.items() if key != "title"})

    Args:
        schema: stays as it is.
        change: takes a copy of a schema, in which those inside are changed already. Nobody asks it about true and
            false.
        draft: as for `walk`.
        references: as for `walk`.

    Raises:
        ContractError: the schema is larger or deeper than `walk` goes.
    """
    found = list(walk(dict(schema), draft, references=references))
    places = {path for path, _ in found}
    inner: dict[Path, list[Path]] = {}
    for path in places - {()}:
        outer = path[:-1]
        while outer not in places:
            outer = outer[:-1]
        inner.setdefault(outer, []).append(path)
    made: dict[Path, Any] = {}
    for path, node in reversed(found):
        if isinstance(node, dict):
            copy = dict(node)
            fresh: dict[Path, Any] = {path: copy}
            for place in inner.get(path, ()):
                _put(fresh, path, place, made.pop(place))
            node = change(copy)
        made[path] = node
    return made[()]  # type: ignore[no-any-return]  # made of the root, a mapping


def _put(fresh: dict[Path, Any], path: Path, place: Path, value: Any) -> None:
    """Put a value at its place below `path`, in copies of what lies between; `fresh` are the copies made so far."""
    for length in range(len(path) + 1, len(place)):
        between = place[:length]
        if between not in fresh:
            old = fresh[between[:-1]][between[-1]]
            fresh[between] = fresh[between[:-1]][between[-1]] = dict(old) if isinstance(old, dict) else list(old)
    fresh[place[:-1]][place[-1]] = value


def property_names(schema: Any) -> frozenset[str]:
    """The names of all properties that a schema knows, at whatever depth."""
    names: set[str] = set()
    for _, node in walk(schema):
        known = node.get("properties") if isinstance(node, dict) else None
        names.update(known if isinstance(known, dict) else ())
    return frozenset(names)

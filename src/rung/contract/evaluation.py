"""Evaluating a compiled schema on a JSON value: whether the value fits, and where it doesn't.

Each schema is applied to each value at most once, however many paths lead to it, because results are remembered. So
the time grows with the size of the schema times the size of the answer. Validators without such a memory double the
time with every reference or level of nesting. The clock is checked between steps. The recursion doesn't use the
interpreter's stack, so neither a long chain of references nor deep nesting ends in a `RecursionError`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import islice
from typing import Any

from rung.contract.bounds import MOST_ISSUES, Undecided, Watch, unrolled
from rung.contract.nodes import Compiled, Node
from rung.contract.parsing import Rejected, cut, shown
from rung.contract.spans import show
from rung.types import Issue, IssueCode

_LONGEST_FORMATTED = 100_000
"""Characters of a text that is checked against a format. No real value has as many, and the time for one may grow with
the square of its length."""

_MOST_REMEMBERED = 1_000_000
"""Results remembered for one answer, plus the names and numbers that keywords have seen. They take at most 130 MB."""

_MANY = 50
"""Options of an enumeration above which comparing and listing all of them takes noticeable time."""

_Path = tuple[str | int, ...]
_Steps = Generator[Any, Any, bool]
_NOTHING: frozenset[str | int] = frozenset()


def issues(schema: Compiled, value: Any, watch: Watch) -> tuple[Issue, ...]:
    """What is wrong with a value, outermost issues first, at most `MOST_ISSUES`.

    Args:
        schema: what the value should fit.
        value: JSON, at most `DEEPEST_ANSWER` levels deep.
        watch: ends the work.

    Raises:
        Rejected: it can't be checked in bounded time.
    """
    evaluation = _Evaluation(schema, watch)
    try:
        if evaluation.fits(schema.root, value):
            return ()
        return evaluation.explained(value)
    except Undecided as undecided:
        raise Rejected(Issue("", str(undecided), IssueCode.SCHEMA)) from None


class _Evaluation:
    def __init__(self, schema: Compiled, watch: Watch) -> None:
        self._schema, self._watch = schema, watch
        self._known: dict[int, bool] = {}
        self._seen: dict[int, frozenset[str | int]] = {}
        self._room = _MOST_REMEMBERED

    def fits(self, node: Node, value: Any) -> bool:
        """Whether a value fits a node."""
        return self._asserted(node, value) if node.simple else unrolled(self._applied(node, value))

    def _applied(self, node: Node, value: Any) -> _Steps:
        if node.simple:
            return self._asserted(node, value)
        if not node.shared and not self._schema.tracks:
            holds: bool = yield self._holds(node, value, set())
            return holds
        key = node.number << 64 | id(value)
        known = self._known.get(key)
        if known is None:
            seen: set[str | int] = set()
            known = self._known[key] = yield self._holds(node, value, seen)
            self._room -= 1 + len(seen)
            if self._room < 0:
                raise Undecided("the schema and the answer are too large to be checked against each other")
            if known and seen:
                self._seen[key] = frozenset(seen)
        return known

    def _holds(self, node: Node, value: Any, seen: set[str | int]) -> _Steps:
        if not self._asserted(node, value):
            return False
        tracks = self._schema.tracks
        for inner in node.every:
            if not (yield self._applied(inner, value)):
                return False
            seen |= self._looked_at(inner, value)
        if node.any_of:
            found = False
            for inner in node.any_of:
                if not self._is_other(inner, value) and (yield self._applied(inner, value)):
                    found = True
                    seen |= self._looked_at(inner, value)
                    if not tracks:
                        break
            if not found:
                return False
        if node.one_of:
            fitting = None
            for inner in node.one_of:
                if not self._is_other(inner, value) and (yield self._applied(inner, value)):
                    if fitting is not None:
                        return False
                    fitting = inner
            if fitting is None:
                return False
            seen |= self._looked_at(fitting, value)
        if node.not_ is not None and (yield self._applied(node.not_, value)):
            return False
        if node.if_ is not None and (node.then is not None or node.else_ is not None or tracks):
            holds = yield self._applied(node.if_, value)
            if holds:
                seen |= self._looked_at(node.if_, value)
            branch = node.then if holds else node.else_
            if branch is not None:
                if not (yield self._applied(branch, value)):
                    return False
                seen |= self._looked_at(branch, value)
        if isinstance(value, dict):
            fits: bool = yield self._object(node, value, seen)
            return fits
        if isinstance(value, list):
            fits = yield self._list(node, value, seen)
            return fits
        return True

    def _is_other(self, branch: Node, value: Any) -> bool:
        """Whether one look shows that a branch is meant for other objects. Most are, and needn't be evaluated."""
        return isinstance(value, dict) and any(
            name in value and not self._asserted(tag, value[name]) for name, tag in branch.tags.items()
        )

    def _asserted(self, node: Node, value: Any) -> bool:
        """Whether a value fits what a node asserts without the help of other nodes."""
        self._watch.step()
        if node.never:
            return False
        if node.leaf is not None:
            if isinstance(value, str) and len(value) > _LONGEST_FORMATTED and "format" in node.flat:
                raise Undecided(f"a text is too long to check against the format {cut(str(node.flat['format']), 40)}")
            if len(node.flat.get("enum", ())) > _MANY:
                self._watch.look()
            if not node.leaf.is_valid(value):
                return False
        return node.pattern is None or not isinstance(value, str) or node.pattern(value, self._watch)

    def _looked_at(self, node: Node, value: Any) -> frozenset[str | int]:
        return self._seen.get(node.number << 64 | id(value), _NOTHING)

    def _object(self, node: Node, value: dict[str, Any], seen: set[str | int]) -> _Steps:
        tracks = self._schema.tracks
        for name, inner in node.dependents.items():
            if name in value:
                if not (yield self._applied(inner, value)):
                    return False
                seen |= self._looked_at(inner, value)
        if node.names is not None:
            for name in value:
                if not (yield self._applied(node.names, name)):
                    return False
        for name, inner in self._members(node, value):
            if not (self._asserted(inner, value[name]) if inner.simple else (yield self._applied(inner, value[name]))):
                return False
            if tracks:
                seen.add(name)
        if node.unevaluated_properties is not None:
            for name in [name for name in value if name not in seen]:
                if not (yield self._applied(node.unevaluated_properties, value[name])):
                    return False
                seen.add(name)
        return True

    def _members(self, node: Node, value: dict[str, Any]) -> Iterable[tuple[str, Node]]:
        """The properties that a node has a schema for, each with that schema's node."""
        properties = node.properties
        if len(properties) <= len(value):
            yield from ((name, inner) for name, inner in properties.items() if name in value)
        else:
            yield from ((name, properties[name]) for name in value if name in properties)
        if not node.patterns and node.rest is None:
            return
        for name in value:
            matched = name in properties
            for search, inner in node.patterns:
                if search(name, self._watch):
                    matched = True
                    yield name, inner
            if not matched and node.rest is not None:
                yield name, node.rest

    def _list(self, node: Node, value: list[Any], seen: set[str | int]) -> _Steps:
        tracks = self._schema.tracks
        for number, inner in self._elements(node, value):
            item = value[number]
            if not (self._asserted(inner, item) if inner.simple else (yield self._applied(inner, item))):
                return False
            if tracks:
                seen.add(number)
        if node.contains is not None:
            count = 0
            for number, item in enumerate(value):
                if (yield self._applied(node.contains, item)):
                    count += 1
                    if tracks:
                        seen.add(number)
                    if not tracks and node.most is None and count >= node.least:
                        break
            if count < node.least or (node.most is not None and count > node.most):
                return False
        if node.unevaluated_items is not None:
            for number in [number for number in range(len(value)) if number not in seen]:
                if not (yield self._applied(node.unevaluated_items, value[number])):
                    return False
                seen.add(number)
        return True

    def _elements(self, node: Node, value: list[Any]) -> Iterable[tuple[int, Node]]:
        """The items that a node has a schema for, each with that schema's node."""
        yield from enumerate(node.prefix[: len(value)])
        if node.items is not None:
            yield from ((number, node.items) for number in range(len(node.prefix), len(value)))

    # --- why not -----------------------------------------------------------------------------------------------------

    def explained(self, value: Any) -> tuple[Issue, ...]:
        """The issues of a value that doesn't fit, outermost first."""
        found: dict[Issue, int] = {}
        asked: set[tuple[int, _Path]] = set()
        waiting: list[tuple[Node, Any, _Path]] = [(self._schema.root, value, ())]
        while waiting and len(found) < MOST_ISSUES:
            self._watch.look()
            node, inner, path = waiting.pop()
            if (id(node), path) in asked:
                continue
            asked.add((id(node), path))
            for message in self._own(node, inner):
                issue = Issue(cut(show(path)), cut(message), IssueCode.SCHEMA, quotes=shown(inner))
                found.setdefault(issue, len(path))
            failing = (step for step in self._deeper(node, inner, path) if not self.fits(step[0], step[1]))
            waiting += reversed(list(islice(failing, MOST_ISSUES)))
        if not found:
            found[Issue("", "the answer doesn't fit the schema", IssueCode.SCHEMA)] = 0
        return tuple(sorted(found, key=found.__getitem__)[:MOST_ISSUES])

    def _own(self, node: Node, value: Any) -> Iterable[str]:
        """What is wrong with a value itself, as clauses."""
        what = shown(value)
        if node.never:
            yield f"{what} isn't allowed here"
            return
        if node.leaf is not None and not node.leaf.is_valid(value):
            yield from self._asserts(node, value, what)
        if node.pattern is not None and isinstance(value, str) and not node.pattern(value, self._watch):
            yield f"{what} does not match the pattern {cut(node.pattern.pattern, 150)}"
        if (
            node.any_of
            and not any(self.fits(inner, value) for inner in node.any_of)
            and not self._kin(node.any_of, value)
        ):
            yield f"{what} is not valid under any of the given schemas"
        fitting = sum(self.fits(inner, value) for inner in node.one_of)
        if fitting > 1:
            yield f"{what} is valid under {fitting} of the given schemas, and only one may fit"
        elif node.one_of and not fitting and not self._kin(node.one_of, value):
            yield f"{what} is not valid under any of the given schemas"
        if node.not_ is not None and self.fits(node.not_, value):
            yield f"{what} fits a schema that it must not fit"
        if isinstance(value, list) and node.contains is not None:
            count = sum(self.fits(node.contains, item) for item in value)
            if count < node.least:
                yield f"{what} has too few items that fit what it must contain: {count} instead of {node.least}"
            elif node.most is not None and count > node.most:
                yield f"{what} has too many items of a kind: {count} instead of {node.most}"
        if isinstance(value, list) and _forbids(node.unevaluated_items):
            yield f"{what} may have unexpected items"
        if isinstance(value, dict):
            yield from self._strangers(node, value)

    def _asserts(self, node: Node, value: Any, what: str) -> Iterable[str]:
        import jsonschema_rs

        flat = node.flat
        if len(flat.get("enum", ())) > _MANY:
            flat = {key: said for key, said in flat.items() if key != "enum"}
            make = getattr(jsonschema_rs, f"{self._schema.draft.name}Validator")
            if make(flat, validate_formats=True).is_valid(value):
                yield f"{what} is not one of the {len(node.flat['enum']):,} allowed values"
                return
        # evaluate the same schema again, with messages that show the beginning of the value instead of all of it
        make = getattr(jsonschema_rs, f"{self._schema.draft.name}Validator")
        errors = make(flat, validate_formats=True, mask=what).iter_errors(value)
        yield from (error.message for error in islice(errors, MOST_ISSUES))

    def _strangers(self, node: Node, value: dict[str, Any]) -> Iterable[str]:
        """The properties that aren't allowed, as one clause."""
        strange = []
        if _forbids(node.rest):
            strange = [name for name, inner in self._members(node, value) if inner is node.rest]
        elif (
            node.unevaluated_properties is not None
            and node.unevaluated_properties.never
            and self._fits_every(node, value)
        ):
            strange = [name for name in value if name not in self._all_seen(node, value)]
        if strange:
            names = ", ".join(repr(cut(name, 60)) for name in strange[:5]) + (", …" if len(strange) > 5 else "")
            yield f"additional properties are not allowed: {names}"

    def _fits_every(self, node: Node, value: Any) -> bool:
        """Whether `allOf` and references hold. If they don't, the properties that they looked at are unknown."""
        return all(self.fits(inner, value) for inner in node.every)

    def _all_seen(self, node: Node, value: dict[str, Any]) -> set[str | int]:
        seen: set[str | int] = {name for name, _ in self._members(node, value)}
        for inner in node.in_place():
            if inner is not node.not_ and self.fits(inner, value):
                seen |= self._looked_at(inner, value)
        return seen

    def _deeper(self, node: Node, value: Any, path: _Path) -> Iterable[tuple[Node, Any, _Path]]:
        """The places to search next for what is wrong."""
        yield from ((inner, value, path) for inner in node.every)
        for branches in (node.any_of, node.one_of):
            if branches and not any(self.fits(inner, value) for inner in branches):
                yield from ((inner, value, path) for inner in self._kin(branches, value))
        if node.if_ is not None:
            branch = node.then if self.fits(node.if_, value) else node.else_
            if branch is not None:
                yield branch, value, path
        if isinstance(value, dict):
            yield from ((inner, value, path) for name, inner in node.dependents.items() if name in value)
            if node.names is not None:
                yield from ((node.names, name, path) for name in value)
            for name, inner in self._members(node, value):
                if not inner.never or inner is not node.rest:
                    yield inner, value[name], (*path, name)
            if node.unevaluated_properties is not None and not node.unevaluated_properties.never:
                seen = self._all_seen(node, value)
                yield from (
                    (node.unevaluated_properties, value[name], (*path, name)) for name in value if name not in seen
                )
        elif isinstance(value, list):
            for number, inner in self._elements(node, value):
                yield inner, value[number], (*path, number)

    def _kin(self, branches: list[Node], value: Any) -> list[Node]:
        """The one branch that a value was meant for, judged by its type and by properties that have a fixed value."""
        kin = [branch for branch in branches if self._is_kin(branch, value)]
        return kin if len(kin) == 1 else []

    def _is_kin(self, branch: Node, value: Any) -> bool:
        return not branch.never and self._is_of_type(branch, value) and not self._is_other(branch, value)

    def _is_of_type(self, branch: Node, value: Any) -> bool:
        import jsonschema_rs

        if "type" not in branch.flat:
            return branch.leaf is None or branch.leaf.is_valid(value)
        make = getattr(jsonschema_rs, f"{self._schema.draft.name}Validator")
        fits: bool = make({"type": branch.flat["type"]}).is_valid(value)
        return fits


def _forbids(node: Node | None) -> bool:
    return node is not None and node.never

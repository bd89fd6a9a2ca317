"""What a compiled JSON Schema consists of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rung.contract.patterns import Search
from rung.contract.plain import shown_place
from rung.errors import ContractError
from rung.schemas import SchemaDraft


@dataclass(slots=True)
class Node:
    """One schema: what it asserts of a value by itself, and the nodes that it applies to the value or to its parts.

    `never` marks `false`, and `place` says where the schema stands. `flat` is what `leaf` was compiled from. A `simple`
    node applies no other nodes, and a `shared` one is applied by several. `tags` are the properties with a fixed value.
    They tell which of many branches an object is meant for.
    """

    place: str
    never: bool = False
    flat: dict[str, Any] = field(default_factory=dict)
    leaf: Any = None
    pattern: Search | None = None
    every: list[Node] = field(default_factory=list)
    any_of: list[Node] = field(default_factory=list)
    one_of: list[Node] = field(default_factory=list)
    not_: Node | None = None
    if_: Node | None = None
    then: Node | None = None
    else_: Node | None = None
    properties: dict[str, Node] = field(default_factory=dict)
    patterns: list[tuple[Search, Node]] = field(default_factory=list)
    rest: Node | None = None
    names: Node | None = None
    dependents: dict[str, Node] = field(default_factory=dict)
    prefix: list[Node] = field(default_factory=list)
    items: Node | None = None
    contains: Node | None = None
    least: int = 1
    most: int | None = None
    unevaluated_properties: Node | None = None
    unevaluated_items: Node | None = None
    tags: dict[str, Node] = field(default_factory=dict)
    is_reference: bool = False
    number: int = 0
    simple: bool = True
    shared: bool = False

    def parts(self) -> Iterator[Node]:
        """The nodes that it applies to parts of the value."""
        yield from self.properties.values()
        yield from (node for _, node in self.patterns)
        yield from self.prefix
        single = (self.rest, self.names, self.items, self.contains)
        unevaluated = (self.unevaluated_properties, self.unevaluated_items)
        yield from (node for node in (*single, *unevaluated) if node is not None)

    def in_place(self) -> Iterator[Node]:
        """The nodes that it applies to the value itself."""
        yield from self.every
        yield from self.any_of
        yield from self.one_of
        yield from self.dependents.values()
        yield from (node for node in (self.not_, self.if_, self.then, self.else_) if node is not None)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema ready to be evaluated.

    Args:
        root: its first node.
        draft: the draft that it is written in.
        tracks: whether it asks which properties or items other keywords have seen.
    """

    root: Node
    draft: SchemaDraft
    tracks: bool


def shorten(node: Node) -> None:
    """Make a node apply the targets of its references instead of the references."""
    for listed in (node.every, node.any_of, node.one_of, node.prefix):
        listed[:] = map(_aim, listed)
    for named in (node.properties, node.dependents):
        named.update({name: _aim(inner) for name, inner in named.items()})
    node.patterns = [(search, _aim(inner)) for search, inner in node.patterns]
    for one in (
        *("not_", "if_", "then", "else_", "rest", "names", "items", "contains"),
        *("unevaluated_properties", "unevaluated_items"),
    ):
        inner = getattr(node, one)
        if inner is not None:
            setattr(node, one, _aim(inner))


def _aim(node: Node) -> Node:
    """The node that a chain of bare references ends at. Circles were refused before."""
    while node.is_reference:
        node = node.every[0]
    return node


def count(root: Node, nodes: Iterable[Node]) -> None:
    """Number the nodes, and mark the simple and the shared ones."""
    met = {id(root)}
    for number, node in enumerate(nodes):
        node.number = number
        inner = [*node.in_place(), *node.parts()]
        node.simple = not inner
        node.tags = {name: one for name, one in node.properties.items() if one.flat.keys() & {"const", "enum"}}
        for one in inner:
            one.shared |= id(one) in met
            met.add(id(one))


def refuse_circles(nodes: Any) -> None:
    """Refuse a schema that applies itself to the same value: what it accepts is undefined.

    Raises:
        ContractError: a schema does.
    """
    done: set[int] = set()
    for first in list(nodes):
        way: list[tuple[Node, Iterator[Node]]] = []
        above: set[int] = set()
        step: Node | None = first
        while step is not None or way:
            if step is not None and id(step) not in done:
                if id(step) in above:
                    raise ContractError(f"the schema at {shown_place(step.place)} refers to itself without end")
                above.add(id(step))
                way.append((step, step.in_place()))
            if not way:
                break
            step = next(way[-1][1], None)
            if step is None:
                node, _ = way.pop()
                above.discard(id(node))
                done.add(id(node))

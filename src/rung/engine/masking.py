"""A call whose private values are masked, in its messages and in the schema that goes along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rung.schemas import rebuilt
from rung.types import Message, Redactor, Shape

_FORMS = frozenset({"pattern", "format", "minLength", "maxLength"})
"""Keywords that a value satisfies and its placeholder doesn't."""


def mask(
    messages: tuple[Message, ...], shape: Shape | None, redactor: Redactor
) -> tuple[tuple[Message, ...], Shape | None, Callable[[str], str]]:
    """Messages and shape as they may be sent, and a function that puts the real values back into an answer.

    Where something was masked, the schema no longer says anything about the form of a text (pattern, format, length),
    because an endpoint that enforced it would make up a value instead of repeating the placeholder. The answer is still
    validated in full, with its real values.

    Args:
        messages: everything in them would be sent.
        shape: what decoding should enforce.
        redactor: masks messages. It gets the texts of the schema as further messages, so that all placeholders share
            one numbering.
    """
    texts = [] if shape is None else [*_texts(shape.schema), *shape.choices]
    extended = (*messages, *(Message("system", text) for text in texts))
    masked, restore = redactor(extended)
    count = len(messages)
    if shape is not None and masked != extended:
        said = iter([message.text for message in masked[count:]])
        schema = rebuilt(_with(shape.schema, said), _loose)
        kind = "json" if shape.kind == "regex" else shape.kind
        shape = Shape(kind, schema, choices=tuple(said))
    return masked[:count], shape, restore


def _texts(node: Any) -> Iterator[str]:
    """Every text of a schema but its keys, in the order of `_with`. This walks data too: it may be private."""
    if isinstance(node, str):
        yield node
    for inner in node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else ():
        yield from _texts(inner)


def _with(node: Any, texts: Iterator[str]) -> Any:
    """The schema with its texts replaced."""
    if isinstance(node, str):
        return next(texts)
    if isinstance(node, Mapping):
        return {key: _with(value, texts) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_with(value, texts) for value in node]
    return node


def _loose(node: dict[str, Any]) -> dict[str, Any]:
    """A schema without what it says of the form of a text."""
    return {key: value for key, value in node.items() if key not in _FORMS}

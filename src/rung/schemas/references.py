"""What a `$ref` points at within its own schema. Nothing is ever fetched."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

_LONGEST_CHAIN = 30
"""References that are followed one after the other: more than people write, and a circle ends there."""
_INDEX = re.compile("0|[1-9][0-9]{0,8}")


def pointer_of(schema: Any) -> str | None:
    """The JSON pointer in a schema's `$ref`, decoded; `None` where it has none, or refers by a name or to elsewhere."""
    ref = schema.get("$ref") if isinstance(schema, dict) else None
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        return None
    try:
        return unquote(ref[1:], errors="strict")
    except ValueError:
        return None


def pointed(root: Any, pointer: str) -> tuple[tuple[str | int, ...], Any]:
    """What a JSON pointer points at (RFC 6901), and the steps to it.

    Args:
        root: the whole schema.
        pointer: empty for the root, else begins with a slash.

    Raises:
        LookupError: nothing is there.
    """
    found: Any = root
    steps: list[str | int] = []
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        step: str | int = name
        if isinstance(found, list | tuple):
            if not _INDEX.fullmatch(name):
                raise LookupError(name)
            step = int(name)
        elif not isinstance(found, dict):
            raise LookupError(name)
        found = found[step]
        steps.append(step)
    return tuple(steps), found


def followed(root: Any, schema: Any) -> Any:
    """What a schema comes to when its references are followed, one after the other.

    Args:
        root: the whole schema.
        schema: one in it; given back where it refers to nothing, or to what isn't there.
    """
    for _ in range(_LONGEST_CHAIN):
        pointer = pointer_of(schema)
        if pointer is None:
            break
        try:
            _, schema = pointed(root, pointer)
        except LookupError:
            break
    return schema

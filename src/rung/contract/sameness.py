"""Whether two answers under one contract say the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from rung.types import Shape

Same = Callable[[Any, Any], bool]
"""Takes two answers as JSON has them."""

_AROUND = " \t\r\n\"'`*.,:;!?()[]{}<>"
_DEEPEST = 100
"""Levels of an answer that are compared, as deep as a contract's schema goes."""
_LOOSE = str.maketrans("", "", " ,./-_*^")


class NotComparable(Exception):
    """Two answers can't be compared, with the reason in a clause that repeats nothing of them."""


def same_under(shape: Shape | None) -> Same | None:
    """Whether two answers of a shape say the same; `None` for free text, where only a person can say what that means.

    Args:
        shape: of the contract.
    """
    if shape is None:
        return None
    return {"choice": same_option, "regex": same_text, "json": equal}[shape.kind]


def same_option(one: Any, other: Any) -> bool:
    """Whether two texts are one option, whatever their case and the signs around them: `(B).` is `b`."""
    return isinstance(one, str) and isinstance(other, str) and option(one) == option(other)


def same_text(one: Any, other: Any) -> bool:
    """Whether two texts are the same but for white space around them."""
    if not isinstance(one, str) or not isinstance(other, str):
        return equal(one, other)
    a, b = (unicodedata.normalize("NFC", text).strip() for text in (one, other))
    return a == b


def equal(one: Any, other: Any, *, loose: bool = False, subset: bool = False, depth: int = 0) -> bool:
    """Whether two JSON values are equal, numbers compared by value.

    Args:
        one: may have more fields than the other, where `subset` says so.
        other: what it is held against.
        loose: compare texts without case, spaces and the signs `,./-_*^`, and `'` as `"`.
        subset: whether fields of `one` alone are passed over.
        depth: levels above.

    Raises:
        NotComparable: they are nested too deep.
    """
    if depth > _DEEPEST:
        raise NotComparable(f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return _loosened(one) == _loosened(other) if loose else one == other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            equal(x, y, loose=loose, subset=subset, depth=depth + 1) for x, y in zip(one, other, strict=True)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return (subset or one.keys() == other.keys()) and all(
            key in one and equal(one[key], inner, loose=loose, subset=subset, depth=depth + 1)
            for key, inner in other.items()
        )
    return one is None and other is None


def option(text: str) -> str:
    """An option without its case and the signs around it."""
    return squeezed(text.strip(_AROUND)) or squeezed(text)


def squeezed(text: str) -> str:
    """A text without its case, each white space one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _loosened(text: str) -> str:
    return text.translate(_LOOSE).lower().replace("'", '"')

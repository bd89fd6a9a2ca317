"""Where a chat template runs: Jinja without operations that could take all memory, or all time, in one step."""

from __future__ import annotations

import re
from typing import Any

import jinja2
import jinja2.filters
import jinja2.runtime
import jinja2.sandbox

LONGEST_VALUE = 64 << 20
"""Characters or items in one value that a template makes, and in a prompt: more than any context has room for."""

_LONGEST_NUMBER = 4096
"""Bits of a template's numbers. Computing with numbers up to this size doesn't hold up the other threads."""

_WIDE = re.compile(r"%(\([^)]*\))?[^a-zA-Z%]*(\d{5}|\*)")
"""Parts of a format that make a text as wide as a number says."""

_WIDENING = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill"})
"""Methods that make a text as wide as a number says. No template needs them."""


class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """A sandbox in which a template can't make a value that takes all memory, or all time, in one step."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """The value of an operation, unless it would be too large."""
        if operator == "%" and isinstance(left, str):
            _check_format(left)
        elif _beyond_measure(operator, left, right):
            raise jinja2.TemplateError("it makes a value beyond all measure")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may have this attribute."""
        return attr not in _WIDENING and super().is_safe_attribute(obj, attr, value)


def _beyond_measure(operator: str, left: Any, right: Any) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        if operator == "**":
            return right > 0 and left.bit_length() * right > _LONGEST_NUMBER
        return left.bit_length() + right.bit_length() > _LONGEST_NUMBER
    if operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
        return len(left) + len(right) > LONGEST_VALUE
    if operator == "*":
        items, times = (left, right) if hasattr(left, "__len__") else (right, left)
        return isinstance(times, int) and hasattr(items, "__len__") and len(items) * times > LONGEST_VALUE
    return False


def _check_format(text: str) -> None:
    if _WIDE.search(text):
        raise jinja2.TemplateError("it makes a text beyond all measure")


def bounded_format(text: str, *args: Any, **named: Any) -> str:
    """The filter of that name, without excessive widths."""
    _check_format(str(text))
    return jinja2.filters.do_format(text, *args, **named)

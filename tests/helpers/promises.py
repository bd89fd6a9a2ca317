"""Code that documents rung: it runs, and what a comment promises of an expression is what the expression gives."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any


def example(thing: object) -> str:
    """The indented code in a docstring, before its `Args:`; empty where there is none."""
    lines = (inspect.getdoc(thing) or "").splitlines()[1:]
    sections = [n for n, line in enumerate(lines) if re.fullmatch(r"(Args|Raises|Returns|Yields):", line)]
    text = lines[: sections[0]] if sections else lines
    code = [line[4:] for line in text if line.startswith("    ") or not line]
    return "\n".join(code).strip()


def _promises(code: str) -> Iterator[tuple[str, str]]:
    """Each expression that stands alone, with the comment at its end or on the next line."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            last = lines[node.end_lineno - 1]
            following = lines[node.end_lineno] if node.end_lineno < len(lines) else ""
            comment = last.partition("  # ")[2] or (following[2:] if following.startswith("# ") else "")
            yield ast.get_source_segment(code, node), comment.strip()


def keep(code: str, where: str, namespace: dict[str, Any]) -> int:
    """Run code, and hold its expressions to what their comments promise; how many promises there were."""
    promised, kept = dict(_promises(code)), 0
    for node in ast.parse(code).body:
        source = ast.get_source_segment(code, node)
        if source not in promised:
            exec(compile(ast.Module([node], []), where, "exec"), namespace)
            continue
        value = eval(compile(ast.Expression(node.value), where, "eval"), namespace)
        if promised[source]:
            assert str(value) == promised[source], f"{where}: {source}"
            kept += 1
    return kept

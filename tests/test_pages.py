"""The code of the pages runs as it stands, and what a comment promises of a line is what the line gives."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from openai_tier.server import Server, chat, status
from rung.config.reference import VARIABLES, filled, tables

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("tiers.md", "validators.md", "rules.md", "streaming.md", "endpoints.md")
ENDPOINT = "http://127.0.0.1:8080/v1"
"""Where the pages have a server on this machine; the test puts a scripted one there."""
ANSWERS = {
    "endpoints.md": (
        chat("yes"),
        chat("Frank Herbert."),
        chat("Frank Herbert."),
        status(400, error={"message": "seed is not supported", "param": "seed"}),
        chat("Yes."),
        chat("Yes."),
    )
}
"""What it answers to the requests of a page, one after the other."""
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def promises(code):
    """Each expression that stands alone, with the comment at its end or on the next line."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            last = lines[node.end_lineno - 1]
            following = lines[node.end_lineno] if node.end_lineno < len(lines) else ""
            comment = last.partition("  # ")[2] or (following[2:] if following.startswith("# ") else "")
            yield ast.get_source_segment(code, node), comment.strip()


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_gives_what_its_comments_promise(page):
    with Server(*ANSWERS.get(page, ())) as server:
        run(page, server)
        assert not server.script


def run(page, server):
    namespace, kept = {"__name__": "page"}, 0
    for code in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        code = code.replace(ENDPOINT, server.url)
        if code.startswith("# pyproject"):
            continue
        promised = dict(promises(code))
        tree = ast.parse(code)
        for node in tree.body:
            source = ast.get_source_segment(code, node)
            if source not in promised:
                exec(compile(ast.Module([node], []), page, "exec"), namespace)
                continue
            value = eval(compile(ast.Expression(node.value), page, "eval"), namespace)
            if promised[source]:
                assert str(value) == promised[source], source
                kept += 1
    assert kept


def test_the_reference_holds_what_the_models_of_the_settings_give():
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert filled(page) == page, "run scripts/write_configuration_page.py"
    assert set(re.findall(r"<!-- keys of (.+?) -->", page)) == set(tables())


def test_every_key_of_the_reference_is_explained():
    for name, table in tables().items():
        rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
        assert rows, name
        assert all(len(row[-1]) > 10 for row in rows), name


def test_every_variable_that_is_read_stands_in_the_reference():
    source = DOCS.parent / "src"
    read = {name for path in source.rglob("*.py") for name in re.findall(r'"(RUNG_[A-Z_]+)"', path.read_text("utf-8"))}
    assert read == set(VARIABLES)

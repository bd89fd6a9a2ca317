"""The code of the pages runs as it stands, and what a comment promises of a line is what the line gives."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest

from helpers.each import each
from helpers.promises import keep
from openai_tier.server import Server, chat, status
from rung.config.reference import VARIABLES, filled, tables

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("apps.md", "tiers.md", "validators.md", "rules.md", "streaming.md", "endpoints.md")
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


@pytest.mark.slow
@each("page", PAGES)
def test_the_code_of_a_page_gives_what_its_comments_promise(page):
    with Server(*ANSWERS.get(page, ())) as server:
        namespace = {"__name__": "page"}
        blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
        code = [block.replace(ENDPOINT, server.url) for block in blocks if not block.startswith("# pyproject")]
        assert sum(keep(block, page, namespace) for block in code)
        assert not server.script
        namespace.clear()
        gc.collect()  # a page closes no ladder, and an endpoint's thread ends with its tier


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

"""The code of the pages runs as it stands, and what a comment promises of a line is what the line gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.promises import keep

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("tiers.md", "validators.md", "rules.md", "streaming.md")
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_gives_what_its_comments_promise(page):
    namespace = {"__name__": "page"}
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert sum(keep(code, page, namespace) for code in blocks if not code.startswith("# pyproject"))

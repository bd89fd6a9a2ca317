"""What the README shows is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.weights
def test_the_api_of_the_first_screen_runs_as_written(weights, capsys):
    """A dozen lines, real models, and the printed value is the one that the comment promises."""
    weights("smollm2-135m")
    weights("qwen2.5-coder-1.5b")
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line.strip()]) <= 16
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})
    promised = re.findall(r"print\(.*#\s*(.+)", code)
    assert promised
    assert capsys.readouterr().out.splitlines() == promised

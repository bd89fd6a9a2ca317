"""What the host process pays: imports, and engine and ladder without a model."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from engine_bench.bench import Bench, pause
from engine_bench.figures import Row, Spread, Target, compared
from engine_bench.processes import Party

_APP = "from pydantic import BaseModel; A = type('A', (BaseModel,), {})"
_HELP = "import sys; from rung.cli import main; sys.argv = ['rung', '--help']; sys.exit(main())"


def imports(bench: Bench) -> Iterator[Row]:
    """Whole processes, ours and theirs in turn."""
    count = bench.some(15, 3)
    yield compared(
        "`import rung` above `import pydantic`",
        "",
        _processes("import rung", "import pydantic", count),
        Target(30, at_least=False),
        "ms",
        figure=lambda ours, theirs: ours - theirs,
    )
    yield compared(
        "`from rung import Ladder` above one pydantic model",
        "",
        _processes(f"{_APP}; from rung import Ladder", _APP, count),
        None,
        "ms",
        figure=lambda ours, theirs: ours - theirs,
        note="what the first use pays, since `import rung` is lazy",
    )
    yield compared(
        '`rung --help` / `python -c "import typer"`',
        "",
        _processes(_HELP, "import typer", count),
        Target(1.5, at_least=False),
        "ms",
    )


def _processes(ours: str, theirs: str, count: int) -> list[tuple[float, float]]:
    """Milliseconds of two programs, the first pair left out."""
    return [(_milliseconds(ours), _milliseconds(theirs)) for _ in range(count + 1)][1:]


def _milliseconds(code: str) -> float:
    pause()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def ladder(bench: Bench) -> Iterator[Row]:
    """Engine and ladder per attempt, on a scripted tier."""
    party = Party("ladder")
    try:
        for kind, what in (("text", "plain text"), ("type", "a pydantic type"), ("repair", "a type, with a repair")):
            seconds = party.ask("attempts", kind=kind, times=bench.some(1000, 50))
            found = Spread.of(1e6 * s for s in seconds)
            middle = Spread(found.median, found.median, found.median, 1)
            yield Row(
                f"engine and ladder per attempt: {what}",
                "",
                found,
                None,
                middle,
                Target(150, at_least=False),
                "us",
                f"{found.count} runs",
            )
    finally:
        party.close()

"""Where the time of a row goes: our side of it under a profile, in one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from engine_bench.bench import MIDDLE, Bench
from engine_bench.processes import Party
from engine_bench.prompts import Prompt, filler, free_texts, function_calls, stories

_SHOWN = 15


def profile(bench: Bench, row: str) -> str:
    """The functions that take the most time of a row.

    Raises:
        Skipped: what the row needs can't be had here.
    """
    return PROFILES[row](bench)


def _answers(prompts: Callable[[Bench], Sequence[Prompt]]) -> Callable[[Bench], str]:
    def work(bench: Bench) -> str:
        model = bench.one(MIDDLE)
        found: dict[str, float] = {}
        with bench.parties(model, "loop") as parties:
            for number, prompt in enumerate(prompts(bench)):
                asked = {"messages": prompt.messages, "schema": prompt.schema, "max_tokens": bench.some(64, 16)}
                if not number:
                    parties["loop"].ask("answer", **asked)
                    continue
                for name, seconds in parties["loop"].profile("answer", **asked).items():
                    found[name] = found.get(name, 0.0) + seconds
        return _shares(found, model)

    return work


def _together(bench: Bench) -> str:
    model = bench.one(MIDDLE)
    with bench.parties(model, "loop", slots=16) as parties:
        parties["loop"].ask("together", conversations=stories(2), max_tokens=4)
        return _shares(parties["loop"].profile("together", conversations=stories(16), max_tokens=48), model)


def _prefix(bench: Bench) -> str:
    model = bench.one(MIDDLE)
    questions = [
        [{"role": "system", "content": filler(850, bench.seed)}, {"role": "user", "content": f"Question {i}?"}]
        for i in range(2)
    ]
    with bench.parties(model, "loop") as parties:
        parties["loop"].ask("answer", messages=questions[0], max_tokens=1)
        return _shares(parties["loop"].profile("answer", messages=questions[1], max_tokens=1), model)


def _ladder(bench: Bench) -> str:
    party = Party("ladder")
    try:
        return _shares(party.profile("attempts", kind="type", times=bench.some(1000, 50)), "a pydantic type")
    finally:
        party.close()


def _imports(bench: Bench) -> str:
    code = "import sys; from rung.cli import main; sys.argv = ['rung', '--help']; main()"
    said = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    found = {}
    for line in said.stderr.splitlines()[1:]:
        own, _, name = line.removeprefix("import time:").split("|")
        found[name.strip()] = int(own) / 1e6
    return _shares(found, "imports of `rung --help`, each module without what it imports")


def _shares(found: dict[str, float], of: str) -> str:
    whole = sum(found.values())
    most = sorted(found, key=lambda name: -found[name])[:_SHOWN]
    lines = [f"{100 * found[name] / whole:5.1f} %  {1000 * found[name]:9.1f} ms  {name}" for name in most]
    return "\n".join([f"{1000 * whole:,.0f} ms: {of}", *lines])


_free = _answers(lambda bench: free_texts()[:4])
_json = _answers(lambda bench: function_calls(6))

PROFILES: dict[str, Callable[[Bench], str]] = {
    "free-text": _free,
    "json-free": _json,
    "json-llama": _json,
    "json-xllamacpp": _json,
    "together": _together,
    "confidence": _free,
    "ttft": _prefix,
    "imports": _imports,
    "ladder": _ladder,
}

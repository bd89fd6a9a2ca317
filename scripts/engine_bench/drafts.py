"""What a rejected answer saves the next tier: ours against ours."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

import bfcl
from engine_bench.bench import LARGE, MIDDLE, SMALL, Bench, Skipped, pause
from engine_bench.decode import turned
from engine_bench.figures import Row, Spread, Target, compared
from engine_bench.processes import Party
from engine_bench.prompts import Prompt, call, free_texts, rows
from engine_bench.timing import Timing

_LOOKED_AT = 60
_ESCALATED = 8
_REPEATS = 3
_CALL_TOKENS, _TEXT_TOKENS = 96, 40


@dataclass(frozen=True)
class _Found:
    """Milliseconds of decoding, with a draft and without, by prompt; and how many prompts had to be left out."""

    pairs: list[tuple[float, float]]
    differing: int

    def row(self, measure: str, target: Target) -> Row:
        """A row of them; raises `Skipped` where there are none."""
        if not self.pairs:
            raise Skipped("no answer was rejected that could be compared")
        total = sum(without for _, without in self.pairs) / sum(with_ for with_, _ in self.pairs)
        left_out = f"; {self.differing} left out, whose words differed" if self.differing else ""
        return compared(
            measure,
            LARGE,
            self.pairs,
            target,
            "ms/answer",
            figure=lambda ours, theirs: theirs / ours,
            note=f"decoding only; all answers together {total:.2f}{left_out}",
        )


def function_calls(bench: Bench) -> Iterator[Row]:
    """On function calls that a smaller model got wrong."""
    for small in (MIDDLE, SMALL):
        with bench.parties(small, "ours") as parties:
            wrong = _wrong(parties["ours"], rows(bench.some(_LOOKED_AT, 10)), bench.some(_ESCALATED, 2))
        found = _measured(bench, wrong, _CALL_TOKENS)
        yield found.row(f"a function call that {small} got wrong as a draft / without", Target(1.2))


def free_text(bench: Bench) -> Iterator[Row]:
    """On free texts, of which the worst counts."""
    cap = bench.some(_TEXT_TOKENS, 16)
    with bench.parties(MIDDLE, "ours") as parties:
        drafts = [(p, _answer(parties["ours"], p, 2 * cap).text) for p in free_texts()[: bench.some(10, 2)]]
    row = _measured(bench, drafts, cap).row(f"a free text of {MIDDLE} as a draft / without, the worst", Target(0.95))
    worst = row.figure.low
    yield replace(row, figure=Spread(worst, worst, worst, 1), note=f"{row.note}; median {row.figure.median:.2f}")


def _wrong(party: Party, asked: list[bfcl.Row], most: int) -> list[tuple[Prompt, str]]:
    """Answers that end in time, are well-formed and wrong."""
    found = []
    for row in asked:
        text = _answer(party, prompt := call(row), _CALL_TOKENS).text
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            continue
        if not bfcl.right(row, value):
            found.append((prompt, text))
        if len(found) == most:
            break
    return found


def _measured(bench: Bench, drafts: list[tuple[Prompt, str]], cap: int) -> _Found:
    """For each prompt the median over some turns.

    The prompt is in memory beforehand. What its last tokens take is the TTFT without a draft. With one, the first of
    its tokens are checked in that same step: so whatever goes beyond the TTFT without a draft is decoding.
    """
    pairs, differing = [], 0
    with bench.parties(LARGE, "ours") as parties:
        for prompt, draft in drafts:
            _answer(parties["ours"], prompt, cap)
            plain, drafted = [], []
            for turn in range(bench.some(_REPEATS, 1)):
                found = {}
                for way in turned(["with", "without"], turn):
                    pause()
                    found[way] = _answer(parties["ours"], prompt, cap, draft if way == "with" else None)
                without, with_ = found["without"], found["with"]
                plain.append(1000 * without.seconds)
                drafted.append(1000 * (with_.ttft + with_.seconds - without.ttft))
            if with_.text != without.text:
                differing += 1
            elif without.seconds:
                pairs.append((statistics.median(drafted), statistics.median(plain)))
    return _Found(pairs, differing)


def _answer(party: Party, prompt: Prompt, cap: int, rejected: str | None = None) -> Timing:
    asked = {"messages": prompt.messages, "schema": prompt.schema, "rejected": rejected}
    return Timing(**party.ask("answer", **asked, max_tokens=cap))

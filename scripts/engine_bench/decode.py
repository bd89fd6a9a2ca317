"""How fast answers are decoded: free text and JSON, ours and theirs, prompt by prompt in turn.

A rate is what came after the first piece, in tokens a second; the first piece belongs to the prefill. All answers are
counted by the same tokenizer, so that who cuts a text into more tokens, or sends several at once, gains nothing by it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine_bench.bench import LARGE, Bench, Skipped, pause
from engine_bench.figures import Row, Target, compared
from engine_bench.processes import Party, PartyFailed
from engine_bench.prompts import Prompt, free_texts, function_calls
from engine_bench.timing import Timing

ROWS = ("free-text", "json-free", "json-llama", "json-xllamacpp")

_Who = tuple[str, str]
"""A party and what it is asked: `free` or `json`."""

_NEEDED: dict[str, tuple[_Who, ...]] = {
    "free-text": (("ours", "free"), ("bare", "free")),
    "json-free": (("ours", "json"), ("ours", "free")),
    "json-llama": (("ours", "json"), ("llama", "json")),
    "json-xllamacpp": (("ours", "json"), ("ours", "free"), ("xllamacpp", "json"), ("xllamacpp", "free")),
}
_TOKENS = 64
_TOO_SHORT = 4
"""Tokens after the first piece: fewer say nothing of a rate."""


@dataclass(frozen=True)
class _Item:
    """One prompt of the round.

    Args:
        what: `free` or `json`.
        number: of the prompt among its kind.
        prompt: what is asked.
        tokens: the same for whoever has no chat template.
    """

    what: str
    number: int
    prompt: Prompt
    tokens: list[int]

    def asked(self, kind: str) -> dict[str, Any]:
        """The arguments of a party's `answer`."""
        if kind == "bare":
            return {"tokens": self.tokens}
        return {"messages": self.prompt.messages, "schema": self.prompt.schema}


@dataclass
class _Taken:
    """What came of the round.

    Args:
        every: so many function calls go with one free text.
        timings: by party and kind, then by number of the prompt.
        crashes: prompts of which a party's process died.
        counts: tokens of each text after the first piece.
    """

    every: int
    timings: dict[_Who, dict[int, Timing]] = field(default_factory=lambda: defaultdict(dict))
    crashes: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)

    def rate(self, who: _Who, number: int) -> float | None:
        """Tokens a second; `None` where there is no answer, or too little of it."""
        timing = self.timings[who].get(number)
        if timing is None or self.counts[timing.rest] < _TOO_SHORT:
            return None
        return self.counts[timing.rest] / timing.seconds

    def rates(self, one: _Who, other: _Who) -> dict[int, tuple[float, float]]:
        """Rates of both, by prompt; a free text stands beside each of the function calls that were asked around it."""
        found = {}
        for number in self.timings[one]:
            beside = number // self.every if other[1] != one[1] else number
            rate, against = self.rate(one, number), self.rate(other, beside)
            if rate is not None and against is not None:
                found[number] = (rate, against)
        return found

    def pairs(self, one: _Who, other: _Who) -> list[tuple[float, float]]:
        """Rates of both.

        Raises:
            Skipped: there is no pair.
        """
        found = list(self.rates(one, other).values())
        if not found:
            raise Skipped(f"no answers of {one[0]} and {other[0]} can be compared")
        return found

    def alike(self, one: _Who, other: _Who) -> str:
        """How many texts were the same."""
        both = [(t.text, self.timings[other][i].text) for i, t in self.timings[one].items() if i in self.timings[other]]
        return f"same text {sum(a == b for a, b in both)} of {len(both)}"


def measure(bench: Bench, model: str, wanted: set[str]) -> Iterator[Row]:
    """The rows of this module on one model.

    Args:
        bench: the run.
        model: on which.
        wanted: names of rows.

    Raises:
        Skipped: what they need can't be had here.
    """
    wanted = wanted & set(ROWS)
    if bench.xllamacpp is None and "json-xllamacpp" in wanted:
        wanted -= {"json-xllamacpp"}
        bench.say("json-xllamacpp is missing: no interpreter has xllamacpp; see --xllamacpp-python")
    if not wanted:
        return
    taken = _take(bench, model, {who for name in wanted for who in _NEEDED[name]})
    free, json = ("ours", "free"), ("ours", "json")
    if "free-text" in wanted:
        bare = ("bare", "free")
        yield compared(
            "free text, one stream / bare loop",
            model,
            taken.pairs(free, bare),
            Target(0.97),
            "tokens/s",
            note=taken.alike(free, bare),
        )
    if "json-free" in wanted:
        yield compared("JSON by schema / our own free text", model, taken.pairs(json, free), Target(1.0), "tokens/s")
    if "json-llama" in wanted:
        llama = ("llama", "json")
        crashes = taken.crashes["llama"]
        died = f"; its process died of {crashes} prompts" if crashes else ""
        yield compared(
            "JSON by schema / `Llama` with its grammar",
            model,
            taken.pairs(json, llama),
            Target(1.9) if model.startswith("qwen") else None,
            "tokens/s",
            note=taken.alike(json, llama) + died,
        )
    if "json-xllamacpp" in wanted:
        yield from _against_xllamacpp(model, taken)


def _against_xllamacpp(model: str, taken: _Taken) -> Iterator[Row]:
    ours, theirs = ("ours", "json"), ("xllamacpp", "json")
    yield compared(
        "JSON by schema / xllamacpp with json_schema",
        model,
        taken.pairs(ours, theirs),
        Target(1.0),
        "tokens/s",
        note=f"{taken.alike(ours, theirs)}; its wheel is built for any x86-64, ours for this machine",
    )
    shares = [taken.rates((kind, "json"), (kind, "free")) for kind in ("ours", "xllamacpp")]
    of_own = [[json / free for json, free in (share[i] for i in shares[0] if i in shares[1])] for share in shares]
    if of_own[0]:
        yield compared(
            "the same, each as a share of its own free text",
            model,
            list(zip(*of_own, strict=True)),
            None,
            "JSON / free",
            digits=2,
        )


def _take(bench: Bench, model: str, asked: set[_Who]) -> _Taken:
    kinds = sorted({party for party, _ in asked})
    items, every = _round(bench, model, {what for _, what in asked})
    cap = bench.some(_TOKENS, 16)
    taken = _Taken(every)
    parties: dict[str, Party] = {}
    try:
        for kind in kinds:
            parties[kind] = bench.start(kind, model)
        for kind, what in asked:
            first = next(item for item in items if item.what == what)
            _answer(bench, model, parties, kind, first, cap, Counter())
        for i, item in enumerate(items):
            # The order turns, so that nobody always follows the same neighbour.
            for kind in turned(kinds, i):
                if (kind, item.what) in asked and (
                    timing := _answer(bench, model, parties, kind, item, cap, taken.crashes)
                ):
                    taken.timings[kind, item.what][item.number] = timing
    finally:
        for party in parties.values():
            party.close()
    rests = sorted({timing.rest for timings in taken.timings.values() for timing in timings.values()})
    with bench.parties(model, "loop") as started:
        taken.counts.update(zip(rests, started["loop"].ask("count", texts=rests), strict=True))
    return taken


def _answer(
    bench: Bench, model: str, parties: dict[str, Party], kind: str, item: _Item, cap: int, crashes: Counter[str]
) -> Timing | None:
    """One answer; a process that dies of it is replaced."""
    pause()
    try:
        return Timing(**parties[kind].ask("answer", **item.asked(kind), max_tokens=cap))
    except PartyFailed as error:
        bench.say(f"{model}: {error}")
        crashes[kind] += 1
        if not parties[kind].alive:
            parties[kind].close()
            parties[kind] = bench.start(kind, model)
        return None


def _round(bench: Bench, model: str, whats: set[str]) -> tuple[list[_Item], int]:
    """The prompts in the order in which they are asked, and how many function calls go with one free text."""
    calls = function_calls(bench.some(10 if model == LARGE else 30, 3)) if "json" in whats else []
    texts = free_texts()[: bench.some(10, 1)] if "free" in whats else []
    every = max(1, len(calls) // max(1, len(texts)))
    with bench.parties(model, "loop") as started:
        tokens = [started["loop"].ask("tokens", messages=prompt.messages) for prompt in texts]
    items = [_Item("free", i, prompt, tokens[i]) for i, prompt in enumerate(texts)]
    items += [_Item("json", i, prompt, []) for i, prompt in enumerate(calls)]
    return sorted(items, key=lambda item: item.number if item.what == "json" else item.number * every), every


def turned(kinds: Sequence[str], by: int) -> list[str]:
    """The same, with another one in front."""
    return [kinds[(i + by) % len(kinds)] for i in range(len(kinds))]

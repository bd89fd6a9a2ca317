"""What a worker does beside one stream: several calls, a shared prefix, cancel, memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from engine_bench.bench import MIDDLE, Bench, pause
from engine_bench.figures import Row, Spread, Target, compared
from engine_bench.processes import Party
from engine_bench.prompts import Messages, filler, stories
from engine_bench.timing import Timing

_MIB = 2**20
_ALONE = 4
_CONCURRENT, _CONCURRENT_ON_GPU = (8, 16), (16, 64)
_CELLS = 256
"""Tokens of context for each call: its question, and its answer."""
_OF_DECODE = 0.95
"""Share of `llama_decode` alone that calls at once must reach. How much several tokens in a step gain is the machine's
own, so no number of times one call is asked for."""
_OF_DECODE_ON_GPU, _TIMES_ONE_ON_GPU = 0.6, 6.0
"""The same where a GPU decodes, which takes so little time that what Python does counts; and against one call."""
_PREFIX_WORDS = 850
"""About a thousand tokens of these models; the row says how many."""


def together(bench: Bench, model: str) -> Iterator[Row]:
    """8 and 16 calls at once (16 and 64 on a GPU) against `llama_decode` alone for as many, and against some of them
    one after the other, round by round in turn.
    """
    counts = _CONCURRENT_ON_GPU if bench.gpu else _CONCURRENT
    cap = bench.some(80, 64)
    conversations = stories(max(counts))
    bare: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    gains: dict[int, list[float]] = {count: [] for count in counts}
    whole: dict[int, list[float]] = {count: [] for count in counts}
    possible: dict[int, list[float]] = {count: [] for count in counts}
    room = max(bench.context, _CELLS * max(counts))
    with bench.parties(model, "ours", "loop", slots=max(counts), context=room) as parties:
        ours, loop = parties["ours"], parties["loop"]
        depth = len(loop.ask("tokens", messages=conversations[0])) + cap // 2
        ours.ask("answer", messages=conversations[0], max_tokens=8)
        for _ in range(bench.some(3, 1)):
            alone = [ours.ask("together", conversations=[one], max_tokens=cap) for one in conversations[:_ALONE]]
            rate, throughput = (Spread.of(found[what] for found in alone).median for what in ("rate", "whole"))
            pause()
            one = loop.ask("steps", count=1, depth=depth)
            for count in counts:
                pause()
                at_once = ours.ask("together", conversations=conversations[:count], max_tokens=cap)
                pause()
                step = loop.ask("steps", count=count, depth=depth)
                bare[count].append((at_once["rate"], count / step))
                gains[count].append(at_once["rate"] / rate)
                whole[count].append(at_once["whole"] / throughput)
                possible[count].append(count * one / step)
    for count in counts:
        if bench.gpu:
            yield compared(
                f"{count} calls at once / one after the other",
                model,
                [(gain, 1.0) for gain in gains[count]],
                Target(_TIMES_ONE_ON_GPU),
                "times",
            )
        yield compared(
            f"{count} calls at once / `llama_decode` alone, {depth} tokens deep",
            model,
            bare[count],
            Target(_OF_DECODE_ON_GPU if bench.gpu else _OF_DECODE),
            "tokens/s",
            note=f"{Spread.of(gains[count]).show(2)} times one after the other, where `llama_decode` alone gains "
            f"{Spread.of(possible[count]).show(2)}; prefill included {Spread.of(whole[count]).show(2)}",
        )


def shared_prefix(bench: Bench) -> Iterator[Row]:
    """TTFT of a second question behind a long prefix, against the first one's."""
    model = bench.one(MIDDLE)
    pairs = []
    with bench.parties(model, "ours") as parties:
        for number in range(bench.some(7, 1) + 1):
            first, second = _questions(bench, number)
            cold, warm = _ttft(parties["ours"], first), _ttft(parties["ours"], second)
            if number:
                pairs.append((warm, cold))
        tokens = parties["ours"].ask("prompt_tokens", messages=second)
    yield compared(
        "TTFT, long prefix shared / cold", model, pairs, Target(0.15, at_least=False), "ms", note=f"{tokens:,} tokens"
    )


def restarted(bench: Bench) -> Iterator[Row]:
    """The same across a restart: the second question is the first that a new worker hears, its model loaded."""
    model = bench.one(MIDDLE)
    pairs: list[tuple[float, float]] = []
    known: Messages | None = None
    with tempfile.TemporaryDirectory() as cache:
        for number in range(bench.some(5, 1) + 1):
            with bench.parties(model, "ours", cache=cache) as parties:
                ours = parties["ours"]
                # A worker's very first step is slower than any other, and none of the prefix's doing.
                ours.ask("answer", messages=stories(1)[0], max_tokens=2)
                warm = None if known is None else _ttft(ours, known)
                first, known = _questions(bench, number)
                cold = _ttft(ours, first)
                if warm is not None:
                    pairs.append((warm, cold))
                size = ours.ask("saved", count=number + 1) / (number + 1)
                tokens = ours.ask("prompt_tokens", messages=first)
    yield compared(
        "TTFT after a restart, long prefix from disk / cold",
        model,
        pairs,
        Target(0.25, at_least=False),
        "ms",
        note=f"{tokens:,} tokens, {size / _MIB:.0f} MiB on disk",
    )


def _questions(bench: Bench, number: int) -> tuple[Messages, Messages]:
    """Two questions behind a prefix that no other number has."""
    prefix = filler(_PREFIX_WORDS, bench.seed + number)
    first, second = (
        [{"role": "system", "content": prefix, "reusable": True}, {"role": "user", "content": question}]
        for question in ("Which word comes first?", "How many lanterns are there?")
    )
    return first, second


def _ttft(party: Party, messages: Messages) -> float:
    """In milliseconds."""
    pause()
    return 1000 * Timing(**party.ask("answer", messages=messages, max_tokens=2)).ttft


def cancel(bench: Bench) -> Iterator[Row]:
    """From the cancel to the worker asleep, at random moments of a prefill and of a decode."""
    model = bench.one(MIDDLE)
    with bench.parties(model, "ours") as parties:
        for where in ("prefill", "decode"):
            seconds = parties["ours"].ask("cancel", where=where, times=bench.some(100, 5), seed=bench.seed)
            found = sorted(1000 * s for s in seconds)
            p99 = found[max(0, -(-len(found) * 99 // 100) - 1)]
            yield Row(
                f"cancel in {where} to worker idle, p99",
                model,
                Spread.of(found),
                None,
                Spread(p99, p99, p99, 1),
                Target(200, at_least=False),
                "ms",
            )


def memory(bench: Bench) -> Iterator[Row]:
    """Memory after the same call, of our worker and of the process that holds a `Llama`, one after the other."""
    model = bench.one(MIDDLE)
    ours, plain, logprobs = ([] for _ in range(3))
    for _ in range(bench.some(3, 1)):
        ours.append(_memory(bench, model, "ours"))
        plain.append(_memory(bench, model, "llama"))
        logprobs.append(_memory(bench, model, "llama", logprobs=True))
    file = f"of it the model's file {ours[-1]['file']:.0f} and {plain[-1]['file']:.0f}"
    for what, name, theirs, target, note in (
        ("resident memory (RSS): `Llama`", "rss", plain, Target(200), file),
        ("the same: `Llama` that gives log-probabilities, as ours does,", "rss", logprobs, None, ""),
        ("private memory reserved, touched or not: `Llama`", "data", plain, None, ""),
    ):
        yield compared(
            f"{what} less our worker",
            model,
            [(a[name], b[name]) for a, b in zip(ours, theirs, strict=True)],
            target,
            "MiB",
            figure=lambda ours, theirs: theirs - ours,
            note=note,
        )


def _memory(bench: Bench, model: str, kind: str, **settings: Any) -> dict[str, float]:
    """In MiB, after a call whose prompt takes some hundred tokens."""
    messages = [{"role": "system", "content": filler(400, bench.seed)}, {"role": "user", "content": "Why?"}]
    with bench.parties(model, kind, **settings) as parties:
        parties[kind].ask("answer", messages=messages, max_tokens=bench.some(32, 4))
        return {name: size / _MIB for name, size in parties[kind].ask("memory").items()}

"""What surrounds decoding: the worker with its pipe, and the reckoning of confidence."""

from __future__ import annotations

from collections.abc import Iterator

from engine_bench.bench import SMALL, Bench, pause
from engine_bench.decode import turned
from engine_bench.figures import Row, Spread, Target, compared
from engine_bench.prompts import free_texts
from engine_bench.timing import Timing


def worker_and_pipe(bench: Bench) -> Iterator[Row]:
    """Our worker against the same loop in-process, on free texts."""
    model = bench.one(SMALL)
    texts = free_texts()[: bench.some(10, 1)] * bench.some(2, 1)
    cap = bench.some(128, 16)
    pairs, same = [], 0
    with bench.parties(model, "ours", "loop") as parties:
        for number, prompt in enumerate([texts[0], *texts]):
            found = {}
            for kind in turned(["ours", "loop"], number):
                pause()
                found[kind] = Timing(**parties[kind].ask("answer", messages=prompt.messages, max_tokens=cap))
            if number:
                same += found["ours"].text == found["loop"].text
                pairs.append((1000 * found["ours"].seconds, 1000 * found["loop"].seconds))
    yield compared(
        "worker and pipe / the same loop in-process",
        model,
        pairs,
        Target(3, at_least=False),
        "ms/answer",
        figure=lambda ours, theirs: (ours / theirs - 1) * 100,
        note=f"figure: % slower; answers of {cap} tokens, same text {same} of {len(pairs)}",
    )


def confidence(bench: Bench, model: str) -> Iterator[Row]:
    """The share of decoding that goes into log-probabilities and margins."""
    shares, each = [], []
    with bench.parties(model, "loop") as parties:
        for number, prompt in enumerate(free_texts()[: bench.some(6, 2)]):
            found = parties["loop"].ask("confidence", messages=prompt.messages, max_tokens=bench.some(64, 16))
            if number:
                shares.append(100 * found["reckoning"] / found["decoding"])
                each.append(1e6 * found["reckoning"] / found["tokens"])
    yield Row(
        "cost of confidence, of decode time",
        model,
        Spread.of(each),
        None,
        Spread.of(shares),
        Target(3, at_least=False),
        "us/token",
        "figure: %",
    )

"""Evaluation with real models: recorded once, replayed without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import rung
from rung import Cancel, Ladder, Message, Rung
from rung.learn.cassette import Cassette
from rung.learn.evaluating import Work, evaluate, recorders
from rung.learn.grading import grade, grader
from rung.learn.identity import identify
from rung.learn.recording import about, recorded_rungs
from rung.learn.results import LADDER, TierResult
from rung.learn.rows import Row

pytestmark = pytest.mark.weights

CHOICES = ["weather", "alarm", "translate", "music"]
UTTERANCES = {
    "weather": "will it rain tomorrow|how hot is it in rome|is it going to snow|what is the forecast|is it windy",
    "alarm": "wake me at seven|set an alarm for six|cancel my alarm|i need an alarm for noon|alarm at 5 am",
    "translate": "how do you say dog in french|translate hello to spanish|what is bread in german|"
    "say good night in italian|how would i say thanks in chinese",
    "music": "play some jazz|put on the beatles|play my playlist|i want to hear rock|turn on some music",
}


def data() -> list[Row]:
    pairs = [(text, label) for label, texts in UTTERANCES.items() for text in texts.split("|")]
    return [
        Row(n, f"key {n}", (Message("user", f'What does this person want? "{text}"'),), True, label)
        for n, (text, label) in enumerate(pairs, 1)
    ]


def run(ladder: Ladder, cassette: Cassette, identities: Mapping[str, str], **more: Any) -> list[TierResult]:
    check = grader("choice")
    work = Work(
        ladder,
        recorders(ladder, cassette, identities),
        data,
        CHOICES,
        grade=lambda row, value: grade(check, value, row.expected),
        same=grader("choice"),
        **more,
    )
    results: list[TierResult] = []
    for event in evaluate(work):
        if isinstance(event, list):
            results = sorted(event, key=lambda result: (result.row, result.tier))
    return results


def test_two_real_models_are_evaluated_recorded_and_replayed(weights: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "calls"
    models = {"small": "smollm2-135m", "mid": "qwen2.5-coder-0.5b"}
    known = {name: identify("llama", {"model": model}, cancel=Cancel()) for name, model in models.items()}
    small, mid = (rung.llama(weights(model), name=name) for name, model in models.items())
    digests = {name: identity.digest for name, identity in known.items()}
    with Ladder(Rung(small, min_confidence=0.05), mid) as ladder, Cassette(path) as cassette:
        for each in ladder.rungs:
            cassette.identify(each.tier.name, about(each, known[each.tier.name]))
        first = run(ladder, cassette, digests)
        assert small.worker_pid is None, "one model is in memory at a time"
        assert mid.worker_pid is None
        again = run(ladder, cassette, digests)
        assert small.worker_pid is None, "nothing was asked twice, so no model was loaded"
    assert again == first
    with Cassette(path, writes=False) as cassette:
        nobody = Ladder(*recorded_rungs(cassette))
        assert run(nobody, cassette, digests, asks=False) == first
    by_tier = {name: [r for r in first if r.tier == name] for name in ("small", "mid", LADDER)}
    assert all(len(found) == 20 for found in by_tier.values())
    assert sum(bool(r.right) for r in by_tier["mid"]) >= 10
    assert all(r.features["minimum"] <= 0 and r.seconds > 0 for found in by_tier.values() for r in found)
    assert all(r.valid for r in by_tier["mid"]), "the decoder holds answers to the choices"
    assert any(r.answered_by == "mid" for r in by_tier[LADDER])
    assert known["small"].weights
    assert (tmp_path / "calls").stat().st_size < 200_000

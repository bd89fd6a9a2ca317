"""What should a repair be told? How many rejected answers one repair mends, with and without the rejected text.

    .venv/bin/python scripts/bench_repair.py

Small greedy models tend to say again what stands before them. Each case has a check that a first answer often fails,
and whose message says what would satisfy it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator

import rung
from rung.checks import that
from rung.ladder import Ladder
from rung.tier import Rung

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
CAPITALS = Annotated[str, AfterValidator(that(str.isupper, "the answer must be in capital letters only"))]


def brief(text: str) -> str | None:
    return None if len(text.split()) <= 3 else "the answer must be at most three words"


def german(text: str) -> str | None:
    found = any(word in text.lower() for word in ("hallo", "guten", "grüß"))
    return None if found else "the greeting must be in German"


def open_ended(text: str) -> str | None:
    return None if not text.endswith(".") else "the answer must not end with a full stop"


def even(number: int) -> str | None:
    return None if number % 2 == 0 and number > 10 else "the number must be even and greater than 10"


Case = tuple[str, Any, tuple[Callable[[Any], str | None], ...]]
CASES: tuple[Case, ...] = (
    ("What is the capital of France? One word.", CAPITALS, ()),
    ("Name the colour of the sky.", CAPITALS, ()),
    ("What is the capital of Italy?", None, (brief,)),
    ("Write a title for a story about a whale.", None, (brief,)),
    ("Write a short greeting.", None, (german,)),
    ("What is a dog? One sentence.", None, (open_ended,)),
    ("Pick a number.", int, (even,)),
)


def main() -> None:
    tiers = [rung.llama(name) for name in MODELS]
    print("| told | rejected at first | mended by one repair |\n|---|---|---|")
    for policy in ("issues+answer", "issues"):
        rejected = mended = 0
        for tier in tiers:
            ladder = Ladder(Rung(tier, feedback=policy))
            for prompt, output, validators in CASES:
                outcome = ladder.run(prompt, output, validators=validators, max_tokens=60)
                if any(attempt.verdict is rung.Verdict.REPAIR for attempt in outcome.attempts):
                    rejected += 1
                    mended += outcome.accepted
        print(f"| {policy} | {rejected} | {mended} |", flush=True)
    for tier in tiers:
        tier.close()


if __name__ == "__main__":
    main()

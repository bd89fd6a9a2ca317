"""Engine and ladder without a model: what each attempt costs beside the tier."""

from __future__ import annotations

import time

from pydantic import BaseModel

from rung.ladder import Ladder
from rung.testing import ScriptedTier

_WARM = 30


class Answer(BaseModel):
    """What is asked for."""

    number: int
    word: str


class Scripted:
    """Ladders on scripted tiers."""

    def attempts(self, kind: str, times: int) -> list[float]:
        """Seconds per attempt.

        Args:
            kind: `text`, `type`, or `repair`, where each run takes two attempts.
            times: how many runs.
        """
        good = '{"number": 1, "word": "x"}'
        script = {"text": ["Paris it is"], "type": [good], "repair": ['{"number": "one"}', good]}[kind]
        output = None if kind == "text" else Answer
        ladder = Ladder(ScriptedTier("scripted", *(script * (times + _WARM))))
        seconds = []
        for _ in range(times + _WARM):
            began = time.perf_counter()
            outcome = ladder.run("hello", output)
            seconds.append((time.perf_counter() - began) / len(script))
            if not outcome.accepted or len(outcome.attempts) != len(script):
                raise AssertionError(f"{kind} took {len(outcome.attempts)} attempts")
        return seconds[_WARM:]

    def close(self) -> None:
        """Nothing is held."""

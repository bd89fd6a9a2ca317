"""Ask each model alone, constrained and greedy, and keep what it said: what a threshold would have done is replayed.

    .venv/bin/python scripts/record_outputs.py --into recordings --rows 40
    .venv/bin/python scripts/record_outputs.py --into recordings --rows 100     # goes on where the first one ended

One model is loaded at a time, and as many calls are decoded together as it takes. Killed in the middle, it loses the
calls under way and goes on with the rest when it is started again.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_jsonable_python

import rung
from public_sets import Question, QuestionSet, sets
from rung import Ladder, Rung, Token

MODELS = ("qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", "smollm2-135m")
_SLOTS = 8
_LIMIT = 256
"""Tokens of an answer: no right one of these sets comes near it."""


def recorded(path: Path) -> set[str]:
    """Keys of the rows in a file. A line that was being written when the program ended is cut off."""
    if not path.exists():
        return set()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return {json.loads(line)["key"] for line in whole.splitlines()}


def record(ladder: Ladder, model: str, question: Question) -> dict[str, Any]:
    """What the model says, and what is known of each of its tokens."""
    outcome = ladder.run(question.prompt, question.output, system=question.system, max_tokens=_LIMIT)
    attempt = outcome.attempts[0]
    candidate, validation = attempt.candidate, attempt.validation
    if candidate is None or validation is None:
        raise RuntimeError(f"{model} gave no answer to {question.key}: {attempt.reason}")
    value = validation.value if validation.valid else None
    return {
        "key": question.key,
        "text": candidate.text,
        "value": to_jsonable_python(value),
        "valid": validation.valid,
        "right": validation.valid and question.right(value),
        "finish": candidate.finish,
        "constraint": candidate.constraint,
        "seconds": round(attempt.seconds, 3),
        "input_tokens": candidate.usage.input_tokens,
        "output_tokens": candidate.usage.output_tokens,
        "features": {} if candidate.score is None else dict(candidate.score.features),
        "tokens": [_token(token) for token in candidate.tokens],
    }


def _token(token: Token) -> list[Any]:
    """Text, and of a chosen token logprob, margin and both among what was allowed."""
    if token.forced or token.logprob is None:
        return [token.text]
    figures = (token.logprob, token.margin, token.allowed_logprob, token.allowed_margin)
    return [token.text, *(None if f is None else round(f, 5) for f in figures)]


def run(model: str, asked: QuestionSet, ladder: Ladder, into: Path, rows: int) -> None:
    """Record what isn't recorded yet of the first rows of a set."""
    path = into / f"{asked.name}-{asked.part}.{model}.jsonl"
    done = recorded(path)
    left = [question for question in asked.questions[:rows] if question.key not in done]
    with path.open("a", encoding="utf-8") as out, ThreadPoolExecutor(_SLOTS) as pool:
        waiting = [pool.submit(record, ladder, model, question) for question in left]
        for n, future in enumerate(as_completed(waiting), 1):
            _append(out, future.result())
            print(f"{model} {asked.name} {asked.part}: {n} of {len(left)}", file=sys.stderr, flush=True)


def _append(out: IO[str], row: dict[str, Any]) -> None:
    out.write(json.dumps(row, ensure_ascii=False) + "\n")
    out.flush()


def main() -> None:
    """Record every set with every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--rows", type=int, default=100, help="most rows of a set")
    parser.add_argument("--model", action="append", help="one of the models; all three by default")
    parser.add_argument("--set", action="append", dest="only", help="one of the sets; all by default")
    parser.add_argument("--threads", type=int, help="for decoding; by default one per free core")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    asked = [s for s in sets() if not options.only or s.name in options.only]
    for model in options.model or MODELS:
        tier = rung.llama(model, slots=_SLOTS, threads=options.threads)
        with Ladder(Rung(tier, repairs=0, min_confidence=0)) as ladder:
            for questions in asked:
                run(model, questions, ladder, options.into, options.rows)


if __name__ == "__main__":
    main()

"""From tokens to JSON paths: which tokens carry which value, and what their log-probabilities amount to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise

from rung.contract.bounds import DEEPEST_ANSWER, is_too_long
from rung.types import Score, Token

_LEXEME = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)
"""A string without an end is one too: what fails at the end would be tried from each quote in it."""
_MOST_LEXEMES = 250_000
"""Lexemes of an answer that are looked at, in a quarter of a second or so. No model writes as many tokens."""


def values(text: str) -> Iterator[tuple[str, int, int]]:
    """The scalar values of a JSON text: path, begin and end of its characters, a string's quotes left out.

    Args:
        text: well-formed JSON; of anything else the values up to the first fault are given, or to where it is nested
            more deeply than an answer may be, or longer than any answer.
    """
    path: list[str | int] = []
    lexemes = ((m.group(), m.start(), m.end()) for m in islice(_LEXEME.finditer(text), _MOST_LEXEMES))
    for (lexeme, begin, end), (following, _, _) in pairwise(chain(lexemes, [("", 0, 0)])):
        if len(path) > DEEPEST_ANSWER:
            return
        if lexeme == "{":
            path.append("")
        elif lexeme == "[":
            path.append(0)
        elif lexeme in "}]":
            if not path:
                return
            path.pop()
        elif lexeme == ",":
            if path and isinstance(path[-1], int):
                path[-1] += 1
        elif lexeme == ":":
            continue
        elif following == ":" and path and isinstance(path[-1], str):
            path[-1] = _key(lexeme)
        elif lexeme.startswith('"'):
            yield show(path), begin + 1, max(end - 1, begin + 1)
        else:
            yield show(path), begin, end


def _key(lexeme: str) -> str:
    try:
        return str(json.loads(lexeme))
    except ValueError:
        return lexeme[1:-1]


def show(path: Iterable[str | int]) -> str:
    """A path as people write it: `lines[2].total`."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def scores(text: str, tokens: Sequence[Token], *, structured: bool) -> tuple[Score | None, dict[str, Score]]:
    """What the tokens' log-probabilities say, over all value tokens and per JSON path.

    Args:
        text: the answer, to which the tokens' texts join.
        tokens: in order. Forced ones, and those without a log-probability, are not counted.
        structured: whether the text is JSON; of plain text every token carries the one value.
    """
    if is_too_long(len(text)):
        return None, {}
    spans = values(text) if structured else iter([("", 0, len(text))])
    by_path: dict[str, list[Token]] = {}
    everything: list[Token] = []
    at = 0
    span = next(spans, None)
    for token in tokens:
        begin, at = at, at + len(token.text)
        while span is not None and span[2] <= begin:
            span = next(spans, None)
        if span is None:
            break
        path, first, _ = span
        if at <= first or token.forced or token.logprob is None:
            continue
        by_path.setdefault(path, []).append(token)
        everything.append(token)
    return _score(everything), {path: score for path, found in by_path.items() if (score := _score(found))}


def _score(tokens: Sequence[Token]) -> Score | None:
    logprobs = [t.logprob for t in tokens if t.logprob is not None]
    if not logprobs:
        return None
    margins = [t.margin for t in tokens if t.margin is not None]
    return Score(
        sum=sum(logprobs),
        mean=sum(logprobs) / len(logprobs),
        minimum=min(logprobs),
        margin=min(margins) if margins else None,
        tokens=len(logprobs),
    )

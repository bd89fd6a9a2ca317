"""From tokens to JSON paths: which tokens carry which value, and how sure the model was of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, pairwise

from rung.contract.bounds import DEEPEST_ANSWER, is_too_long
from rung.types import Score, Token

_LEXEME = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)
"""A JSON string, also without its end. If an open string failed to match, each quote in it would be tried again."""
_MOST_LEXEMES = 250_000
"""Lexemes of an answer that are looked at, which takes about a quarter of a second. No model writes as many tokens."""


def values(text: str) -> Iterator[tuple[str, int, int]]:
    """The scalar values of a JSON text: the path of each, and the offsets of its first character and its end, without
    a string's quotes.

    Args:
        text: well-formed JSON. Otherwise values are given up to the first fault, to where the text is nested more
            deeply than an answer may be, or to the length of the longest answer.
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
    """A path in the usual notation: `lines[2].total`."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def scores(text: str, tokens: Sequence[Token], *, structured: bool) -> tuple[Score | None, dict[str, Score]]:
    """Scores from the tokens' log-probabilities, over all value tokens and per JSON path.

    A value includes the character that ends it: the closing quote of a string, the comma or bracket after a number.
    For plain text that is the token without text that ends the answer.

    Args:
        text: the answer, which is the concatenation of the tokens' texts.
        tokens: in order. Forced ones, and those without a log-probability, don't count.
        structured: whether the text is JSON. In plain text every token belongs to the one value.
    """
    if is_too_long(len(text)):
        return None, {}
    spans = values(text) if structured else iter([("", 0, len(text))])
    by_path: dict[str, list[Token]] = {}
    everything: list[Token] = []
    structure: list[Token] = []
    at = 0
    span = next(spans, None)
    for token in tokens:
        begin, at = at, at + len(token.text)
        while span is not None and span[2] + 1 <= begin:
            span = next(spans, None)
        if token.forced or token.logprob is None:
            continue
        # A token without text (part of a character, or the end of the answer) belongs to the place where it begins.
        if span is None or max(at, begin + 1) <= span[1]:
            structure.append(token)
            continue
        by_path.setdefault(span[0], []).append(token)
        everything.append(token)
    return _score(everything, structure), {path: score for path, found in by_path.items() if (score := _score(found))}


def _score(tokens: Sequence[Token], structure: Sequence[Token] | None = None) -> Score | None:
    """The score of some tokens; `None` if none has a log-probability.

    Args:
        tokens: those that carry values.
        structure: those that carry none; `None` for one value of several.
    """
    logprobs = [t.logprob for t in tokens if t.logprob is not None]
    if not logprobs:
        return None
    margins = [t.margin for t in tokens if t.margin is not None]
    score = Score(
        sum=sum(logprobs),
        mean=sum(logprobs) / len(logprobs),
        minimum=min(logprobs),
        margin=min(margins, default=None),
        tokens=len(logprobs),
        quantile10=_quantile(logprobs, 0.1),
    )
    if all(t.allowed_logprob is None for t in tokens):
        return score
    # For a token without this figure, take its probability among all tokens, which is a lower bound.
    allowed = [p for t in tokens if (p := t.logprob if t.allowed_logprob is None else t.allowed_logprob) is not None]
    return replace(
        score,
        allowed_sum=sum(allowed),
        allowed_mean=sum(allowed) / len(allowed),
        allowed_minimum=min(allowed),
        allowed_margin=min((t.allowed_margin for t in tokens if t.allowed_margin is not None), default=None),
        choices=None if structure is None else sum(t.allowed_logprob or 0.0 for t in structure),
    )


def _quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of all lies, interpolated between two values (Hyndman and Fan 1996, type 7)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

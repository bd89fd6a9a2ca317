"""Holding an answer to its shape while it is decoded, with llguidance.

Rejection-first: the model chooses, the matcher is asked about that one token, and only a no makes it work out the mask
over the whole vocabulary. Wherever the shape leaves a choice this picks what full masking would; with a temperature,
from the same distribution. Where bytes are inevitable that end in the middle of a token, llguidance's mask holds only
its own cut of them into tokens, and the model may cut them otherwise: the text is the same.
"""

from __future__ import annotations

import ctypes
import functools
import json
from collections.abc import Mapping
from typing import Any

import llama_cpp as llama
import numpy as np
from llguidance import LLMatcher, LLTokenizer

from rung.tiers.llama.worker.native import Vocabulary
from rung.tiers.llama.worker.sampling import Logits, Mask, Sampler
from rung.types import Shape

_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
"""One spelling of white space, so that more of an answer is forced. `oneOf` is held as `anyOf` here, and validation
afterwards is exact: pydantic writes `oneOf` for every tagged union."""

_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_DATA = frozenset({"const", "enum", "default", "examples"})
_LONGEST_REASON = 200


class Unenforceable(Exception):
    """llguidance can't hold an answer to this shape; the message says why, in one line."""


class Grammars:
    """Makes constraints for one vocabulary.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    @functools.cached_property
    def tokenizer(self) -> LLTokenizer:
        """The vocabulary as llguidance wants it. Takes about a second."""
        words = []
        for token in range(self._vocabulary.size):
            word = self._vocabulary.piece(token, special=True)
            control = token in self._vocabulary.ends or self._vocabulary.is_control(token)
            # 0xff never occurs in UTF-8: llguidance's mark of a token that no text can spell.
            words.append(b"\xff" + word if control else word)
        return LLTokenizer.from_llamacpp(
            tokens=words,
            vocab_ptr=self._vocabulary.pointer,
            tokenize_fptr=ctypes.cast(llama.llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value,
            eos_token=sorted(self._vocabulary.ends or {self._vocabulary.eos}),
        )

    def constrain(self, shape: Shape) -> Constraint:
        """A constraint for one answer.

        Raises:
            Unenforceable: the shape needs something that llguidance doesn't know.
        """
        try:
            matcher = LLMatcher(self.tokenizer, _grammar(shape), log_level=0)
        except ValueError as error:
            raise Unenforceable(_reason(str(error))) from None
        if matcher.is_error():
            raise Unenforceable(_reason(matcher.get_error()))
        return Constraint(matcher, self._vocabulary.size)


class Constraint:
    """Follows one answer, token by token.

    Args:
        matcher: at the beginning of its grammar.
        size: of the vocabulary.
    """

    def __init__(self, matcher: LLMatcher, size: int) -> None:
        self._matcher = matcher
        self._size = size
        self._mask: Mask | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing can follow."""
        return bool(self._matcher.is_stopped())

    def forced(self) -> list[int]:
        """The tokens that must come next, already taken; often none."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens and not self._matcher.consume_tokens(tokens):
            raise Unenforceable(_reason(self._matcher.get_error()))
        return tokens

    def choose(self, logits: Logits, sampler: Sampler) -> int:
        """A token that the shape allows, to be taken next.

        Raises:
            Unenforceable: the matcher gave up on the way.
        """
        self._mask = None
        token = sampler.choose(logits)
        if self._matcher.validate_tokens([token]) == 1:
            return token
        if not self._matcher.is_error():
            self._mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            allowed = np.unpackbits(self._mask, bitorder="little", count=self._size).astype(bool)
            if allowed.any():
                return sampler.choose(np.where(allowed, logits, np.float32(-np.inf)))
        raise Unenforceable(_reason(self._matcher.get_error() or "no token can follow"))

    def allowed(self, piece: bytes) -> Mask | None:
        """Which tokens the shape allowed where one was chosen and not taken yet; `None` where that can't be told.

        Args:
            piece: the bytes of the chosen token.
        """
        inevitable = bytes(self._matcher.compute_ff_bytes())
        if inevitable:
            # However the model cuts them into tokens, nothing else could have been said. Beyond them the mask doesn't
            # tell: it holds llguidance's own cut alone.
            return np.zeros(-(-self._size // 8), np.uint8) if inevitable.startswith(piece) else None
        if self._mask is None:
            self._mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        return self._mask

    def take(self, token: int) -> None:
        """Go on by the chosen token.

        Raises:
            Unenforceable: the matcher gave up on the way.
        """
        if self._matcher.try_consume_tokens([token]) != 1:
            raise Unenforceable(_reason(self._matcher.get_error() or "no token can follow"))


def _grammar(shape: Shape) -> str:
    if shape.kind == "regex" and shape.pattern is not None:
        return str(LLMatcher.grammar_from_regex(shape.pattern))
    if shape.kind == "choice":
        return str(LLMatcher.grammar_from_regex("|".join(map(_literally, shape.choices))))
    return str(LLMatcher.grammar_from_json_schema(json.dumps(without_hints(shape.schema)), overrides=_SPACING))


def _literally(text: str) -> str:
    """A pattern for just this text. Python's own escapes are not all known to llguidance."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)


def without_hints(schema: Any) -> Any:
    """A schema without `x-guidance`, by which it could change how it is enforced; properties of that name stay."""
    if isinstance(schema, Mapping):
        return {key: _part(key, value) for key, value in schema.items() if key != "x-guidance"}
    if isinstance(schema, (list, tuple)):
        return [without_hints(item) for item in schema]
    return schema


def _part(key: str, value: Any) -> Any:
    if key in _DATA:
        return value
    if key in _NAMED and isinstance(value, Mapping):
        return {name: without_hints(sub) for name, sub in value.items()}
    return without_hints(value)


def _reason(error: str) -> str:
    line = next((line.strip() for line in error.splitlines() if line.strip()), "no reason given")
    return line[:_LONGEST_REASON]

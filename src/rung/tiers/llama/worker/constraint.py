"""Holding an answer to its shape while it is decoded, with llguidance.

Rejection comes first: the model chooses, the matcher is asked about that one token, and only if it says no does it work
out the mask over the whole vocabulary. Wherever the shape leaves a choice, this picks what full masking would, and with
a temperature, from the same distribution. Where inevitable bytes end in the middle of a token, llguidance's mask
contains only its own way of cutting them into tokens. The model may cut them otherwise; the text is the same.
"""

from __future__ import annotations

import ctypes
import functools
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from rung.errors import ContractError
from rung.tiers.llama.binding import llama
from rung.tiers.llama.worker.enforceable import enforceable, without_look_around
from rung.tiers.llama.worker.sampling import LogitsRow, Mask, Sampler
from rung.tiers.llama.worker.vocabulary import Vocabulary
from rung.types import Shape

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "coerce_one_of": True,
    "lenient": True,
}
"""One spelling of white space, so that more of an answer is forced. `oneOf` is held as `anyOf` here. llguidance leaves
out and names what it lacks, and validation afterwards is exact."""

_UNKNOWN = re.compile(r"Unimplemented keys: (\[.*\])|Unknown format: (.*)", re.DOTALL)
_CLASSES = re.compile(r"\\[wWsSZ]|\[[^\]]*\[")
"""What Python's patterns and Rust's interpret differently."""
_MOST_NAMED = 12
"""Keywords that a note names. A schema with more of them needs no list to make that clear."""
_LONGEST_REASON = 200


def _matcher() -> type[LLMatcher]:
    """llguidance is imported when the first shape needs it, because that takes as long as loading a small model."""
    import llguidance

    kind: type[LLMatcher] = llguidance.LLMatcher
    return kind


class Unenforceable(Exception):
    """llguidance can't hold an answer to this shape. The message says why, in one line."""


class Grammars:
    """Makes constraints for one vocabulary.

    Args:
        vocabulary: the model's vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    @functools.cached_property
    def tokenizer(self) -> LLTokenizer:
        """The vocabulary in llguidance's form. Making it takes about a second."""
        from llguidance import LLTokenizer

        return LLTokenizer.from_llamacpp(
            tokens=self._vocabulary.words(),
            vocab_ptr=self._vocabulary.pointer,
            tokenize_fptr=ctypes.cast(llama._lib.llama_tokenize, ctypes.c_void_p).value,
            eos_token=sorted(self._vocabulary.ends or {self._vocabulary.eos}),
        )

    def constrain(self, shape: Shape) -> Constraint:
        """A constraint for one answer.

        Raises:
            Unenforceable: the shape needs something that llguidance doesn't know.
        """
        try:
            grammar, left_out = _grammar(shape)
            matcher = _matcher()(self.tokenizer, grammar, log_level=0)
        except (ValueError, ContractError) as error:
            raise Unenforceable(_reason(str(error))) from None
        if matcher.is_error():
            raise Unenforceable(_reason(matcher.get_error()))
        lacking = [*left_out, *(name for warning in matcher.get_grammar_warnings() for name in _named(warning))]
        return Constraint(matcher, self._vocabulary.size, _notes(lacking))


class Constraint:
    """Follows one answer, token by token.

    Args:
        matcher: a matcher at the beginning of its grammar.
        size: size of the vocabulary.
        notes: what of the shape isn't enforced, as sentences for the trace.
    """

    def __init__(self, matcher: LLMatcher, size: int, notes: tuple[str, ...] = ()) -> None:
        self.notes = notes
        self._matcher = matcher
        self._size = size
        self._mask: Mask | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing can follow."""
        return bool(self._matcher.is_stopped())

    def forced(self) -> list[int]:
        """The tokens that must come next, already taken. Often there are none."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens and not self._matcher.consume_tokens(tokens):
            raise Unenforceable(_reason(self._matcher.get_error()))
        return tokens

    def choose(self, row: LogitsRow, sampler: Sampler) -> int:
        """A token that the shape allows, to be taken next.

        Args:
            row: the model's logits.
            sampler: of the answer.

        Raises:
            Unenforceable: the matcher gave up on the way.
        """
        self._mask = None
        token = sampler.choose(row)
        if self._matcher.validate_tokens([token]) == 1:
            return token
        if not self._matcher.is_error():
            self._mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            allowed = np.unpackbits(self._mask, bitorder="little", count=self._size).view(np.bool_)
            if allowed.any():
                return sampler.choose(row, allowed)
        raise Unenforceable(_reason(self._matcher.get_error() or "no token can follow"))

    def allowed(self, piece: bytes) -> Mask | None:
        """Which tokens the shape allowed when one was chosen and not taken yet; `None` if nobody can tell.

        Args:
            piece: the bytes of the chosen token.
        """
        inevitable = bytes(self._matcher.compute_ff_bytes())
        if inevitable:
            # However the model cuts them into tokens, nothing else could have been said. Beyond them the mask doesn't
            # tell, because it has only llguidance's own cut.
            return np.zeros(-(-self._size // 8), np.uint8) if inevitable.startswith(piece) else None
        if self._mask is None:
            self._mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        return self._mask

    def take(self, token: int) -> None:
        """Go on with the chosen token.

        Raises:
            Unenforceable: the matcher gave up on the way.
        """
        if self._matcher.try_consume_tokens([token]) != 1:
            raise Unenforceable(_reason(self._matcher.get_error() or "no token can follow"))


def _grammar(shape: Shape) -> tuple[str, tuple[str, ...]]:
    """A grammar for llguidance, and what it leaves out of the shape."""
    if shape.kind == "regex" and shape.pattern is not None:
        return _pattern(shape.pattern)
    if shape.kind == "choice":
        return str(_matcher().grammar_from_regex("|".join(map(_literally, shape.choices)))), ()
    held = enforceable(shape.schema, lambda schema: str(_matcher().validate_grammar(_json(schema))))
    return _json(held.schema), held.left_out


def _json(schema: dict[str, Any]) -> str:
    return str(_matcher().grammar_from_json_schema(json.dumps(schema), overrides=_OPTIONS))


def _pattern(pattern: str) -> tuple[str, tuple[str, ...]]:
    if _CLASSES.search(pattern):
        # imported only here, because few shapes need it and it loads pydantic
        from rung.contract.patterns import for_decoder

        translated = for_decoder(pattern)
        if not _matcher().validate_grammar(str(_matcher().grammar_from_regex(without_look_around(translated)))):
            pattern = translated
    grammar = str(_matcher().grammar_from_regex(pattern))
    without = without_look_around(pattern)
    if without != pattern and _matcher().validate_grammar(grammar):
        return str(_matcher().grammar_from_regex(without)), ("look-around in the pattern",)
    return grammar, ()


def _named(warning: str) -> list[str]:
    """The names in a warning of llguidance."""
    found = _UNKNOWN.fullmatch(warning)
    if found is None:
        return [_reason(warning)]
    return [str(name) for name in json.loads(found[1])] if found[1] else [f"format {found[2]!r}"]


def _notes(lacking: list[str]) -> tuple[str, ...]:
    names = list(dict.fromkeys(lacking))
    if not names:
        return ()
    shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return (f"not enforced while decoding, only checked afterwards: {shown}",)


def _literally(text: str) -> str:
    """A pattern for exactly this text. llguidance doesn't know all of Python's escapes."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)


def _reason(error: str) -> str:
    line = next((line.strip() for line in error.splitlines() if line.strip()), "no reason given")
    return line[:_LONGEST_REASON]

"""Turning the values of a response into deltas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from rung.errors import TierCrashed, TierError
from rung.tiers.openai.chunks import ChoicePiece, pieces
from rung.tiers.openai.complaints import Complained
from rung.tiers.openai.finish import Ending, ending, is_usual, shown
from rung.types import Constraint, Delta, Finish, Token, Usage

_NO_WORD = (None, "", "null", "None")
"""What endpoints send as the finish reason while the answer goes on."""


class StreamReader:
    """Reads the values of one response, and knows at its end whether the answer is complete.

    Args:
        constraint: who enforces the shape; `None` if no shape was requested.
        notes: sentences for the trace, known before the first value.
        candidates: number of answers that were requested.
        logprobs: whether log-probabilities were requested.
        cap: cap on each answer, in tokens; `None` if none was sent.

    `started` tells whether any part of a chat completion came.
    """

    def __init__(
        self,
        constraint: Constraint | None,
        notes: tuple[str, ...],
        candidates: int,
        logprobs: bool,
        cap: int | None = None,
    ) -> None:
        self.started = False
        self._logprobs = logprobs
        self._constraint = constraint
        self._notes = notes
        self._candidates = candidates
        self._cap = cap
        self._model: str | None = None
        self._usage = Usage()
        self._thought_tokens: int | None = None
        self._counted = self._wrote = self._thought = self._tools = False
        self._finish: dict[int, Ending | None] = {}
        self._words: dict[int, object] = {}
        self._halves: dict[int, str] = {}
        self._texts: set[int] = set()
        self._refused: set[int] = set()
        self._remarks: dict[str, None] = {}

    def read(self, data: object, *, alone: bool = False) -> Iterator[Delta]:
        """The deltas of one value.

        Args:
            data: parsed JSON.
            alone: whether it came instead of a stream.

        Raises:
            TierError: a part of the answer can't be read.
            Complained: the endpoint says that something is wrong, before it has begun to answer.
        """
        if not isinstance(data, Mapping):
            if data is not None:
                self.remark("the endpoint sent events that aren't chunks of an answer; they were left out")
            return
        if self.started and data.get("error"):
            raise TierCrashed("the endpoint ended its answer with an error")
        if not self.started and (data.get("error") or data.get("object") == "error" or (alone and not _chat(data))):
            raise Complained(data)
        if not _chat(data):
            if isinstance(data.get("usage"), Mapping):
                self._count(data["usage"])
            return
        if not self.started:
            self.started = True
            yield Delta(constraint=self._constraint, notes=self._notes)
        if isinstance(model := data.get("model"), str) and model:
            self._model = model
        self._count(data.get("usage"))
        for piece in pieces(data, self.remark):
            yield from self._read(piece)

    def _read(self, piece: ChoicePiece) -> Iterator[Delta]:
        index = piece.index
        if index >= self._candidates:
            raise TierError("the endpoint sent more answers than were asked for")
        self._finish.setdefault(index, None)
        self._tools |= piece.calls_tool
        self._count(piece.usage)
        said = piece.text + piece.refusal
        if piece.whole and index in self._texts:
            said = ""  # after the pieces some servers send all of them again
        elif said:
            self._texts.add(index)
        text, reasoning = self._whole(index, said), piece.reasoning
        self._thought |= bool(reasoning)
        self._wrote |= self._tools or bool(said or reasoning)
        if text or reasoning:
            tokens = _tokens(text, piece.tokens) if self._logprobs and text else ()
            yield Delta(text, index=index, reasoning=_mended(reasoning), tokens=tokens)
        word = piece.finish
        if word not in _NO_WORD and (index not in self._words or ending(word) is not None):
            self._words[index], self._finish[index] = word, ending(word)
        if piece.refusal:
            self._refused.add(index)

    def end(self, *, done: bool) -> Iterator[Delta]:
        """The last delta of each candidate.

        Args:
            done: whether the endpoint has said that the stream is over, or has sent a whole answer at once.

        Raises:
            TierCrashed: an answer has no end.
            TierError: there was no answer at all.
        """
        if not self.started:
            raise TierError("the endpoint sent no event stream", hint="check base_url: it often ends in /v1")
        if not (self._wrote or self._words):
            if done:
                raise TierError("the endpoint sent a stream without an answer in it")
            raise TierCrashed("the stream broke off before the answer was complete")
        endings = {index: self._ending(index, done) for index in sorted(self._finish)}
        notes = self._last_notes(empty=not self._texts and "length" not in endings.values())
        last = max(endings)
        for index, finish in endings.items():
            text = _mended(self._halves.pop(index, ""))
            piece = Delta(
                text,
                index=index,
                tokens=(Token(text),) if self._logprobs and text else (),
                finish="refusal" if index in self._refused else finish,
            )
            if index == last:
                piece = replace(piece, usage=self._credible, model=self._model, notes=notes)
            yield piece

    def remark(self, sentence: str) -> None:
        """Add a sentence to the trace, once."""
        self._remarks[sentence] = None

    @property
    def _credible(self) -> Usage:
        return self._usage.credible(answered=self._wrote)

    def _ending(self, index: int, done: bool) -> Finish:
        """Why a candidate's answer ended."""
        found, word = self._finish[index], self._words.get(index)
        if found == "broken":
            raise TierCrashed(f"the endpoint gave its answer up; it ended for the reason {shown(word)}")
        if word is None and not done:
            raise TierCrashed("the stream broke off before the answer was complete")
        if found is not None:
            if not is_usual(word):
                self.remark(f"the answer ended for the reason {shown(word)}, which was read as {found}")
            return found
        written = self._credible.output_tokens
        if self._cap is not None and written is not None and written >= self._cap:
            self.remark("the endpoint didn't say why the answer ended; it is as long as its cap, so it counts as cut")
            return "length"
        self.remark(
            "the endpoint didn't say why the answer ended; its stream ended well, so the answer counts as whole"
            if word is None
            else f"the answer ended for a reason that rung doesn't know, {shown(word)}; it counts as whole"
        )
        return "stop"

    def _last_notes(self, *, empty: bool) -> tuple[str, ...]:
        notes = tuple(self._remarks)
        usage = self._credible
        if empty and self._thought:
            tokens = usage.output_tokens if self._thought_tokens is None else self._thought_tokens
            much = "reasoning" if tokens is None else f"{tokens:,} tokens of reasoning"
            notes += (f"the answer is empty, but there {'was' if tokens is None else 'were'} {much}",)
        elif empty and self._thought_tokens:
            notes += (f"the answer is empty, but there were {self._thought_tokens:,} tokens of reasoning",)
        if self._counted and None in (usage.input_tokens, usage.output_tokens):
            notes += ("the tokens that the endpoint reported are incomplete or can't be right; they count as unknown",)
        if self._tools:
            notes += ("the model called a tool that nobody offered; the call was ignored",)
        if len(self._finish) < self._candidates:
            notes += (f"the endpoint gave {len(self._finish)} of {self._candidates} answers",)
        return notes

    def _count(self, usage: object) -> None:
        """Take the counts of a chunk. An endpoint may report them repeatedly; the last report counts."""
        if usage is None:
            return
        told = usage if isinstance(usage, dict) else {}
        prompt, answer = told.get("prompt_tokens"), told.get("completion_tokens")
        self._counted = self._counted or told != usage or prompt is not None or answer is not None
        kept = told.get("prompt_tokens_details")
        cached = kept.get("cached_tokens") if isinstance(kept, Mapping) else None
        new, old = Usage(prompt, answer, cached).credible(answered=False), self._usage
        self._usage = Usage(
            old.input_tokens if prompt is None else new.input_tokens,
            old.output_tokens if answer is None else new.output_tokens,
            old.cached_tokens if cached is None else new.cached_tokens,
        )
        details = told.get("completion_tokens_details")
        if isinstance(details, Mapping):
            thought = Usage(None, details.get("reasoning_tokens")).credible(answered=True).output_tokens
            self._thought_tokens = self._thought_tokens if thought is None else thought

    def _whole(self, index: int, text: str) -> str:
        """The text, with half a character at its end kept back until its other half comes."""
        text = self._halves.pop(index, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._halves[index] = text[-1]
            text = text[:-1]
        return _mended(text)


def _chat(data: Mapping[str, object]) -> bool:
    return "choices" in data


def _mended(text: str) -> str:
    """The text with JSON's escaped surrogate pairs joined, and U+FFFD for lone surrogates."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _tokens(text: str, weighed: tuple[Token, ...]) -> tuple[Token, ...]:
    """The tokens behind a text. If their texts don't join to it, one token of unknown probability stands for all."""
    if "".join(token.text for token in weighed) != text:
        return (Token(text),)
    return weighed

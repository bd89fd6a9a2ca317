"""From the chunks of a streamed chat completion to deltas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rung.errors import TierCrashed, TierError
from rung.types import Constraint, Delta, Finish, Token, Usage

_FINISH: dict[str, Finish] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "function_call"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "refusal"), "refusal"),
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Rival(_Part):
    token: str
    logprob: float


class _Weighed(_Rival):
    top_logprobs: list[_Rival] | None = None


class _Logprobs(_Part):
    content: list[_Weighed] | None = None


class _Piece(_Part):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(_Part):
    index: int = Field(default=0, ge=0)
    delta: _Piece | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Chunk(_Part):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


class StreamReader:
    """Reads the chunks of one response, and knows at its end whether the answer is whole.

    Args:
        constraint: who enforces the shape; `None` where none was asked for.
        notes: sentences for the trace, known before the first chunk.
        candidates: how many answers were asked for.
        logprobs: whether log-probabilities were.
    """

    def __init__(
        self,
        constraint: Constraint | None,
        notes: tuple[str, ...],
        candidates: int,
        logprobs: bool,
    ) -> None:
        self.started = False
        self._logprobs = logprobs
        self._constraint = constraint
        self._notes = notes
        self._candidates = candidates
        self._model: str | None = None
        self._usage = Usage()
        self._counted = self._wrote = False
        self._finish: dict[int, Finish | None] = {}
        self._halves: dict[int, str] = {}
        self._refused: set[int] = set()
        self._tools = False

    def read(self, data: object) -> Iterator[Delta]:
        """The deltas of one chunk.

        Args:
            data: the chunk as parsed JSON.

        Raises:
            TierError: it is no chunk of a chat completion.
        """
        try:
            chunk = _Chunk.model_validate(data)
        except ValidationError:
            chunk = None
        if chunk is None:
            raise TierError("the endpoint sent something that is no chat completion")
        if chunk.error:
            raise TierCrashed("the endpoint ended its answer with an error")
        if not self.started:
            self.started = True
            yield Delta(constraint=self._constraint, notes=self._notes)
        self._model = chunk.model or self._model
        self._count(chunk.usage)
        for choice in chunk.choices or ():
            yield from self._read(choice)

    def _read(self, choice: _Choice) -> Iterator[Delta]:
        index, piece = choice.index, choice.delta or _Piece()
        if index >= self._candidates:
            raise TierError("the endpoint sent more answers than were asked for")
        self._finish.setdefault(index, None)
        self._tools = self._tools or bool(piece.tool_calls)
        text = self._whole(index, (piece.content or "") + (piece.refusal or ""))
        reasoning = piece.reasoning_content or piece.reasoning or ""
        self._wrote = self._wrote or self._tools or bool(piece.content or piece.refusal or reasoning)
        if text or reasoning:
            weighed = choice.logprobs.content if choice.logprobs else None
            tokens = _tokens(text, weighed or []) if self._logprobs and text else ()
            yield Delta(text, index=index, reasoning=_mended(reasoning), tokens=tokens)
        if choice.finish_reason is not None:
            if choice.finish_reason not in _FINISH:
                raise TierError("the answer ended for a reason that rung doesn't know")
            self._finish[index] = _FINISH[choice.finish_reason]
        if piece.refusal:
            self._refused.add(index)

    def end(self) -> Iterator[Delta]:
        """The last delta of each candidate.

        Raises:
            TierCrashed: an answer has no end.
            TierError: there was no answer at all.
        """
        if not self.started:
            raise TierError("the endpoint sent no event stream", hint="check base_url: it often ends in /v1")
        if not self._finish or None in self._finish.values():
            raise TierCrashed("the stream broke off before the answer was complete")
        notes: tuple[str, ...] = ()
        usage = self._usage.credible(answered=self._wrote)
        if self._counted and None in (usage.input_tokens, usage.output_tokens):
            notes += ("the tokens that the endpoint reported are incomplete or can't be right; they count as unknown",)
        if self._tools:
            notes += ("the model called a tool that nobody offered; the call was ignored",)
        if len(self._finish) < self._candidates:
            notes += (f"the endpoint gave {len(self._finish)} of {self._candidates} answers",)
        last = max(self._finish)
        for index, finish in sorted(self._finish.items()):
            text = _mended(self._halves.pop(index, ""))
            piece = Delta(
                text,
                index=index,
                tokens=(Token(text),) if self._logprobs and text else (),
                finish="refusal" if index in self._refused else finish,
            )
            yield replace(piece, usage=usage, model=self._model, notes=notes) if index == last else piece

    def _count(self, usage: object) -> None:
        """Take the counts of a chunk. An endpoint may report them again and again: the last report holds."""
        if usage is None:
            return
        told = usage if isinstance(usage, dict) else {}
        prompt, answer = told.get("prompt_tokens"), told.get("completion_tokens")
        self._counted = self._counted or told != usage or prompt is not None or answer is not None
        new, old = Usage(prompt, answer).credible(answered=False), self._usage
        self._usage = Usage(
            old.input_tokens if prompt is None else new.input_tokens,
            old.output_tokens if answer is None else new.output_tokens,
        )

    def _whole(self, index: int, text: str) -> str:
        """The text with half a character at its end kept back until its other half comes."""
        text = self._halves.pop(index, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._halves[index] = text[-1]
            text = text[:-1]
        return _mended(text)


def _mended(text: str) -> str:
    """The text with pairs of JSON's escaped surrogates joined, and U+FFFD for lone ones."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _tokens(text: str, weighed: list[_Weighed]) -> tuple[Token, ...]:
    """The tokens behind a text. Where their texts don't join to it, one token of unknown probability stands for all."""
    if "".join(token.token for token in weighed) != text:
        return (Token(text),)
    return tuple(Token(token.token, token.logprob, _margin(token)) for token in weighed)


def _margin(token: _Weighed) -> float | None:
    rivals = [rival.logprob for rival in token.top_logprobs or () if rival.token != token.token]
    return token.logprob - max(rivals) if rivals else None

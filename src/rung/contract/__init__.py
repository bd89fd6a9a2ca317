"""What an answer must be: its shape for the decoder, instructions for the model, and the verdict on the answer."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Generic, TypeVar

from rung import threads
from rung.contract.bounds import (
    LONGEST_ANSWER,
    LONGEST_CHECK,
    MOST_ISSUES,
    CheckOverdue,
    is_text,
    is_too_long,
    too_long,
)
from rung.contract.forms import FormedReader, nullable_fields, reason_ends
from rung.contract.parsing import Rejected
from rung.contract.readers import AnswerReader, Choice, JsonSchema, Pattern, PlainText, PydanticType
from rung.contract.sameness import Same, same_under
from rung.contract.schema import VALUE
from rung.contract.spans import scores
from rung.contract.text import Tail, circles, stuck, unfinished_value
from rung.contract.validators import Check, Validator, checks
from rung.errors import ContractError
from rung.threads import Awaiter, refuse_to_await
from rung.types import (
    Candidate,
    CheckContext,
    Image,
    Issue,
    IssueCode,
    Message,
    PromptForm,
    Score,
    Shape,
    Text,
    Token,
    Validation,
)

__all__ = ["LONGEST_ANSWER", "AnswerWatch", "Contract", "Validator", "compile_output", "is_too_long"]

T = TypeVar("T")
_STUCK_AT_LEAST = 1000
"""Characters of repetition that end an answer early. That is more than rejects a whole answer, because a list of zeros
may still end."""
_LOOK_EVERY = 256
"""Characters of new text after which an answer is searched for repetition again."""


class AnswerWatch:
    """Tells when an answer that is still coming isn't worth waiting for. Each character is looked at once.

    Args:
        structured: whether the answer is JSON. Data may rightly repeat itself, so in JSON only the value at its end is
            searched, and elements count only if the same ones come very often.
        checked: whether to look for repetition at all.
    """

    def __init__(self, *, structured: bool, checked: bool = True) -> None:
        self._tail = Tail(structured=structured)
        self._whole = Tail(structured=False) if structured else None
        self._checked = checked
        self._characters = self._unseen = 0

    def add(self, text: str) -> bool:
        """Take the next piece. Returns whether to cut the answer short, because it repeats itself without end or is
        longer than any answer that is read.
        """
        self._characters += len(text)
        if is_too_long(self._characters):
            return True
        if not self._checked:
            return False
        self._tail.add(text)
        if self._whole is not None:
            self._whole.add(text)
        self._unseen += len(text)
        if self._unseen < _LOOK_EVERY:
            return False
        self._unseen = 0
        return stuck(self._tail.text, _STUCK_AT_LEAST) or (self._whole is not None and circles(self._whole.text))


class Contract(Generic[T]):
    """What an answer must be, ready for use by many requests at once.

    Args:
        reader: the kind of value.
        validators: the caller's own checks, in order. All of them run, so that a repair is told of every issue.
    """

    def __init__(self, reader: AnswerReader, validators: Sequence[Validator] = ()) -> None:
        self._bare = reader
        self._formed: dict[PromptForm, Contract[T]] = {}
        self._checks: tuple[Check, ...] = checks(validators)
        self._reader = _absent_as_null(reader, self._checks)
        self._validators = tuple(validators)
        for check in self._checks:
            check.suits(reader.names)

    @property
    def shape(self) -> Shape | None:
        """What decoding should enforce; `None` for free text."""
        return self._reader.shape

    @property
    def notes(self) -> tuple[str, ...]:
        """What the contract leaves open, as sentences for the trace."""
        return self._reader.notes

    @property
    def is_text(self) -> bool:
        """Whether the answer's value is a string."""
        return self._reader.is_text

    @property
    def vouches(self) -> tuple[str, ...]:
        """Which checks can reject an answer for its content: `schema`, `type`, `check:NAME`; empty for bare text."""
        return (*self._reader.vouches, *(f"check:{c.name}" for c in self._checks))

    @property
    def same(self) -> Same | None:
        """Compares two answers for meaning the same; `None` for free text."""
        return same_under(self.shape)

    def under(self, form: PromptForm) -> Contract[T]:
        """The same contract in another form: it asks in other words, and accepts the same values."""
        if form == PromptForm(examples=form.examples):
            return self
        found = self._formed.get(form)
        if found is None:
            found = self._formed[form] = Contract(FormedReader(self._reader, form), self._validators)
        return found

    def written(self, value: Any) -> str:
        """A value as a model is to write it, for an example.

        Args:
            value: as JSON has it.
        """
        if self._reader.wraps:
            value = {VALUE: value}
        elif isinstance(value, str) and (self.shape is None or self.shape.kind != "json"):
            return value
        return json.dumps(self._reader.written(value), ensure_ascii=False)

    @functools.cached_property
    def sha256(self) -> str:
        """The digest of what the contract asks of an answer: its shape, its instructions, the names of its checks."""
        shape = self.shape
        shaped = None if shape is None else [shape.kind, shape.schema, shape.pattern, shape.choices]
        # keys stay in the order in which they were written: a model answers an object's fields in that order
        asked = json.dumps([shaped, self._reader.instructions, self.vouches])
        return hashlib.sha256(asked.encode()).hexdigest()

    def checked(self, validators: Sequence[Validator]) -> Contract[T]:
        """The same contract with further checks.

        Raises:
            ContractError: a validator can't be called.
        """
        return Contract(self._bare, (*self._validators, *validators))

    @property
    def told(self) -> str:
        """The instructions for the model; empty for free text."""
        return self._reader.instructions

    def instruct(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The conversation, with a description of the answer in its system turn, or where the form puts it."""
        told = self._reader.instructions
        if not told:
            return messages
        if self._reader.place != "system":
            return _beside(messages, told, before=self._reader.place == "before")
        first = messages[0]
        if first.role == "system":
            return (Message("system", f"{first.text}\n\n{told}"), *messages[1:])
        return (Message("system", told), *messages)

    def judge(self, candidate: Candidate, context: CheckContext, await_: Awaiter = refuse_to_await) -> Validation:
        """The verdict on a candidate.

        Args:
            candidate: what a tier answered.
            context: what validators may want to know; its deadline and cancel flag end the judgement too.
            await_: waits for async validators.

        Raises:
            ContractError: a validator is misused.
            Cancelled: the flag was set meanwhile.
            Exception: whatever a validator raises that isn't a `ValueError`.
        """
        if candidate.finish == "refusal":
            return Validation(issues=(Issue("", "the model refused to answer", IssueCode.REFUSAL),))
        if candidate.finish in ("length", "cancelled"):
            return Validation(issues=(Issue("", "the answer was cut off before its end", IssueCode.CUT_OFF),))
        if is_too_long(len(candidate.text)):
            return Validation(issues=(too_long(candidate.text),))
        if not is_text(candidate.text):
            message = "the answer holds half of a surrogate pair, which isn't text"
            return Validation(issues=(Issue("", message, IssueCode.SURROGATES),))
        if not candidate.text.strip():
            return Validation(issues=(Issue("", "the answer is empty", IssueCode.EMPTY),))
        watched = context.request.text_checks if self.shape is None else candidate.finish != "stop"
        if watched and self.loops(candidate.text):
            return Validation(issues=(Issue("", "the answer repeats itself without end", IssueCode.LOOPING),))
        running = ["type" if self._reader.calls_functions else "schema"]
        try:
            # Our own readers are bounded or watch the clock. Code of the caller's may have to be abandoned.
            if not self._checks and not self._reader.calls_functions:
                return self._judge(candidate.text, context, await_, running)
            return threads.run(
                lambda: self._judge(candidate.text, context, await_, running), context.deadline, context.cancel
            )
        except threads.Abandoned:
            name = running[-1]
            issue = Issue("", f"{name} was still running at the deadline", name)
        except CheckOverdue:
            name = running[-1]
            issue = Issue("", f"{name} was still running after {LONGEST_CHECK:g} s", name)
        return Validation(issues=(issue,), abandoned=(name,))

    def loops(self, text: str) -> bool:
        """Whether the beginning of an answer shows that its end isn't worth waiting for. Data may rightly repeat
        itself, so in JSON only the value at its end is looked at.
        """
        if self._is_json:
            return stuck(unfinished_value(text), _STUCK_AT_LEAST) or circles(text)
        return stuck(text, _STUCK_AT_LEAST)

    def progress(self, *, text_checks: bool = True) -> AnswerWatch:
        """A watch for an answer as it comes in. `text_checks=False` limits it to the length, for plain text."""
        return AnswerWatch(structured=self._is_json, checked=text_checks or self._reader.shape is not None)

    @property
    def _is_json(self) -> bool:
        shape = self._reader.shape
        return shape is not None and shape.kind == "json"

    def score(self, text: str, tokens: Sequence[Token]) -> tuple[Score | None, dict[str, Score]]:
        """How sure the model was of an answer, from its tokens' log-probabilities: in all, and per field. A reason at
        its beginning doesn't count.
        """
        if self._reader.reasons:
            end = reason_ends(text)
            tokens = _silent(tokens, end)
        return scores(text, tokens, structured=self._is_json)

    def _judge(self, text: str, context: CheckContext, await_: Awaiter, running: list[str]) -> Validation:
        try:
            value = self._reader.read(text, context)
        except Rejected as rejected:
            return Validation(issues=rejected.issues[:MOST_ISSUES])
        issues: list[Issue] = []
        for check in self._checks:
            running.append(f"check:{check.name}")
            issues += islice(check(value, context, await_), MOST_ISSUES)
        return Validation(value, tuple(issues), self.vouches)


def _absent_as_null(reader: AnswerReader, checks: Sequence[Check]) -> AnswerReader:
    """The reader. Where checks look up optional fields in the prompt, answers have null for those that aren't there.

    A check of another kind may look at the answer's text, which then has to be as the caller asked for it.
    """
    if isinstance(reader, FormedReader) or not checks or not all(check.copies for check in checks):
        return reader
    optional = nullable_fields(reader.shape)
    names = frozenset().union(*(check.copied(optional) for check in checks))
    return FormedReader(reader, PromptForm(absent="null"), names) if names else reader


def _beside(messages: tuple[Message, ...], told: str, *, before: bool) -> tuple[Message, ...]:
    """The conversation with instructions in the user's last turn."""
    last = max(i for i, message in enumerate(messages) if message.role == "user")
    turn = messages[last]
    content: str | tuple[Text | Image, ...]
    if isinstance(turn.content, str):
        content = f"{told}\n\n{turn.content}" if before else f"{turn.content}\n\n{told}"
    else:
        content = (Text(f"{told}\n\n"), *turn.content) if before else (*turn.content, Text(f"\n\n{told}"))
    return (*messages[:last], replace(turn, content=content), *messages[last + 1 :])


def _silent(tokens: Sequence[Token], end: int) -> list[Token]:
    """The tokens, of which those that begin before a place say nothing of the answer."""
    found, at = [], 0
    for token in tokens:
        found.append(replace(token, logprob=None) if at < end else token)
        at += len(token.text)
    return found


def compile_output(output: Any, validators: Sequence[Validator] = ()) -> Contract[Any]:
    """The contract of what a caller asked for.

    Args:
        output: a pydantic model or any type that pydantic's `TypeAdapter` takes; a JSON Schema as a dict; a compiled
            regular expression; a list, tuple or set of strings to choose from; `str` or `None` for plain text.
        validators: further checks of the value.

    Raises:
        ContractError: it can't be an output, or a validator can't be called.
    """
    try:
        reader = reader_of(output)
    except RecursionError:
        raise ContractError("the output is nested too deeply, or contains itself") from None
    if not is_text(reader.instructions):
        raise ContractError(
            "the output can't be told to a model: a text in it holds half of a surrogate pair",
            hint="look through its patterns, options and descriptions",
        )
    return Contract(reader, validators)


def reader_of(output: Any) -> AnswerReader:
    """The reader of answers of one kind. Raises `ContractError` for anything that can't be an output."""
    if output is None or output is str:
        return PlainText()
    if isinstance(output, re.Pattern):
        return Pattern(output)
    if isinstance(output, dict):
        return JsonSchema(output)
    if isinstance(output, list | tuple | set | frozenset):
        return Choice(sorted(output, key=str) if isinstance(output, set | frozenset) else output)
    return PydanticType(output)

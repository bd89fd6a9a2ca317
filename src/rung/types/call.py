"""What passes between engine and tier: the call, and what comes back from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from rung import checking
from rung.errors import ConfigError, ContractError
from rung.limits import Cancel, Deadline
from rung.types.messages import Message
from rung.types.preparing import Preparing
from rung.types.price import Price
from rung.types.reasons import IssueCode
from rung.types.request import Sampling

Finish = Literal["stop", "length", "refusal", "cancelled"]
Constraint = Literal["enforced", "endpoint", "none"]
"""Who held the answer to its shape while it was decoded: our decoder, the endpoint by its own word, or nobody."""

FeedbackPolicy = Literal["none", "issues", "issues+answer"]

_MOST_CANDIDATES = 128
"""Answers that one call may ask for. Nobody is known to use more, and other callers would have to wait for all of
them."""

_DEEPEST = 160
"""Levels of nesting in a schema. The JSON parsers that it goes through give up at 200, and a call adds some levels."""

_MOST_VALUES = 200_000
"""Values in a schema. The largest in use have about ten thousand. A schema that repeats its own parts can have
millions."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decoding can enforce of a contract.

    Args:
        kind: which of the other fields describes the answer most exactly.
        schema: a JSON Schema with an object at its root. It is always there, so that a tier needs to know no other
            kind.
        pattern: for `regex`, a regular expression that the whole answer matches.
        choices: for `choice`, the only answers.

    Raises:
        ConfigError: a field has the wrong type.
        ContractError: the schema can't be written as JSON, or is nested too deep.
    """

    kind: Literal["json", "regex", "choice"]
    schema: Mapping[str, Any] = field(repr=False)
    pattern: str | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checking.one_of("kind of shape", self.kind, ("json", "regex", "choice"))
        if not isinstance(self.schema, Mapping):
            raise ConfigError(f"schema has to be a mapping, and is of the type {type(self.schema).__name__}")
        schema = self.schema if isinstance(self.schema, dict) else dict(self.schema)
        _check_json(schema)
        object.__setattr__(self, "schema", schema)
        if self.pattern is not None:
            checking.text("pattern", self.pattern)
        elif self.kind == "regex":
            raise ConfigError("a shape of the kind regex needs a pattern")
        object.__setattr__(self, "choices", checking.several("choices", self.choices, str, "texts"))
        if self.kind == "choice" and not self.choices:
            raise ConfigError("a shape of the kind choice needs choices")


def _check_json(schema: dict[str, Any]) -> None:
    """Refuse what can't be written as JSON. It walks level by level, because recursion into a value that contains
    itself would never end.
    """
    level: list[Any] = [schema]
    left = _MOST_VALUES
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if not all(isinstance(key, str) for key in value):
                    raise ContractError("the schema can't be written as JSON: one of its keys is not text")
                below += value.values()
            elif isinstance(value, (list, tuple)):
                below += value
            elif value is not None and not isinstance(value, (str, int, float)):
                raise ContractError(f"the schema can't be written as JSON: it holds a {type(value).__name__}")
            if len(below) > left:
                raise ContractError(f"the schema holds more than {_MOST_VALUES:,} values", hint="name a smaller one")
        if not below:
            return
        left -= len(below)
        level = below
    raise ContractError(f"the schema is nested more than {_DEEPEST} levels deep", hint="make it flatter")


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong with an answer.

        def is_polite(answer):
            return None if "please" in answer else rung.Issue("", "say please", "manners")

        is_polite("Sit down.").message  # say please

    Args:
        path: where, as in `lines[2].total`; empty for the whole answer.
        message: what, in a sentence that a model can act on. May quote the answer.
        code: who found it: an `IssueCode`, `check:NAME`, or a validator's own code.
        quotes: the rejected value, where `message` begins with it. The next model is told "it" in its place, because a
            small model copies whatever wrong value it is shown.
    """

    path: str
    message: str = field(repr=False)
    code: IssueCode | str
    quotes: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Call:
    """Everything that one attempt needs. A tier never sees the ladder or another tier.

        call = rung.Call(messages=(rung.Message("user", "Is water wet?"),), max_tokens=20)
        "".join(delta.text for delta in tier.stream(call))  # It is.

    Args:
        messages: the conversation, with instructions and feedback already in it.
        shape: what decoding should enforce; `None` for free text.
        sampling: how tokens are chosen.
        max_tokens: cap on the answer, in tokens; `None` leaves it to the tier.
        candidates: number of answers wanted.
        deadline: once it has passed, the tier must raise `TierTimeout` within 200 ms.
        cancel: once it is set, the tier must raise `Cancelled` within 200 ms.
        rejected: text of the last rejected answer, which a tier may use to speculate. It is never sent anywhere.
        others: whether another tier may answer where this one can't. Then a tier needn't retry for long.

    Raises:
        ConfigError: a field has the wrong type or is out of range.
    """

    messages: tuple[Message, ...]
    shape: Shape | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    candidates: int = 1
    deadline: Deadline = Deadline()
    cancel: Cancel = field(default_factory=Cancel, repr=False)
    rejected: str | None = field(default=None, repr=False)
    others: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", checking.several("messages", self.messages, Message, "messages"))
        checking.instance("sampling", self.sampling, Sampling, "a Sampling")
        if self.max_tokens is not None:
            object.__setattr__(self, "max_tokens", checking.whole("max_tokens", self.max_tokens, 1))
        candidates = checking.whole("candidates", self.candidates, 1, _MOST_CANDIDATES)
        object.__setattr__(self, "candidates", candidates)
        checking.instance("deadline", self.deadline, Deadline, "a Deadline")
        checking.instance("cancel", self.cancel, Cancel, "a Cancel")
        if self.shape is not None:
            checking.instance("shape", self.shape, Shape, "a Shape")
        if self.rejected is not None:
            checking.text("rejected", self.rejected)
        checking.flag("others", self.others)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer.

        delta = rung.Delta("yes", tokens=(rung.Token("yes", logprob=-0.02, margin=3.1),))
        delta.tokens[0].forced  # False

    Args:
        text: what it adds. The texts of a candidate's tokens join to its text.
        logprob: natural logarithm of its probability under the model, before any constraint; `None` if unknown.
        margin: its `logprob` minus that of the likeliest other token; below 0 where the constraint overruled the model.
        forced: whether the constraint left only this token. Forced tokens say nothing about confidence.
        allowed_logprob: `logprob` among only the tokens that the shape allowed here; `None` if unknown, or without a
            shape. Where `logprob` is above -0.0001, or the allowed tokens aren't known, it may be equal to `logprob`,
            which is its lower bound.
        allowed_margin: `margin` to the likeliest other token that the shape allowed; `None` if unknown, without a
            shape, or where the shape allowed no other token.
    """

    text: str = field(repr=False)
    logprob: float | None = None
    margin: float | None = None
    forced: bool = False
    allowed_logprob: float | None = None
    allowed_margin: float | None = None


MOST_TOKENS = 100_000_000
"""Most tokens of one call that are believed: the longest context that anybody has announced, and ten times the longest
on offer. A count above it is a fault of the endpoint, and no money is counted by it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call used.

        delta = rung.Delta(finish="stop", usage=rung.Usage(input_tokens=12, output_tokens=1))
        delta.usage.output_tokens  # 1

    A count is `None` if the tier didn't report it.

    Args:
        input_tokens: of the prompt.
        output_tokens: of the answer, thinking included.
        cached_tokens: how many of the prompt's were not evaluated, because they were kept from before.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None

    def credible(self, *, answered: bool) -> Usage:
        """The counts that can be right, with `None` in place of those that can't: a count that isn't a whole number,
        one that no context could hold, 0 for a prompt, and 0 for an answer where there is one.

        Args:
            answered: whether any part of an answer came.
        """
        prompt, kept = _count(self.input_tokens, 1), _count(self.cached_tokens, 0)
        if prompt is None or (kept is not None and kept > prompt):
            kept = None
        return Usage(prompt, _count(self.output_tokens, 1 if answered else 0), kept)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            _sum(self.input_tokens, other.input_tokens),
            _sum(self.output_tokens, other.output_tokens),
            _sum(self.cached_tokens, other.cached_tokens),
        )


def _count(count: object, least: int) -> int | None:
    if not isinstance(count, int) or isinstance(count, bool):
        return None
    return count if least <= count <= MOST_TOKENS else None


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer. Every field but `text` may be left out.

        answer = [rung.Delta("It"), rung.Delta(" is.", finish="stop")]
        "".join(delta.text for delta in answer)  # It is.

    Args:
        text: what this piece adds to the answer. Never half a character.
        index: which candidate, from 0.
        tokens: the tokens behind `text`.
        reasoning: thinking that isn't part of the answer.
        constraint: who enforces the call's shape; reported once, in any delta.
        notes: sentences for the trace, for example why a schema couldn't be enforced.
        finish: on the last delta of a candidate, why it ended.
        usage: on the last delta of the call.
        model: on the last delta, what answered, as the endpoint or the file names it.
        load_seconds: time spent loading the model before this call could start. TTFT leaves it out.
        progress: how much of the work before the first token is done, in [0, 1], first of a load and then of a prefill.
            A change shows that the tier is working.
        preparing: how far a load has come, for whoever looks at the stream.
        streams: `False` where the answer will come in one piece, so that nothing can be seen of it earlier.
    """

    text: str = field(default="", repr=False)
    index: int = 0
    tokens: tuple[Token, ...] = ()
    reasoning: str = field(default="", repr=False)
    constraint: Constraint | None = None
    notes: tuple[str, ...] = ()
    finish: Finish | None = None
    usage: Usage | None = None
    model: str | None = None
    load_seconds: float = 0.0
    progress: float | None = None
    preparing: Preparing | None = None
    streams: bool = True


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call would take: tokens, and money at most. Unknown is `None`.

        price = rung.Price(input=1.0, output=4.0)
        quote = rung.Quote(input_tokens=2000, max_tokens=500, max_cost=price.cost(2000, 500), price=price)
        quote.max_cost  # 0.004

    Args:
        input_tokens: length of the prompt, in tokens; an upper bound where the tokenizer is unknown.
        context: what prompt and answer may take together, in tokens.
        max_tokens: the cap on the answer that the bound assumes.
        max_cost: upper bound in US dollars. A quote whose bound is above 0 makes the tier a paid one.
        price: what the endpoint charges, from which the cost is worked out afterwards.
    """

    input_tokens: int | None = None
    context: int | None = None
    max_tokens: int | None = None
    max_cost: Decimal | None = None
    price: Price | None = None

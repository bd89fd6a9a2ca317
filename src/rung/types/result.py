"""What comes of a request: candidate, validation, verdict, attempt, outcome, and the events on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

from rung.errors import Cancelled, RungError
from rung.limits import Cancel, Deadline
from rung.types.call import Constraint, Finish, Issue, Quote, Shape, Token, Usage
from rung.types.reasons import IssueCode, Reason
from rung.types.request import Request
from rung.types.score import Score, Threshold
from rung.types.zone import Zone

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer as a tier gave it, not yet judged.

    Args:
        text: the whole answer.
        finish: why the answer ended; `None` where the tier didn't say.
        tokens: the answer's tokens, where the tier reports them.
        reasoning: thinking that isn't part of the answer.
        constraint: who enforced its shape.
        usage: tokens that the call used.
        model: what answered.
        score: how sure the model was of all value tokens; `None` where the tier reports no log-probabilities.
        fields: the score of each field, by JSON path.
    """

    text: str = field(repr=False)
    finish: Finish | None = None
    tokens: tuple[Token, ...] = field(default=(), repr=False)
    reasoning: str = field(default="", repr=False)
    constraint: Constraint = "none"
    usage: Usage = Usage()
    model: str | None = None
    score: Score | None = None
    fields: dict[str, Score] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether an answer is right, as far as the checks can tell.

    Args:
        value: the parsed answer, where it could be parsed.
        issues: what is wrong with it. A valid answer has none.
        checked_by: what vouches for the answer: `schema`, `type`, `check:NAME`.
        abandoned: validators that were still running at the deadline.
    """

    value: Any = field(default=None, repr=False)
    issues: tuple[Issue, ...] = ()
    checked_by: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether there are no issues."""
        return not self.issues


class Verdict(StrEnum):
    """What is done after an attempt."""

    ACCEPT = "accept"
    REPAIR = "repair"
    RETRY = "retry"
    ESCALATE = "escalate"
    FALLBACK = "fallback"
    SKIP = "skip"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, with everything that is known of it. A tier that was skipped is an attempt too, with the reason.

    Args:
        number: its number in the whole request, from 1.
        tier: the tier's name.
        zone: how far the prompt travelled, or would have travelled.
        verdict: what was done next.
        reason: why: a `Reason`, the code of the first issue, the name of the error, or the word of a rule of your own.
        detail: the reason as a sentence, where there is more to say.
        candidate: the answer; `None` where there was none.
        validation: what was found wrong.
        error: what the tier raised instead of answering.
        quote: what the call was expected to take.
        seconds: wall time of the attempt, model load included, waiting for consent left out.
        ttft: seconds to the first non-empty token, model load left out.
        load_seconds: time that loading the model took.
        usage: tokens; unknown is `None`.
        cost: US dollars. It is 0 for a tier on this machine without a price. Anything else that isn't reported is
            `None`.
        confidence: in [0, 1], uncalibrated; `None` where the tier gives no log-probabilities.
        threshold: how sure the tier had to be of a valid answer, and where that figure comes from; `None` where the
            tier didn't have to be sure.
        consent: who allowed the hop beyond the machine.
        sent: whether the prompt was handed to the tier.
        stays_here: whether what the tier was handed is known to stay on this machine; `None` for a loopback endpoint.
        destination: host and port that the prompt would go to, where the tier names them.
        prompt_bytes: bytes of the texts and pictures that were handed to the tier; `None` where nothing was.
        weights: sha256 of the weights that answered, in hexadecimal, where the tier can tell.
        conditions: sha256 of what its answers depend on beside the request: weights, repairs, feedback, its own
            settings; empty where it gave no answer.
        notes: sentences for the trace.
    """

    number: int
    tier: str
    zone: Zone
    verdict: Verdict | None = None
    reason: Reason | str = ""
    detail: str = field(default="", repr=False)
    candidate: Candidate | None = None
    validation: Validation | None = None
    error: RungError | None = field(default=None, repr=False)
    quote: Quote | None = None
    seconds: float = 0.0
    ttft: float | None = None
    load_seconds: float = 0.0
    usage: Usage = Usage()
    cost: Decimal | None = Decimal(0)
    confidence: float | None = None
    threshold: Threshold | None = None
    consent: str | None = None
    sent: bool = False
    stays_here: bool | None = True
    destination: str | None = None
    prompt_bytes: int | None = None
    weights: str | None = None
    conditions: str = field(default="", repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def text(self) -> str | None:
        """The answer's text; `None` where there was no answer."""
        return None if self.candidate is None else self.candidate.text

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What was wrong with the answer."""
        return () if self.validation is None else self.validation.issues

    @property
    def answered(self) -> bool:
        """Whether the tier gave an answer at all, right or wrong."""
        return self.candidate is not None

    @property
    def model(self) -> str | None:
        """What answered, as the endpoint or the file names it."""
        return None if self.candidate is None else self.candidate.model

    @property
    def finish(self) -> Finish | None:
        """Why the answer ended."""
        return None if self.candidate is None else self.candidate.finish

    @property
    def constraint(self) -> Constraint | None:
        """Who held the answer to its shape; `None` where nobody is known to."""
        return None if self.candidate is None else self.candidate.constraint

    @property
    def score(self) -> float | None:
        """How sure the tier was, weighed as its threshold does; `None` without a threshold, or where it isn't known."""
        if self.threshold is None or self.candidate is None or self.candidate.score is None:
            return None
        return self.threshold.weigh(self.candidate.score.features)

    @property
    def probability(self) -> float | None:
        """The calibrated probability that the answer is right; `None` where nobody measured it."""
        score = self.score
        return None if score is None or self.threshold is None else self.threshold.probability(score)

    @property
    def bound(self) -> Decimal | None:
        """The most that it could cost, in US dollars; `None` where nobody knows."""
        return None if self.quote is None else self.quote.max_cost

    @property
    def partial(self) -> bool:
        """Whether the answer was cut off, empty, a refusal, or text that repeats itself."""
        return any(issue.code in _PARTIAL for issue in self.issues)


_PARTIAL = (IssueCode.CUT_OFF, IssueCode.EMPTY, IssueCode.LOOPING, IssueCode.REFUSAL)
"""Codes of answers that aren't whole. A repair could learn nothing from them."""


@dataclass(frozen=True, slots=True, repr=False)
class Outcome(Generic[T]):
    """Everything that came of a request: its attempts, and what follows from them.

        outcome = ladder.run("Is water wet?", ["yes", "no"])
        outcome.tier  # small
        outcome.unwrap()  # yes

    Args:
        attempts: everything that was tried, in order.
        reason: why it ended.
        seconds: wall time of the whole request.
        notes: sentences about what went wrong apart from the answer, for example an observer that failed.
    """

    attempts: tuple[Attempt, ...] = field(default=(), repr=False)
    reason: Reason | str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        what = f"accepted={self.accepted}, tier={self.tier!r}, reason={str(self.reason)!r}"
        used = f"attempts={len(self.attempts)}, cost={self.cost}, seconds={self.seconds:.3f}"
        return f"Outcome({what}, checked_by={self.checked_by}, {used})"

    @property
    def accepted(self) -> bool:
        """Whether an answer was accepted."""
        return self._last is not None

    @property
    def value(self) -> T | None:
        """The accepted answer; `None` where there is none."""
        return None if self._last is None or self._last.validation is None else self._last.validation.value

    @property
    def text(self) -> str | None:
        """The accepted answer as the model wrote it."""
        return None if self._last is None else self._last.text

    @property
    def tier(self) -> str | None:
        """Which tier gave it."""
        return None if self._last is None else self._last.tier

    @property
    def checked_by(self) -> tuple[str, ...]:
        """What vouches for the answer: `schema`, `type`, `check:NAME`, `confidence`. A schema that the tier enforced
        vouches for the shape, not for the truth.
        """
        return () if self._last is None or self._last.validation is None else self._last.validation.checked_by

    @property
    def best(self) -> Candidate | None:
        """The best rejected candidate, where nothing was accepted. Valid ones come first, then whole ones, then those
        with the fewest issues, then the latest.
        """
        answered = [a for a in self.attempts if a.answered]
        if not answered or self.accepted:
            return None
        return min(reversed(answered), key=lambda a: (a.partial, len(a.issues))).candidate

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts that reached a tier; unknown is `None`."""
        return sum((a.usage for a in self.attempts if a.sent), Usage(0, 0))

    @property
    def cost(self) -> Decimal | None:
        """US dollars of all attempts; unknown is `None`."""
        costs = [a.cost for a in self.attempts if a.sent]
        return None if None in costs else sum((c for c in costs if c is not None), Decimal(0))

    @property
    def left_machine(self) -> bool | None:
        """Whether the prompt left this machine; `None` where a loopback endpoint got it and nobody vouches for that
        one.
        """
        sent = [a for a in self.attempts if a.sent]
        if any(a.zone > Zone.HOST for a in sent):
            return True
        return None if any(a.stays_here is None for a in sent) else False

    @property
    def hint(self) -> str:
        """The command or setting that would remove what stood in the way, where one is known."""
        hints = [a.error.hint for a in self.attempts if a.error is not None and a.error.hint]
        return "" if self.accepted or not hints else hints[0]

    @property
    def _last(self) -> Attempt | None:
        """The attempt whose answer was accepted. It is always the last one."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.verdict is Verdict.ACCEPT else None

    def unwrap(self) -> T:
        """The accepted answer.

        Raises:
            Cancelled: the caller cancelled.
            Unresolved: nothing was accepted, for any other reason.
        """
        if self.reason == Reason.CANCELLED:
            raise Cancelled("the caller cancelled")
        if not self.accepted:
            raise Unresolved(self)
        return self.value  # type: ignore[return-value]  # an accepted value is a T, and T may itself be None

    def explain(self) -> str:
        """Why there is no answer, in one line. It holds no word of the prompt or of any answer."""
        tried = ", ".join(f"{a.tier}: {a.reason}" for a in self.attempts)
        return f"no answer was accepted ({self.reason or 'no tier'}){': ' if tried else ''}{tried}"


class Unresolved(RungError):
    """No tier gave an answer that passed validation.

    Args:
        outcome: everything that was tried, with the best rejected candidate.
    """

    def __init__(self, outcome: Outcome[Any]) -> None:
        super().__init__(outcome.explain(), hint=outcome.hint)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a validator may want to know besides the value.

    Args:
        request: what was asked.
        tier: the name of the tier that answered.
        text: the answer as the model wrote it.
        attempts: what was tried before.
        context: the caller's own object, given as `context=`.
        deadline: when the validator must have its verdict.
        cancel: set once nobody waits for the verdict any more.
        shape: what decoding could enforce of the contract; `None` for free text.
    """

    request: Request
    tier: str
    text: str = field(repr=False)
    attempts: tuple[Attempt, ...] = field(default=(), repr=False)
    context: Any = field(default=None, repr=False)
    deadline: Deadline = Deadline()
    cancel: Cancel = field(default_factory=Cancel, repr=False)
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """What somebody is asked to consent to.

    Args:
        tier: who would be asked.
        zone: how far the prompt would travel.
        destination: host and port, where the tier names one.
        max_cost: upper bound in US dollars; `None` where the tier has no price.
        characters: length of everything that would be sent.
        sends_answer: whether a rejected local answer is sent along.
        reasons: why the answers of the tiers before it didn't do.
        redacted: whether private values were masked, as far as the redactor knows them.
        shadow: whether the answer would only be compared with one that was given already. Nobody is there then who
            could be asked.
    """

    tier: str
    zone: Zone
    destination: str | None
    max_cost: Decimal | None
    characters: int
    sends_answer: bool
    reasons: tuple[str, ...]
    redacted: bool = False
    shadow: bool = False

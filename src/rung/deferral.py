"""What comes next? Rules turn the attempts so far into a verdict. Each row of the deferral table is one rule.

Whether an answer is right is decided by the contract. Which tiers may follow (reach, consent, budget) is decided by the
gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rung.errors import Cancelled, RungError, TierStalled
from rung.types import Attempt, Candidate, Issue, IssueCode, Reason, Threshold, Verdict

__all__ = [
    "STANDARD",
    "Decision",
    "Rule",
    "Situation",
    "cancelled",
    "cut_off",
    "failed",
    "first_of",
    "low_confidence",
    "no_answer",
    "repair_or_escalate",
    "same_issues",
    "stalled",
    "standard",
    "valid",
]


@dataclass(frozen=True, slots=True)
class Situation:
    """What a rule may look at: the attempt that just ended, and those before it.

    Args:
        tier: name of the tier that was asked.
        candidate: the answer; `None` if there was none.
        issues: what is wrong with it.
        error: what the tier raised instead of answering.
        confidence: how sure the model was, in [0, 1], uncalibrated; `None` if the tier gives no log-probabilities.
        earlier: all earlier attempts, in order.
        repairs: number of repairs that this tier is allowed.
        threshold: how sure the tier has to be; `None` if it doesn't have to be.
        score: score of the answer, weighed as the threshold does; `None` if one of its features isn't known.
        larger_cap: larger cap on the answer, in tokens, that context and budget would allow a retry; `None` if they
            allow none.
    """

    tier: str
    candidate: Candidate | None = None
    issues: tuple[Issue, ...] = ()
    error: RungError | None = None
    confidence: float | None = None
    earlier: tuple[Attempt, ...] = ()
    repairs: int = 1
    threshold: Threshold | None = None
    score: float | None = None
    larger_cap: int | None = None

    @property
    def on_this_tier(self) -> tuple[Attempt, ...]:
        """The earlier attempts of the same tier that reached the tier, in order."""
        return tuple(a for a in self.earlier if a.tier == self.tier and a.sent)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why, in a word.

        def code_goes_up(situation):
            if any(issue.code == "check:runs" for issue in situation.issues):
                return Decision(rung.Verdict.ESCALATE, "broken_code")

    Args:
        verdict: what to do.
        reason: why, as in `Attempt.reason`. A rule of your own may give any string.
        max_tokens: for a retry, the larger cap.
    """

    verdict: Verdict
    reason: Reason | str
    max_tokens: int | None = None


Rule = Callable[[Situation], Decision | None]
"""Decides, or returns `None` to leave the decision to the next rule."""


def cancelled(s: Situation) -> Decision | None:
    """The caller cancelled: stop at once."""
    return Decision(Verdict.STOP, Reason.CANCELLED) if isinstance(s.error, Cancelled) else None


def stalled(s: Situation) -> Decision | None:
    """The tier was given up so that another one can still answer: fall back."""
    return Decision(Verdict.FALLBACK, Reason.STALLED) if isinstance(s.error, TierStalled) else None


def failed(s: Situation) -> Decision | None:
    """The tier gave no answer: fall back."""
    return None if s.error is None else Decision(Verdict.FALLBACK, type(s.error).__name__)


def no_answer(s: Situation) -> Decision | None:
    """The answer is a refusal (as the endpoint reports it), empty, or text that repeats itself: escalate."""
    if s.candidate is not None and s.candidate.finish == "refusal":
        return Decision(Verdict.ESCALATE, Reason.REFUSAL)
    for code, reason in ((IssueCode.EMPTY, Reason.EMPTY), (IssueCode.LOOPING, Reason.LOOPING)):
        if _has(s, code):
            return Decision(Verdict.ESCALATE, reason)
    return None


def cut_off(s: Situation) -> Decision | None:
    """The answer hit its cap: try once more with a larger one if there is room, otherwise escalate."""
    if not _has(s, IssueCode.CUT_OFF):
        return None
    again = any(_has(a, IssueCode.CUT_OFF) for a in s.on_this_tier)
    if s.larger_cap is not None and not again:
        return Decision(Verdict.RETRY, Reason.CUT_OFF, s.larger_cap)
    return Decision(Verdict.ESCALATE, Reason.CUT_OFF)


def low_confidence(s: Situation) -> Decision | None:
    """The answer is valid, but the model wasn't sure enough: escalate."""
    if s.threshold is None or s.issues or s.threshold.accepts(s.score):
        return None
    return Decision(Verdict.ESCALATE, Reason.LOW_CONFIDENCE)


def valid(s: Situation) -> Decision | None:
    """Nothing is wrong: accept."""
    return None if s.issues else Decision(Verdict.ACCEPT, Reason.VALID)


def same_issues(s: Situation) -> Decision | None:
    """The repair made the same mistakes: escalate, even if repairs are left."""
    before = s.on_this_tier[-1:]
    if before and before[0].issues and set(before[0].issues) == set(s.issues):
        return Decision(Verdict.ESCALATE, Reason.SAME_ISSUES)
    return None


def repair_or_escalate(s: Situation) -> Decision | None:
    """Something is wrong: repair while repairs are left, then escalate."""
    checks = any(issue.code.startswith("check:") for issue in s.issues)
    reason = Reason.CHECK if checks else s.issues[0].code
    used = sum(a.verdict is Verdict.REPAIR for a in s.on_this_tier)
    return Decision(Verdict.REPAIR if used < s.repairs else Verdict.ESCALATE, reason)


STANDARD: tuple[Rule, ...] = (
    cancelled,
    stalled,
    failed,
    no_answer,
    cut_off,
    low_confidence,
    valid,
    same_issues,
    repair_or_escalate,
)


def first_of(*rules: Rule) -> Rule:
    """One rule that asks several rules in turn, until one decides.

        def gives_up(situation):
            return Decision(rung.Verdict.STOP, "broken") if situation.error else None

        ladder = rung.Ladder(rung.llama("smollm2-135m"), rule=first_of(gives_up, standard))

    It returns `None` if none of them decides.
    """

    def ask(s: Situation) -> Decision | None:
        for rule in rules:
            decision = rule(s)
            if decision is not None:
                return decision
        return None

    return ask


WHOLE = first_of(*(rule for rule in STANDARD if rule is not low_confidence))
"""The table without thresholds: by itself a tier has nobody to send an answer up to that it isn't sure of."""

standard = first_of(*STANDARD)
"""The deferral table of the design."""


def _has(what: Situation | Attempt, code: IssueCode) -> bool:
    return any(issue.code == code for issue in what.issues)

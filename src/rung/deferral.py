"""What next? Rules from the attempts so far to a verdict; each row of the deferral table is one of them.

Whether an answer is right is the contract's business. Which tiers may follow (reach, consent, budget) is the gate's.
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
        tier: who was asked.
        candidate: the answer; `None` where there was none.
        issues: what is wrong with it.
        error: what the tier raised instead of answering.
        confidence: in [0, 1], uncalibrated; `None` where the tier gives no log-probabilities.
        earlier: all attempts before, first to last.
        repairs: how many this tier is allowed.
        threshold: how sure the tier has to be; `None` asks for nothing.
        score: of the answer, as the threshold weighs it; `None` where a feature that it takes isn't known.
        larger_cap: a cap on the answer, in tokens, that context and budget would allow on a retry; `None` if none.
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
        """The attempts before on the same tier that got as far as the tier, first to last."""
        return tuple(a for a in self.earlier if a.tier == self.tier and a.sent)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why in a word.

    Args:
        verdict: what to do.
        reason: why, as in `Attempt.reason`; a rule of your own may give any string.
        max_tokens: for a retry, the larger cap.
    """

    verdict: Verdict
    reason: Reason | str
    max_tokens: int | None = None


Rule = Callable[[Situation], Decision | None]
"""Decides, or leaves it to the next rule with `None`."""


def cancelled(s: Situation) -> Decision | None:
    """The caller cancelled: stop at once."""
    return Decision(Verdict.STOP, Reason.CANCELLED) if isinstance(s.error, Cancelled) else None


def stalled(s: Situation) -> Decision | None:
    """The tier was given up, so that another one still can answer: fall back."""
    return Decision(Verdict.FALLBACK, Reason.STALLED) if isinstance(s.error, TierStalled) else None


def failed(s: Situation) -> Decision | None:
    """The tier gave no answer: fall back."""
    return None if s.error is None else Decision(Verdict.FALLBACK, type(s.error).__name__)


def no_answer(s: Situation) -> Decision | None:
    """A refusal, as the endpoint reports it, an empty answer, or one that goes round in circles: escalate."""
    if s.candidate is not None and s.candidate.finish == "refusal":
        return Decision(Verdict.ESCALATE, Reason.REFUSAL)
    for code, reason in ((IssueCode.EMPTY, Reason.EMPTY), (IssueCode.LOOPING, Reason.LOOPING)):
        if _has(s, code):
            return Decision(Verdict.ESCALATE, reason)
    return None


def cut_off(s: Situation) -> Decision | None:
    """The answer hit its cap: once more with a larger one if there is room, then escalate."""
    if not _has(s, IssueCode.CUT_OFF):
        return None
    again = any(_has(a, IssueCode.CUT_OFF) for a in s.on_this_tier)
    if s.larger_cap is not None and not again:
        return Decision(Verdict.RETRY, Reason.CUT_OFF, s.larger_cap)
    return Decision(Verdict.ESCALATE, Reason.CUT_OFF)


def low_confidence(s: Situation) -> Decision | None:
    """Valid, but the model wasn't sure enough: escalate."""
    if s.threshold is None or s.issues or s.threshold.accepts(s.score):
        return None
    return Decision(Verdict.ESCALATE, Reason.LOW_CONFIDENCE)


def valid(s: Situation) -> Decision | None:
    """Nothing is wrong: accept."""
    return None if s.issues else Decision(Verdict.ACCEPT, Reason.VALID)


def same_issues(s: Situation) -> Decision | None:
    """The repair made the same mistakes: escalate, whatever repairs are left."""
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
    """One rule that asks several in turn."""

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

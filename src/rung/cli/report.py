"""The result of a request, for a person or for a program."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic_core import to_jsonable_python

from rung import guard
from rung.cli.codes import Exit
from rung.errors import Offline, PromptTooLong, StoreError, TierUnavailable
from rung.types import Attempt, Outcome, Usage, Verdict, Zone
from rung.visible import line

_ABSENT = (TierUnavailable, StoreError, Offline)
_LONGEST_SAID = 200
"""Characters of an issue that are shown in place of a draft: what is wrong, but not all that it quotes."""


def as_json(outcome: Outcome[Any]) -> dict[str, Any]:
    """The object of `--json`."""
    return {
        "status": "accepted" if outcome.accepted else "unresolved",
        "value": to_jsonable_python(outcome.value),
        "text": outcome.text,
        "tier": outcome.tier,
        "checked_by": list(outcome.checked_by),
        "left_machine": outcome.left_machine,
        "cost_usd": _number(outcome.cost),
        "usage": _usage(outcome.usage),
        "seconds": round(outcome.seconds, 3),
        "reason": outcome.reason,
        "attempts": [_attempt(a) for a in outcome.attempts],
    }


def _attempt(a: Attempt) -> dict[str, Any]:
    return {
        "number": a.number,
        "tier": a.tier,
        "model": a.model,
        "zone": str(a.zone),
        "verdict": None if a.verdict is None else str(a.verdict),
        "reason": a.reason,
        "issues": [{"path": i.path, "message": i.message, "code": i.code} for i in a.issues],
        "text": a.text,
        "finish": a.finish,
        "constraint": a.constraint,
        "seconds": round(a.seconds, 3),
        "ttft": None if a.ttft is None else round(a.ttft, 3),
        "usage": _usage(a.usage),
        "cost_usd": _number(a.cost),
        "confidence": a.confidence,
        "score": a.score,
        "probability": a.probability,
        "threshold": None if a.threshold is None else {"above": a.threshold.above, "origin": a.threshold.origin},
        "consent": a.consent,
    }


def _usage(usage: Usage) -> dict[str, int | None]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _number(amount: Decimal | None) -> float | int | None:
    if amount is None:
        return None
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def advice(outcome: Outcome[Any]) -> str | None:
    """A hint for an answer that was checked only for its shape, or not at all; `None` for any other."""
    last = outcome.attempts[-1]
    enforced = last.candidate is not None and last.candidate.constraint != "none"
    if not outcome.checked_by:
        what = "nothing checked what this text says"
    elif set(outcome.checked_by) == {"schema"} and enforced:
        what = "only the shape of this answer was checked, which the tier enforces anyway"
    else:
        return None
    field = "--quoted FIELD or " if isinstance(to_jsonable_python(outcome.value), dict) else ""
    return f"hint: {what}; {field}--check CMD would send a wrong answer up"


def exit_code(outcome: Outcome[Any]) -> int:
    """4 if no attempt could start because every permitted tier is unavailable, otherwise 3."""
    refused = (Verdict.SKIP, Verdict.STOP)
    tried = [a for a in outcome.attempts if a.error is not None or a.verdict not in refused or a.answered]
    absent = tried and all(isinstance(a.error, _ABSENT) for a in tried)
    return Exit.UNAVAILABLE if absent else Exit.UNRESOLVED


def withdrawn(attempt: Attempt) -> str:
    """Why a draft that a person saw is gone, in one sentence. It may quote the draft, which they have just read."""
    if attempt.error is not None:
        return f"{attempt.tier}'s draft was withdrawn: {attempt.error.message}"
    if attempt.issues:
        first, *more = map(str, attempt.issues)
        said = first if len(first) <= _LONGEST_SAID else f"{first[: _LONGEST_SAID - 1]}…"
        return f"{attempt.tier}'s draft was rejected: {said}{f' (and {len(more)} more)' if more else ''}"
    return f"{attempt.tier}'s draft was not accepted: {_detail(attempt)}"


def unresolved(outcome: Outcome[Any], *, trace: bool, continued: bool) -> str:
    """Why no answer was accepted, tier by tier, and how to change that.

    Args:
        outcome: without an accepted answer.
        trace: whether the trace, with every issue, was already shown.
        continued: whether earlier turns were sent, too.
    """
    lines = ["rung: no answer was accepted"]
    lines += [line(f"  {a.tier}: {_why(a)}") for a in outcome.attempts]
    if outcome.reason == "deadline":
        lines.append("  the time was up; give more with --max-seconds")
    if continued and any(isinstance(a.error, PromptTooLong) for a in outcome.attempts):
        lines.append("  all earlier turns were sent, too; ask without --continue, and repeat what matters of them")
    if outcome.best is not None:
        also = "" if trace else ", --trace shows what was wrong with them"
        lines.append(f"  --json shows the rejected answers{also}")
    return "\n".join(lines)


def _why(a: Attempt) -> str:
    """The reason in words, without a word of the answer, which an issue's message may quote."""
    if a.error is not None:
        return f"{a.error.message}; {a.error.hint}" if a.error.hint else a.error.message
    if a.issues:
        codes = [(i.code.partition("(")[0], i.path) for i in a.issues]
        where = dict.fromkeys(f"{code} at {path}" if path else code for code, path in codes)
        return f"rejected ({', '.join(where)}), {_next(a)}"
    switches = " and ".join(guard.switches())
    hint = {
        "beyond_reach": f"; {switches} forbids more" if switches else f"; --reach {a.zone} allows it",
        "consent_refused": f'; --reach {a.zone} allows it, or consent = "always" in the tier\'s table',
        "over_budget": "; a higher --max-cost, or another budget in the configuration, allows it",
        "local_unavailable": '; paid_after = "any_failure" in the configuration allows it',
        "low_confidence": _below(a),
    }
    if a.reason == "over_budget" and a.zone > Zone.HOST and a.bound is None:
        hint["over_budget"] = "; price in the tier's table tells it"
    return f"{_detail(a)}{hint.get(a.reason, '')}"


def _detail(a: Attempt) -> str:
    return a.detail or {"low_confidence": "the model wasn't sure enough"}.get(a.reason, a.reason)


def _below(a: Attempt) -> str:
    """How an answer below the threshold could be accepted, as a clause."""
    if a.threshold is None or a.threshold.origin == "min_confidence":
        return "; a lower min_confidence accepts it"
    origin = f" ({a.threshold.origin})" if a.threshold.origin else ""
    return f"{origin}; min_confidence = 0 turns that off" if a.threshold.soft else origin


def _next(a: Attempt) -> str:
    after = {
        Verdict.REPAIR: "sent back for repair",
        Verdict.RETRY: "tried again with more room",
        Verdict.ESCALATE: "sent up",
    }
    return after.get(a.verdict, "nothing left to try") if a.verdict else ""

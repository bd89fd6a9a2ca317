"""The conformance suite: what the engine relies on in every tier."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from rung.errors import Cancelled, TierTimeout, TierUnavailable
from rung.limits import Cancel, Deadline
from rung.tier import Quotes, Rung, Tier
from rung.types import Call, Constraint, Delta, Finish, Message, Quote, Shape, Zone

_GRACE = 2.0
"""Seconds within which a tier has to stop: ten times what it may take, so that a busy machine fails no good tier."""


def check_tier(make: Callable[[], Tier], *, prompt: str = "Count from one to twenty in words.") -> None:
    """Hold a tier to the protocol.

        check_tier(lambda: rung.llama("smollm2-135m"))

    Args:
        make: makes a fresh tier, and is called a few times. Each tier must be able to answer `prompt`.
        prompt: what it is asked. A longer answer tests more.

    Raises:
        AssertionError: the tier breaks a rule. The message states the rule.
    """
    call = Call((Message("user", prompt),), max_tokens=64)
    tier = make()
    try:
        assert isinstance(tier.name, str), "a tier has a name, which is text"
        assert tier.name, "a tier's name isn't empty"
        assert isinstance(tier.zone, Zone), "a tier has a zone, which is a rung.Zone"
        _answers(tier, call)
        _keeps_shape(tier, call)
        quotes = Rung(tier).quotes
        if quotes is not None:
            _quotes(quotes, call)
        _stops(tier, call)
        _survives_abandonment(tier, call)
        _serves_two(tier, call)
        assert prompt not in repr(tier), "a tier's repr holds no prompt"
    finally:
        tier.close()
    tier.close()
    try:
        _drain(tier, call)
    except TierUnavailable:
        pass  # either is right: to start again, or to say that it's closed
    finally:
        tier.close()


def _drain(tier: Tier, call: Call) -> list[Delta]:
    deltas = list(tier.stream(call))
    assert all(isinstance(d, Delta) for d in deltas), "a stream yields rung.Delta and nothing else"
    return deltas


def _answers(tier: Tier, call: Call) -> None:
    deltas = _drain(tier, call)
    text = "".join(d.text for d in deltas)
    assert text.strip(), "a tier answers a plain prompt with some text"
    assert all(d.index == 0 for d in deltas), "a call for one candidate gets one, with index 0"
    finishes = [d.finish for d in deltas if d.finish is not None]
    assert len(finishes) <= 1, "a candidate finishes once"
    assert all(f in get_args(Finish) for f in finishes), f"finish is one of {get_args(Finish)}"
    tokens = [t for d in deltas for t in d.tokens]
    if tokens:
        assert "".join(t.text for t in tokens) == text, "the texts of the tokens join to the answer"
        assert all(t.logprob is None or t.logprob <= 1e-6 for t in tokens), "a log-probability is at most 0"
    for usage in (d.usage for d in deltas if d.usage is not None):
        counts = (usage.input_tokens, usage.output_tokens)
        assert all(c is None or c >= 0 for c in counts), "usage counts tokens, or is None where nobody counted"


def _keeps_shape(tier: Tier, call: Call) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    question = Message("user", 'Is water wet? Answer as JSON: {"answer": "yes"} or {"answer": "no"}.')
    deltas = _drain(tier, replace(call, messages=(question,), shape=Shape("json", schema)))
    said = [d.constraint for d in deltas if d.constraint is not None]
    assert all(c in get_args(Constraint) for c in said), f"constraint is one of {get_args(Constraint)}"
    if "enforced" in said:
        value = json.loads("".join(d.text for d in deltas))
        assert value in ({"answer": "yes"}, {"answer": "no"}), "a tier that says `enforced` keeps to the schema"


def _quotes(tier: Quotes, call: Call) -> None:
    quote = tier.quote(call)
    assert isinstance(quote, Quote), "a quote is a rung.Quote"
    for count in (quote.input_tokens, quote.context, quote.max_tokens):
        assert count is None or count > 0, "a quote counts tokens, or says None"
    if quote.max_cost is not None:
        assert quote.max_cost.is_finite(), "a bound in money is a finite Decimal"
        assert quote.max_cost >= 0, "a bound in money is 0 or more"


def _stops(tier: Tier, call: Call) -> None:
    """Cancel and deadline, before the first delta and after it. A tier may also simply finish in time."""
    cancel = Cancel()
    cancel.set()
    _ends_soon(tier, replace(call, cancel=cancel), "a call that is cancelled already ends at once", Cancelled)
    passed = replace(call, deadline=Deadline.after(0))
    _ends_soon(tier, passed, "a call whose deadline has passed ends at once", TierTimeout)
    later = Cancel()
    began = 0.0
    try:
        for _ in tier.stream(replace(call, cancel=later)):
            if not later.is_set():
                later.set()
                began = time.monotonic()
    except Cancelled:
        pass
    assert time.monotonic() - began < _GRACE, "a cancelled stream ends at once"


def _ends_soon(tier: Tier, call: Call, rule: str, how: type[Exception]) -> None:
    began = time.monotonic()
    try:
        _drain(tier, call)
    except how:
        pass
    assert time.monotonic() - began < _GRACE, rule


def _survives_abandonment(tier: Tier, call: Call) -> None:
    stream = tier.stream(call)
    next(stream, None)
    close = getattr(stream, "close", None)
    if close is not None:
        close()
    assert "".join(d.text for d in _drain(tier, call)).strip(), "a tier answers after a stream was abandoned"


def _serves_two(tier: Tier, call: Call) -> None:
    texts: list[str] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            texts.append("".join(d.text for d in tier.stream(call)))
        except BaseException as error:  # noqa: BLE001  reported on the checking thread
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, f"a tier serves two threads at once, and this one raised {errors[0]!r}"
    assert all(text.strip() for text in texts), "a tier serves two threads at once"

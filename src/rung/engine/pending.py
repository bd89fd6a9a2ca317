"""One attempt under way: what was admitted, what came, what was decided. Its `Attempt` is built once, at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

from rung import money, thoughts
from rung.contract import Contract, is_too_long
from rung.deferral import Decision, Situation
from rung.engine import gate
from rung.engine.forming import Formed
from rung.engine.gate import Offer
from rung.engine.record import Record, used
from rung.engine.standing import Learnt
from rung.errors import RungError
from rung.limits import Budget
from rung.tier import Rung
from rung.types import Attempt, Candidate, Constraint, Delta, Finish, Request, Threshold, Token, Usage, Validation, Zone


class Collected:
    """The first candidate of a stream, as far as it has come.

    Args:
        contract: what the answer must be.
        request: what was asked.

    `is_over` tells whether the rest isn't worth waiting for: the answer repeats itself, or is longer than rung reads.
    """

    def __init__(self, contract: Contract[Any], request: Request) -> None:
        self.notes: tuple[str, ...] = contract.notes
        self.is_over = False
        self._contract = contract
        self._prompt = request.source
        self._progress = contract.progress(text_checks=request.text_checks)
        self._thought = 0
        self._usage = Usage()
        self.ttft: float | None = None
        self.load_seconds = 0.0
        self._began = time.monotonic()
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._tokens: list[Token] = []
        self._finish: Finish | None = None
        self._constraint: Constraint = "none"
        self._model: str | None = None

    @property
    def usage(self) -> Usage:
        """The tokens that the tier reported, as far as the counts can be right."""
        return self._usage.credible(answered=bool(self._texts or self._reasoning))

    def add(self, delta: Delta) -> None:
        """Take in the next piece."""
        self.notes += delta.notes
        self._usage = delta.usage or self._usage
        self.load_seconds += delta.load_seconds
        self._constraint = delta.constraint or self._constraint
        self._model = delta.model or self._model
        if delta.index:
            return
        self._finish = delta.finish or self._finish
        self._tokens += delta.tokens
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
            self._thought += len(delta.reasoning)
            self.is_over |= is_too_long(self._thought)
        if delta.text:
            self._texts.append(delta.text)
            self.is_over |= self._progress.add(delta.text)
            if self.ttft is None:
                self.ttft = time.monotonic() - self._began - self.load_seconds

    def candidate(self, restore: Callable[[str], str] | None) -> Candidate:
        """The candidate.

        Args:
            restore: puts the real values back into the answer to a masked prompt.
        """
        text = "".join(self._texts)
        reasoning = "".join(self._reasoning)
        tokens = tuple(self._tokens)
        if thought := thoughts.unopened(text, self._prompt):
            reasoning, text = reasoning + text[:thought], text[thought:]
            tokens = thoughts.behind(tokens, thought)
        score, fields = self._contract.score(text, tokens) if tokens else (None, {})
        return Candidate(
            text=restore(text) if restore else text,
            finish=self._finish,
            tokens=tokens,
            reasoning=restore(reasoning) if restore else reasoning,
            constraint=self._constraint,
            usage=self.usage,
            model=self._model,
            score=score,
            fields=fields,
        )


class PendingAttempt:
    """An attempt on one tier, from before the gate to its verdict.

    Args:
        number: from 1, over the whole request.
        rung: the tier with its settings.
        formed: in which form the tier is asked.

    `offer` is what was put to the gate. `collected` is what came once the tier was called, and `error` what ended the
    attempt early. `learnt` is what the request's task says of the answer, `conditions` a hash of those that it was
    given under, `threshold` how sure the tier has to be of a valid one, and `note` what else the trace should say.
    """

    def __init__(self, number: int, rung: Rung, formed: Formed) -> None:
        self.number = number
        self.rung = rung
        self.formed = formed
        self.offer: Offer | None = None
        self.collected: Collected | None = None
        self.error: RungError | None = None
        self.candidate: Candidate | None = None
        self.validation: Validation | None = None
        self.learnt = Learnt()
        self.conditions = ""
        self.threshold: Threshold | None = None
        self.detail = ""
        self.note = ""
        self._cost: Decimal | None = Decimal(0)
        self._began = time.monotonic()
        self._seconds = 0.0

    @property
    def confidence(self) -> float | None:
        """How sure the model was, in [0, 1], uncalibrated; `None` where the tier gives no log-probabilities."""
        score = self.candidate.score if self.candidate else None
        return None if score is None else math.exp(score.minimum)

    @property
    def score(self) -> float | None:
        """How sure the tier was, weighed as the threshold does; `None` where that isn't known."""
        score = self.candidate.score if self.candidate else None
        return None if score is None or self.threshold is None else self.threshold.weigh(score.features)

    @property
    def usage(self) -> Usage:
        """Tokens of the call, as far as they are known."""
        return self.collected.usage if self.collected else Usage()

    def settle(self) -> None:
        """Work out what the call cost, and close its reservation."""
        if self.offer is None:
            return
        self._cost = money.cost(self.offer.quote, self.rung.tier.zone, self.usage, self.error)
        money.settle(self.offer.reservation, self._cost, failed=self.error is not None)

    def stop_clock(self) -> None:
        """The attempt is over, except for its verdict. Its seconds leave out the wait for consent."""
        self._seconds = time.monotonic() - self._began - (self.offer.waited if self.offer else 0.0)

    def vouch(self) -> None:
        """The answer is accepted. If its score reached a threshold, that vouches for the answer too."""
        reached = self.threshold is not None and self.score is not None and self.threshold.accepts(self.score)
        if reached and self.validation is not None:
            self.validation = replace(self.validation, checked_by=(*self.validation.checked_by, "confidence"))

    def situation(self, record: Record, budget: Budget) -> Situation:
        """What a rule may look at."""
        return Situation(
            tier=self.rung.tier.name,
            candidate=self.candidate,
            issues=self.validation.issues if self.validation else (),
            error=self.error,
            confidence=self.confidence,
            earlier=tuple(record.attempts),
            repairs=self._repairs,
            threshold=self.threshold,
            score=self.score,
            larger_cap=self._larger_cap(record, budget),
        )

    def attempt(self, decision: Decision) -> Attempt:
        """The attempt, whole.

        Args:
            decision: what is done next, and why.
        """
        offer, came, travels = self.offer, self.collected, self.rung.travels
        sent = came is not None and (self.error is None or self.error.sent)
        return Attempt(
            number=self.number,
            tier=self.rung.tier.name,
            zone=self.rung.tier.zone,
            verdict=decision.verdict,
            reason=decision.reason,
            detail=str(self.error) if self.error else self.detail,
            candidate=self.candidate,
            validation=self.validation,
            error=self.error,
            quote=offer.quote if offer else None,
            seconds=self._seconds,
            ttft=came.ttft if came else None,
            load_seconds=came.load_seconds if came else 0.0,
            usage=self.usage,
            cost=self._cost,
            confidence=self.confidence,
            threshold=self.threshold,
            consent=offer.consent if offer and sent else None,
            sent=sent,
            stays_here=travels.stays_here if travels else self.rung.tier.zone == Zone.HOST,
            destination=travels.destination if travels else None,
            prompt_bytes=sum(m.size for m in offer.call.messages) if offer and sent else None,
            weights=self.rung.pinned.weights if self.rung.pinned and sent else None,
            conditions=self.conditions,
            notes=self._notes(offer, came) if offer and came else (),
        )

    def _notes(self, offer: Offer, came: Collected) -> tuple[str, ...]:
        own = (self.note,) if self.note else ()
        return (
            *offer.notes,
            *self.formed.notes,
            *came.notes,
            *money.doubt(offer.quote, self._cost),
            *self.learnt.notes,
            *own,
        )

    @property
    def _repairs(self) -> int:
        """How often this tier may repair. Where a repair costs money, only as often as somebody said."""
        paid = self.rung.repairs is None and self.offer is not None and self.offer.bound
        return 0 if paid else self.rung.most_repairs

    def _larger_cap(self, record: Record, budget: Budget) -> int | None:
        """A larger cap for a retry, in tokens: four times the last, as far as context and token budget allow; `None` if
        they don't. Whether there is enough money shows when the retry is quoted.
        """
        if self.offer is None or self.collected is None:
            return None
        quote = self.offer.quote
        if quote is None and self.candidate is not None and self.candidate.finish == "length":
            # only now does a quote of this tier decide something: how much room the context has
            with suppress(RungError):
                quote = gate.quote(self.rung, self.offer.call)
        cap = self.offer.call.max_tokens or (quote.max_tokens if quote else None)
        if cap is None:
            return None
        limits = [cap * 4]
        if quote is not None and quote.context is not None and quote.input_tokens is not None:
            limits.append(quote.context - quote.input_tokens)
        left = record.tokens_left(budget)
        if left is not None:
            limits.append(left - used(quote, self.usage) - self.offer.input_tokens)
        return min(limits) if min(limits) > cap else None

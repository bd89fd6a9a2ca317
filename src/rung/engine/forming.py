"""The form in which a tier is asked: what was learnt for the request's task, where it may be used at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rung.contract import Contract
from rung.engine.plan import Plan
from rung.tier import Rung
from rung.types import Example, FormInForce, Message, Zone

LONGEST_EXAMPLES = 2_000
"""Bytes of all examples of one prompt together, some 500 tokens of English: what a small model reads in two seconds,
and a quarter of the smallest context that a tier has by default. Of examples that don't fit, the least similar are left
out."""


@dataclass(frozen=True, slots=True)
class Formed:
    """How one tier is asked.

    Args:
        contract: in the tier's form.
        examples: turns that come before the prompt.
        sha256: of the form; empty for rung's own.
        notes: sentences for the trace.
    """

    contract: Contract[Any]
    examples: tuple[Message, ...] = field(default=(), repr=False)
    sha256: str = ""
    notes: tuple[str, ...] = ()


def form_in_force(plan: Plan, rung: Rung) -> FormInForce | None:
    """What was learnt of the form for a tier; `None` for rung's own.

    A form may hold examples, which are other people's prompts as much as the person's own. So it is used only where the
    tier is known to keep a prompt on this machine.

    Args:
        plan: the run.
        rung: who is asked.
    """
    if plan.task is None or not keeps_here(rung):
        return None
    return plan.task.form(rung.tier.name, plan.prompt, plan.contract.sha256)


def keeps_here(rung: Rung) -> bool:
    """Whether a tier is known to keep what it is handed on this machine. A loopback server that nobody vouches for may
    pass it on.
    """
    return rung.tier.zone <= Zone.HOST and (rung.travels is None or rung.travels.stays_here is True)


def formed(plan: Plan, rung: Rung) -> Formed:
    """How a tier is asked in this run.

    Args:
        plan: the run.
        rung: who is asked.
    """
    found = form_in_force(plan, rung)
    if found is None:
        return Formed(plan.contract)
    contract = plan.contract.under(found.form)
    return Formed(contract, _turns(plan, found, contract), found.sha256, found.notes)


def _turns(plan: Plan, found: FormInForce, contract: Contract[Any]) -> tuple[Message, ...]:
    """The examples as turns. A conversation of several turns gets none: they would stand between its own."""
    turns = [message for message in plan.request.messages if message.role != "system"]
    if found.form.examples == "none" or len(turns) != 1:
        return ()
    kept: list[tuple[Message, Message]] = []
    size = 0
    for example in reversed(found.pick(turns[0].text)):
        pair = _pair(example, contract)
        size += sum(message.size for message in pair)
        if size > LONGEST_EXAMPLES:
            break
        kept.append(pair)
    return tuple(message for pair in reversed(kept) for message in pair)


def _pair(example: Example, contract: Contract[Any]) -> tuple[Message, Message]:
    return Message("user", example.asked), Message("assistant", contract.written(example.answer))


def with_examples(messages: tuple[Message, ...], examples: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation with examples behind its system turn, so that what all prompts share comes first."""
    system = sum(message.role == "system" for message in messages)
    return (*messages[:system], *examples, *messages[system:]) if examples else messages

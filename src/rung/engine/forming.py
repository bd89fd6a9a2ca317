"""The form in which a tier is asked: the one that was learnt for the request's task, if it may be used at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rung.contract import Contract
from rung.engine.plan import Plan
from rung.tier import Rung
from rung.types import Example, FormInForce, Message, Zone

LONGEST_EXAMPLES = 2_000
"""Bytes of all examples of one prompt together, some 500 tokens of English. A small model reads them in two seconds,
and they take a quarter of the smallest context that a tier has by default. If not all fit, the least similar are left
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
    """The form that was learnt for a tier; `None` for rung's own.

    A form may contain examples, which may be other people's prompts. So it is used only if the tier is known to keep a
    prompt on this machine.

    Args:
        plan: the run.
        rung: the tier that is asked.
    """
    if plan.task is None or not keeps_here(rung):
        return None
    return plan.task.form(rung.tier.name, plan.prompt, plan.contract.sha256)


def keeps_here(rung: Rung) -> bool:
    """Whether a tier is known to keep what it is given on this machine. A loopback server that nobody vouches for may
    pass it on.
    """
    return rung.tier.zone <= Zone.HOST and (rung.travels is None or rung.travels.stays_here is True)


def formed(plan: Plan, rung: Rung) -> Formed:
    """How to ask a tier in this run.

    Args:
        plan: the run.
        rung: the tier that is asked.
    """
    found = form_in_force(plan, rung)
    if found is None:
        return Formed(plan.contract)
    contract = plan.contract.under(found.form)
    return Formed(contract, _turns(plan, found, contract), found.sha256, found.notes)


def _turns(plan: Plan, found: FormInForce, contract: Contract[Any]) -> tuple[Message, ...]:
    """The examples as turns. A conversation of several turns gets none, because they would come between its own."""
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
    """The conversation with examples after its system turn, so that what all prompts share comes first."""
    system = sum(message.role == "system" for message in messages)
    return (*messages[:system], *examples, *messages[system:]) if examples else messages

"""Composing the call of one attempt, once, before the gate: form, instruction, feedback, masking and cap."""

from __future__ import annotations

from collections.abc import Callable

from rung import feedback
from rung.engine import share
from rung.engine.forming import Formed, with_examples
from rung.engine.masking import mask
from rung.engine.plan import Plan
from rung.engine.record import Record
from rung.errors import PromptTooLong
from rung.limits import Deadline
from rung.tier import Rung
from rung.types import Call, Zone


def compose(
    plan: Plan, rung: Rung, formed: Formed, record: Record, cap: int | None, deadline: Deadline
) -> tuple[Call, Callable[[str], str] | None]:
    """The call, and a function that puts the real values back into an answer, where private values were masked.

    Args:
        plan: the run.
        rung: the tier with its settings.
        formed: in which form it is asked.
        record: what was tried so far. The last rejected answer is fed back.
        cap: a larger cap for a retry, in tokens; `None` takes the usual one.
        deadline: of the run, as consent has moved it so far.
    """
    local = rung.tier.zone == Zone.HOST
    shape = formed.contract.shape
    messages = with_examples(formed.contract.instruct(plan.request.messages), formed.examples)
    rejected = record.rejected
    if rejected is not None:
        messages = feedback.tell(messages, rejected.issues, rejected.text or "", rung.feedback)
    redactor = None if local else rung.redactor or plan.redactor
    restore = None
    if redactor is not None:
        messages, shape, restore = mask(messages, shape, redactor)
    call = Call(
        messages=messages,
        shape=shape,
        sampling=plan.request.sampling,
        max_tokens=cap or plan.request.max_tokens or rung.max_tokens,
        deadline=deadline,
        cancel=plan.cancel,
        rejected=rejected.text if rejected is not None and local else None,
        others=share.waiting(plan, record, rung) > 0,
    )
    return call, restore


def whose(error: PromptTooLong, plan: Plan, formed: Formed) -> PromptTooLong:
    """The same error, with what most of the tokens are for where the caller didn't write them.

    Args:
        error: of a tier.
        plan: the run.
        formed: in which form the tier was asked.
    """
    told, asked = len(formed.contract.told.encode("utf-8", "replace")), sum(m.size for m in plan.request.messages)
    shown = sum(message.size for message in formed.examples)
    if max(told, shown) <= asked:
        return error
    choices = plan.contract.shape.choices if plan.contract.shape is not None else ()
    what, less = (f"list the {len(choices):,} choices", "offer fewer choices") if choices else ("are the schema", "")
    if shown > told:
        what, less = "are examples", "take some of them out with `rung task forget`"
    longer = PromptTooLong(
        error.input_tokens,
        error.context,
        at_least=error.at_least,
        hint=" or ".join(filter(None, (less, error.hint))),
        whose=f"about {100 * max(told, shown) // (told + asked + shown)}% of them {what}",
    )
    longer.__cause__ = error  # what the tier raised is kept
    return longer

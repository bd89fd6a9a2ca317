"""Examples from use: prompts that a small tier couldn't answer well enough, with a higher tier's answer.

They come only from the user's own ledger, and only if it keeps prompts and answers. They wait until the next
calibration, because a promise that was made without them doesn't hold with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydantic_core import to_jsonable_python

from rung.contract import Contract
from rung.contract.forms import without_reason
from rung.errors import RungError
from rung.learn.examples import MOST, ExampleEntry, Examples, ExampleTable, admissible, asked_in
from rung.learn.forms import FormTable, LearnedForm
from rung.learn.tuning_tiers import value_of
from rung.ledger import RequestRecord, conversation
from rung.types import Example, Message, PromptForm


@dataclass(frozen=True, slots=True)
class EscalatedRequests:
    """What the ledger has for a tier.

    Args:
        tier: its name.
        escalated: number of requests that a higher tier answered.
        without_text: number of those whose texts the ledger doesn't have.
        new: examples that are new.
        left_out: number of escalated requests that can't be examples: too long, contradictory, of several turns, or
            asked before.
    """

    tier: str
    escalated: int
    without_text: int
    new: tuple[ExampleEntry, ...] = field(repr=False)
    left_out: int


def escalations(
    records: Iterable[RequestRecord],
    tier: str,
    higher: Sequence[str],
    contract: Contract[object],
    known: Examples,
    date: str,
) -> EscalatedRequests:
    """Find examples for a tier among requests of its task.

    Args:
        records: of the task in its present form, latest first.
        tier: the tier that was asked and whose answer wasn't accepted.
        higher: the tiers above it.
        contract: of the task. An answer that it no longer accepts isn't an example.
        known: the examples that the tier has.
        date: today, as in 2026-11-26.
    """
    escalated = without_text = 0
    found: list[Example] = []
    requests: dict[str, str] = {}
    for record in records:
        asked = any(attempt.tier == tier and attempt.sent for attempt in record.attempts)
        if not (asked and record.accepted and record.tier in higher):
            continue
        escalated += 1
        try:
            *turns, answer = conversation(record)
        except RungError:
            without_text += 1
            continue
        example = _example(turns, answer.text, contract)
        if example is not None and not known.has(example.asked):
            found.append(example)
            requests.setdefault(example.asked, record.id)
    kept, _, _ = admissible(found)
    new = tuple(
        ExampleEntry.of(example, source="ledger", request=requests[example.asked], date=date, waiting=True)
        for example in kept[: MOST - len(known.entries)]
    )
    return EscalatedRequests(tier, escalated, without_text, new, escalated - without_text - len(new))


def _example(turns: Sequence[Message], answer: str, contract: Contract[object]) -> Example | None:
    asked = asked_in(turns)
    value = None
    if asked is not None:  # a tier may have been asked to begin with a reason
        value = value_of(contract, tuple(turns), answer) or value_of(contract, tuple(turns), without_reason(answer))
    return None if asked is None or value is None else Example(asked, to_jsonable_python(value[0]))


@dataclass(frozen=True, slots=True)
class Admission:
    """A task's forms and examples as they will be when the waiting ones are shown.

    Args:
        forms: by tier.
        examples: of all tiers.
        admitted: number of examples that waited, by tier.
    """

    forms: dict[str, LearnedForm]
    examples: ExampleTable
    admitted: dict[str, int]


def admission(
    forms: dict[str, LearnedForm], table: ExampleTable, *, prompt: str, contract: str, date: str, rung: str
) -> Admission:
    """Let the waiting examples be shown. A tier whose form shows none gets the four that are most like each prompt.

    Args:
        forms: those in force.
        table: the examples.
        prompt: sha256 of the task's template.
        contract: sha256 of its contract.
        date: today, as in 2026-11-26.
        rung: this version of rung.
    """
    admitted = {tier: len(table.of(tier).waiting) for tier in table.tiers if table.of(tier).waiting}
    after = dict(forms)
    for tier, count in admitted.items():
        table = table.having(tier, table.of(tier).admitted().entries)
        before = forms.get(tier)
        holds = before is not None and (before.prompt, before.contract) == (prompt, contract)
        form = before.form.form if holds and before is not None else PromptForm()
        if form.examples != "similar":
            shows = FormTable.of(form).model_copy(update={"examples": "similar"})
            says = f"shows the 4 examples most like a prompt, {count:,} of them from escalations"
            after[tier] = LearnedForm(
                form=shows, prompt=prompt, contract=contract, rows=0, date=date, rung=rung, says=says
            )
    return Admission(after, table, admitted)

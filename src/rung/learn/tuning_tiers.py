"""Tuning the tiers of a task one after another: rows, targets and examples for each, and what to keep."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rung.contract import Contract
from rung.errors import Cancelled, ConfigError, RungError
from rung.learn.axes import DEFAULT
from rung.learn.evaluating import EvalProgress, Work
from rung.learn.examples import LONGEST, SHOWN, ExampleEntry, Examples, admissible, asked_in
from rung.learn.form_asking import answers_of
from rung.learn.forms import in_force
from rung.learn.rows import Row
from rung.learn.splits import FEWEST_TO_FIT, Split, split
from rung.learn.tuned import Bought, TriedForm, TunedTier, TuneProgress
from rung.learn.tuning import Tuning
from rung.learn.worth import WorthQuestion, worth
from rung.limits import Deadline
from rung.tier import Rung
from rung.types import Candidate, CheckContext, Example, FormInForce, Message, PromptForm, Request, Zone

_REFERENCES = 0.6
"""Largest share of a tier's time that goes into what it is held against: without rows nothing can be compared, and
without forms neither."""
_CHECK = 5.0
"""Seconds that a task's own checks may take on an example."""


@dataclass(frozen=True, slots=True)
class FormQuestion:
    """What to tune.

    Args:
        work: with all rows, the ladder and its recorders.
        wordings: the user's.
        seconds: of the whole budget.
        examples: those that the tiers may already be shown, by tier.
        date: today, as in 2026-11-26.
        only: names of the tiers to tune; empty tunes all.
    """

    work: Work
    wordings: Sequence[str]
    seconds: float
    examples: Mapping[str, Examples]
    date: str
    only: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TierForm:
    """What to keep for a tier, at each better result and at the end.

    Args:
        tuned: the result.
        entries: the examples that the chosen form shows.
        notes: sentences about the rows.
    """

    tuned: TunedTier
    entries: tuple[ExampleEntry, ...] = field(repr=False)
    notes: tuple[str, ...] = ()


def tune(asked: FormQuestion) -> Iterator[Bought | TuneProgress | TierForm]:
    """Find the best form of each local tier.

    With expected answers the small tiers come first, because they are asked most. Without them a tier is compared with
    the next one, so that one comes first, and the last can't be tuned.

    Args:
        asked: what to tune.

    Raises:
        ConfigError: there are too few rows, or there is nothing to compare answers with.
        RungError: whatever asking the tiers raises.
    """
    work = asked.work
    parts = parted(list(work.rows()))
    rungs = [rung for rung in work.ladder.rungs if rung.tier.zone <= Zone.HOST]
    labelled = all(row.labelled for row in parts.fit) and work.grade is not None
    places = list(range(len(rungs))) if labelled else list(range(len(rungs) - 1))[::-1]
    places = [place for place in places if not asked.only or rungs[place].tier.name in asked.only]
    if not labelled and work.same is None:
        raise ConfigError(
            "not every row has an expected answer, and nobody knows when two answers say the same",
            hint="give every row an expected answer, or say same = ... in the task's task.toml",
        )
    if not places:
        raise ConfigError(
            "without expected answers a tier is held against the next one of this machine, and there is none",
            hint="give every row an expected answer, or add a larger local model",
        )
    forms: dict[str, FormInForce | None] = {}
    for place in places:
        following = rungs[place + 1] if place + 1 < len(rungs) else None
        for event in _tier(asked, parts, rungs[place], following, labelled, asked.seconds / len(places), forms):
            if isinstance(event, TierForm):
                chosen = event.tuned.chosen
                form = None if chosen == DEFAULT else in_force(chosen, Examples(event.entries))
                forms[event.tuned.tier] = form
            yield event


def parted(rows: Sequence[Row]) -> Split:
    """The rows that may choose and give examples, and those that take no part, each in an order that reveals nothing.

    Args:
        rows: all of them.

    Raises:
        ConfigError: there are too few.
    """
    if any(row.schema is not None for row in rows):
        raise ConfigError("rows have schemas of their own, and a task has one contract", hint="leave schema out")
    found = split(rows)
    if not found.fit:
        raise ConfigError(
            f"tuning takes a third of the rows and leaves the others to certify: it needs {FEWEST_TO_FIT} rows, and "
            f"there are {len(rows):,}",
            hint="collect more prompts; they need no expected answers",
        )
    return Split(_mixed(found.fit), _mixed(found.certify))


def _mixed(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: hashlib.sha256(row.key.encode()).digest()))


def _tier(
    asked: FormQuestion,
    parts: Split,
    rung: Rung,
    following: Rung | None,
    labelled: bool,
    seconds: float,
    forms: Mapping[str, FormInForce | None],
) -> Iterator[Bought | TuneProgress | TierForm]:
    name, rows = rung.tier.name, list(parts.fit)
    references: dict[int, Any] | None = None
    if not labelled:
        assert following is not None, "the last tier isn't tuned without expected answers"
        for event in answers_of(asked.work, following, rows, forms, seconds * _REFERENCES):
            if isinstance(event, EvalProgress):
                yield TuneProgress(following.tier.name, "what to agree with", 0, 0, event.done, len(rows))
            else:
                references = {number: result.value for number, result in event.items() if result.valid}
                seconds -= min(seconds * _REFERENCES, sum(result.seconds for result in event.values()))
        rows = [row for row in rows if references is not None and row.number in references]
    entries, groups, notes = _examples(asked, rows, name, references)
    examples = Examples(entries)
    tuning = Tuning(asked.work, rung, following, rows, examples, groups, asked.wordings, seconds, references, forms)
    began = time.monotonic()
    last = None
    for found in tuning.found():
        if isinstance(found, TunedTier):
            last = TierForm(found, _shown(found.chosen, entries), notes)
            yield last
        else:
            yield found
    if last is None or not last.tuned.finished or last.tuned.chosen == DEFAULT:
        return
    wanted = WorthQuestion(
        work=asked.work,
        rung=rung,
        following=None if labelled else following,
        found=last.tuned,
        form=in_force(last.tuned.chosen, Examples(last.entries)),
        rows=[row for row in parts.certify if row.labelled or not labelled],
        budget=seconds,
        left=seconds - (time.monotonic() - began),
        forms=forms,
    )
    try:
        for fresh_event in worth(wanted):
            if isinstance(fresh_event, TriedForm):
                yield replace(last, tuned=replace(last.tuned, fresh=fresh_event))
            else:
                yield fresh_event
    except Cancelled:
        raise
    except RungError as error:  # the choice stands, and other tiers are still to be tuned
        yield replace(last, notes=(*notes, f"what the choice for {name} is worth couldn't be asked: {error.message}"))


def _shown(form: PromptForm, entries: Sequence[ExampleEntry]) -> tuple[ExampleEntry, ...]:
    """The examples that a form needs."""
    which = form.examples
    return tuple(entry for entry in entries if which == "similar" or (which == "fixed" and entry.fixed))


def _examples(
    asked: FormQuestion, rows: list[Row], tier: str, references: Mapping[int, Any] | None
) -> tuple[list[ExampleEntry], list[str], tuple[str, ...]]:
    """What a tier may be shown, the group of each example, and notes about the rows that aren't among them."""
    work = asked.work
    contract = work.ladder.contract(work.output, work.validators)
    groups: dict[str, str] = {}
    found = []
    for row in rows:
        answer = row.expected if references is None else references.get(row.number)
        text = asked_in(row.messages)
        if answer is None or text is None:
            continue
        value = accepted(contract, row, answer)
        if value is not None:
            found.append(Example(text, value[0]))
            groups[text] = row.group or row.key
    kept, contradictory, long = admissible(found)
    before = [e for e in asked.examples.get(tier, Examples()).shown if e.source == "ledger"]
    fixed = {id(example) for example in fixed_of(kept)}
    entries = [ExampleEntry.of(e, source="data", date=asked.date, fixed=id(e) in fixed) for e in kept]
    entries += before
    notes = []
    if contradictory:
        notes.append(f"{contradictory:,} rows ask the same as another one and have other answers: none is an example")
    if long:
        notes.append(f"{long:,} rows are longer than the {LONGEST:,} bytes of an example, so they aren't shown")
    if found == [] and rows:
        notes.append("no row has an answer that the contract accepts as it stands, so no examples are tried")
    return entries, [groups.get(entry.asked, entry.id) for entry in entries], tuple(notes)


def accepted(contract: Contract[Any], row: Row, answer: Any) -> tuple[Any] | None:
    """An answer as an example may show it, if the contract accepts it; `None` otherwise.

    Args:
        contract: of the task.
        row: what was asked.
        answer: as a JSON value.
    """
    found = value_of(contract, row.messages, contract.written(answer))
    if found is None:
        return None
    return found if isinstance(answer, str) and isinstance(found[0], str) else (answer,)


def value_of(contract: Contract[Any], messages: tuple[Message, ...], text: str) -> tuple[Any] | None:
    """The value of an answer's text, if the contract accepts it; `None` otherwise.

    Args:
        contract: of the task.
        messages: what was asked.
        text: the answer as a model wrote it.
    """
    try:
        context = CheckContext(
            request=Request(messages, text_checks=False), tier="example", text=text, deadline=Deadline.after(_CHECK)
        )
        found = contract.judge(Candidate(text=text, finish="stop"), context)
    except Exception:  # noqa: BLE001  a check that fails on an answer doesn't vouch for it
        return None
    return (found.value,) if found.valid else None


def fixed_of(examples: Sequence[Example]) -> list[Example]:
    """Choose four to show with every prompt: short ones whose answers differ.

    Args:
        examples: to choose from.
    """
    brief = sorted(examples, key=lambda e: len(e.asked))[: max(SHOWN, len(examples) // 2)]
    order = [example for example in examples if any(example is each for each in brief)]
    distinct: dict[str, Example] = {}
    for example in order:
        distinct.setdefault(str(example.answer), example)
    chosen = list(distinct.values())[:SHOWN]
    return chosen + [example for example in order if not any(example is c for c in chosen)][: SHOWN - len(chosen)]

"""The forms and examples of a task: showing and removing them."""

from __future__ import annotations

import json
from typing import Any

from rung.errors import ConfigError
from rung.learn.axes import described
from rung.learn.examples import ExampleEntry
from rung.learn.tasks import TaskFolder
from rung.spelling import nearest
from rung.visible import line


def said(task: TaskFolder, *, whole: bool) -> list[str]:
    """Lines about the forms and examples of a task.

    Args:
        task: it.
        whole: whether the examples' texts are shown.
    """
    table, lines = task.examples(), []
    for tier in dict.fromkeys((*task.learned.forms, *table.tiers)):
        learned, examples = task.learned.forms.get(tier), table.of(tier)
        if learned is not None:
            best = "" if learned.finished else ", the best so far of a tuning that was cut short"
            lines.append(f"form of {tier}: {described(learned.form.form)}, {learned.date}, rung {learned.rung}{best}")
            lines += [f"  {learned.says}"] if learned.says else []
        if examples.entries:
            ledger = sum(entry.source == "ledger" for entry in examples.entries)
            line_ = f"examples of {tier}: {len(examples.shown):,} shown, {ledger:,} of all from the ledger"
            if examples.waiting:
                line_ += f"; {len(examples.waiting):,} wait for the next `rung calibrate`"
            lines.append(line_)
        lines += [f"  {_shown(entry)}" for entry in examples.entries if whole]
    return lines


def as_object(task: TaskFolder, *, whole: bool) -> dict[str, Any]:
    """The forms and examples as a JSON value.

    Args:
        task: the task.
        whole: whether to include the examples' texts.
    """
    table = task.examples()
    forms = {tier: learned.model_dump(mode="json") for tier, learned in task.learned.forms.items()}
    counts = {
        tier: {"shown": len(table.of(tier).shown), "waiting": len(table.of(tier).waiting)} for tier in table.tiers
    }
    found: dict[str, Any] = {"forms": forms, "examples": counts}
    if whole:
        found["examples"] = table.model_dump(mode="json")["tiers"]
    return found


def forget(task: TaskFolder, ids: tuple[str, ...], *, ledger: bool, tier: str | None) -> tuple[str, ...]:
    """Remove examples or a form from a task, and report what was removed.

    Args:
        task: the task.
        ids: of examples.
        ledger: whether to remove every example from the ledger.
        tier: the tier whose form and examples to remove.

    Raises:
        ConfigError: nothing was named, there is no such example or form, or a file can't be written.
    """
    table = task.examples()
    every = {entry.id: entry for entries in table.tiers.values() for entry in entries}
    if not (ids or ledger or tier):
        raise ConfigError("nothing was named to forget", hint="give --example ID, --from-ledger, or --form TIER")
    for name in ids:
        if name not in every:
            raise ConfigError(f"the task {task.name!r} has no example {name[:20]!r}", hint=nearest(name, every))
    known = set(task.learned.forms) | set(table.tiers)
    if tier is not None and tier not in known:
        raise ConfigError(f"nothing is kept of tier {tier!r}", hint=nearest(tier, known))
    gone = set(ids) | {name for name, entry in every.items() if ledger and entry.source == "ledger"}
    after = table.without(gone)
    if tier is not None:
        after = after.having(tier, ())
    words = []
    count = sum(map(len, table.tiers.values())) - sum(map(len, after.tiers.values()))
    if tier is not None and tier in task.learned.forms:
        forms = {name: form for name, form in task.learned.forms.items() if name != tier}
        task.learned.model_copy(update={"forms": forms}).write(task.path)
        words.append(f"tier {tier!r} is asked in rung's own form again")
    after.write(task.path)
    words.append(f"{count:,} {'example is' if count == 1 else 'examples are'} gone")
    if task.learned.tiers:
        words.append("what was calibrated with them is void: run `rung calibrate` anew")
    return tuple(words)


def _shown(entry: ExampleEntry) -> str:
    where = f"ledger {entry.request}" if entry.source == "ledger" else "data"
    waits = ", waits" if entry.waiting else ""
    answer = json.dumps(entry.answer, ensure_ascii=False)
    return f"{entry.id} ({where}, {entry.date}{waits}): {line(entry.asked)} -> {line(answer)}"

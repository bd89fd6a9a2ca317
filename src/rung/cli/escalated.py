"""`rung tune --from-ledger`: examples for small tiers from what higher tiers answered in use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung import guard
from rung.config import load
from rung.engine.standing import form
from rung.errors import ConfigError
from rung.learn.escalations import EscalatedRequests, escalations
from rung.ledger import LedgerFile, requests
from rung.types import Zone


@dataclass(frozen=True, slots=True)
class EscalatedReport:
    """The report of `rung tune --from-ledger`.

    Args:
        task: its name.
        found: the result for each tier.
    """

    task: str
    found: tuple[EscalatedRequests, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences for stdout."""
        said = []
        for each in self.found:
            what = f"{len(each.new):,} new {'example' if len(each.new) == 1 else 'examples'}"
            line = f"{each.tier}: {each.escalated:,} requests were answered by a higher tier; {what}"
            if each.left_out:
                line += f", {each.left_out:,} can't be one: asked before, contradictory, too long, or of several turns"
            said.append(line)
        if any(each.new for each in self.found):
            said.append(
                f"They wait in the task's examples.json, on this machine alone, until the next `rung calibrate DATA "
                f"--task {self.task}`. `rung task show {self.task} --examples` shows them, `rung task forget` takes "
                "them out."
            )
        return tuple(said)

    def as_object(self) -> dict[str, Any]:
        """The object of `--json`, without the examples themselves."""
        tiers = [
            {
                "tier": each.tier,
                "escalated": each.escalated,
                "without_text": each.without_text,
                "new": len(each.new),
                "left_out": each.left_out,
            }
            for each in self.found
        ]
        return {"tiers": tiers, "sentences": list(self.sentences)}


def escalated(name: str, only: tuple[str, ...], config: Path | None) -> EscalatedReport:
    """Take examples out of the ledger, and put them beside the task, where they wait.

    Args:
        name: of the task.
        only: names of the tiers to look for; empty means all local ones but the last.
        config: the only configuration to read.

    Raises:
        ConfigError: the ledger has no such request, or no texts; or a file can't be written.
        LedgerError: the ledger can't be read.
    """
    guard.install(Zone.HOST)
    found = load(config)
    task = found.tasks.demand(name)
    with found.ladder() as ladder:
        prompt = "?" if task.template is None else dict.fromkeys(task.template.fields, "?")
        plan = ladder.plan(prompt, None, {"task": name})
        names = [rung.tier.name for rung in ladder.rungs]
        local = [rung.tier.name for rung in ladder.rungs if rung.tier.zone <= Zone.HOST and rung.tier.name != names[-1]]
    for tier in only:
        if tier not in local:
            raise ConfigError(
                f"tier {tier!r} can't be shown examples: it isn't a tier of this machine below another one",
                hint=f"known: {', '.join(local) or 'none'}",
            )
    path = found.ledger.path.value
    records = []
    if path.exists():
        with LedgerFile(path) as file:
            records = [record for record in requests(file, task=name, answered=True) if record.form == form(plan)]
    if not records:
        raise ConfigError(
            f"the ledger {path} has no answered request of the task {name!r} in its present form",
            hint="ask with it first: rung ask --task",
        )
    table = task.examples()
    today = datetime.now(UTC).date().isoformat()
    each = [
        escalations(records, tier, names[names.index(tier) + 1 :], plan.contract, table.of(tier), today)
        for tier in (only or local)
    ]
    if any(one.escalated for one in each) and all(one.escalated == one.without_text for one in each):
        raise ConfigError(
            "the ledger doesn't keep prompts and answers, so there is nothing to make examples of",
            hint="set content = true under [ledger] in rung.toml; from then on they are kept",
        )
    for one in each:
        if one.new:
            table = table.having(one.tier, (*table.of(one.tier).entries, *one.new))
    if any(one.new for one in each):
        table.write(task.path)
    return EscalatedReport(name, tuple(each))

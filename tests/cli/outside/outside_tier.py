"""A package of somebody else's: kinds of tier that are found by entry point. It offers rung's own kinds, too, so that
tests run from a checkout that nobody installed."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from rung.errors import Cancelled, PromptTooLong, TierError, TierTimeout, TierUnavailable
from rung.settings import read
from rung.testing import QuotingTier, Reply, ScriptedTier
from rung.tier import SettingsTable, tier_kind
from rung.types import Delta, Price, Usage, Zone


class Table(SettingsTable):
    """What a scripted tier answers.

    Args:
        script: its answers, one for each call.
        seconds: how long each takes.
    """

    script: list[str] = []
    zone: str = "host"
    price: float | None = None
    seconds: float = Field(default=0.0, ge=0)
    constraint: str = "none"
    destination: str | None = None
    stays_here: bool | None = None
    absent: str = ""
    record: str | None = None
    gate: str | None = None
    context: int | None = None


PAUSE, BREAKS = "‖", "✂"
"""Where a tier with a `gate` stops in the middle of its answer until the test opens the gate once more, and where its
connection breaks."""


class GatedTier(ScriptedTier):
    """A tier that stops at each `PAUSE` in its script: at the first until the file `GATE.1` exists, and so on."""

    gate = ""

    def stream(self, call):
        passed = 0
        for delta in super().stream(call):
            first, *rest = delta.text.split(PAUSE)
            yield replace(delta, text=first)
            for text in rest:
                passed += 1
                while not Path(f"{self.gate}.{passed}").exists():
                    if call.cancel.wait(0.005):
                        raise Cancelled("the caller cancelled")
                    if call.deadline.passed:
                        raise TierTimeout("the deadline passed")
                if text.startswith(BREAKS):
                    raise TierError("the connection broke")
                yield Delta(text)


@tier_kind(Table)
def from_config(name, table):
    zone = Zone.parse(table.zone)
    script = [_line(text, table) for text in table.script]
    if table.absent:
        script = [TierUnavailable(f"{name} is not there", hint=table.absent)]
    if table.gate is not None:
        tier = GatedTier(name, *script, zone=zone)
        tier.gate = table.gate
    elif table.price is None:
        tier = ScriptedTier(name, *script, zone=zone)
    else:
        tier = QuotingTier(name, *script, zone=zone, price=Price(table.price, table.price))
    if table.destination is not None:
        tier.destination, tier.stays_here = table.destination, table.stays_here
    return tier


def _line(text, table):
    def answer(call):
        if table.context is not None and (size := sum(m.size for m in call.messages)) > table.context:
            return PromptTooLong(size, table.context)
        if table.record:
            messages = [[m.role, m.text] for m in call.messages]
            Path(table.record).write_text(json.dumps({"messages": messages, "pid": os.getpid()}), encoding="utf-8")
        return Reply(text, seconds=table.seconds, constraint=table.constraint, usage=Usage(10, 5))

    return answer


def broken(name, settings):
    raise KeyError(name)


Numbers = Annotated[list[int], BeforeValidator(lambda value: json.loads(value) if isinstance(value, str) else value)]
"""Numbers, or a text of them: long arrays take TOML's parser longer than the rest of a command."""


class DoublingTable(SettingsTable):
    model: str = "doubler"
    right: Numbers = []
    logprobs: dict[str, float] = {}
    rejected: list[int] = []
    swayed: list[int] = []
    build: str | None = None
    seconds: float = 0.0
    shown_seconds: float = 0.0
    learns: bool = False
    counts: str


def doubling(name, settings):
    """A tier that is asked to `double N`, and notes each call in a file.

    It is right where N is in `right`, and then sure, unless `logprobs` says how sure it is. Where N is in `rejected` it
    writes what is not a number, and where N is in `swayed` it says something else behind a rejected answer. One that
    `learns` is always right when it is shown examples. Reading those takes it `shown_seconds` more.
    """
    table = read(DoublingTable, settings, f"tier {name!r}")
    right, rejected, swayed = set(table.right), set(table.rejected), set(table.swayed)

    def answer(call):
        asked = call.messages[-1].text
        number = int(re.search(r"[Dd]ouble\s+(\d+)", asked).group(1))
        with Path(table.counts).open("a", encoding="utf-8") as file:
            file.write(f"{name} {number}\n")
        shown = any(message.role == "assistant" for message in call.messages)
        learnt = table.learns and shown
        text, logprob = (str(2 * number), -0.01) if number in right or learnt else ("0", -1.0)
        if number in rejected:
            text = "none"
        elif number in swayed and "was rejected" in asked:
            text = "1"
        logprob = table.logprobs.get(str(number), logprob)
        seconds = table.seconds + (table.shown_seconds if shown else 0.0)
        return Reply(text, seconds=seconds, logprob=logprob, usage=Usage(10, 5))

    tier = ScriptedTier(name, *[answer] * 2000)
    if table.build is not None:
        tier.behaviour, tier.setup = {}, {"build": table.build}
    return tier

"""The form that was learnt for a tier, as in `learned.json`, and when it is used."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from pydantic import Field

from rung.learn.examples import Examples, ExampleTable
from rung.settings import SettingsTable
from rung.types import Absent, FormInForce, Place, PromptForm, Shown


class FormTable(SettingsTable):
    """A form; see `rung.types.PromptForm`.

    Args:
        wrap: whether a bare answer is written as JSON.
        place: where the tier is told what the answer must be.
        wording: the words for that; empty for rung's own.
        examples: which examples the tier is shown.
        reason: whether an object begins with a reason.
        absent: how an optional field is written that the prompt doesn't mention.
    """

    wrap: bool = False
    place: Place = "system"
    wording: str = ""
    examples: Shown = "none"
    reason: bool = False
    absent: Absent = "omitted"

    @classmethod
    def of(cls, form: PromptForm) -> FormTable:
        """A form in this table's form."""
        return cls(**asdict(form))

    @property
    def form(self) -> PromptForm:
        """The form as the ladder takes it."""
        return PromptForm(**self.model_dump())


class LearnedForm(SettingsTable):
    """The form of one tier, and what it was learnt from.

    Args:
        form: the form in which the tier is asked.
        prompt: sha256 of the template that it was learnt with; empty if the task has none.
        contract: sha256 of the contract.
        weights: sha256 of the tier's model at that time; `None` if the tier couldn't tell.
        data: sha256 of the data's file; empty if the user's own ledger gave the examples.
        rows: number of rows that chose it.
        date: as in 2026-11-26.
        rung: the version of rung that chose it.
        says: what it gained, in the sentences that were printed.
        finished: whether everything was tried that the budget allowed.
    """

    form: FormTable
    prompt: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    contract: str = Field(pattern=r"^[0-9a-f]{64}$")
    weights: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    data: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    rows: int = Field(ge=0)
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    rung: str
    says: str = ""
    finished: bool = True


class TaskForms:
    """The forms of a task's tiers, ready for use.

    Args:
        learned: by tier.
        examples: of all tiers.
    """

    def __init__(self, learned: Mapping[str, LearnedForm], examples: ExampleTable) -> None:
        self._learned = dict(learned)
        self._in_force = {tier: in_force(known.form.form, examples.of(tier)) for tier, known in self._learned.items()}

    def __call__(self, tier: str, prompt: str, contract: str) -> FormInForce | None:
        """The form of a tier; `None` for rung's own. For another prompt or contract nothing was learnt.

        Args:
            tier: its name.
            prompt: sha256 of the request's template.
            contract: sha256 of its contract.
        """
        known = self._learned.get(tier)
        if known is None or (known.prompt, known.contract) != (prompt, contract):
            return None
        return self._in_force[tier]


def in_force(form: PromptForm, examples: Examples) -> FormInForce:
    """A form with its examples.

    Args:
        form: of the prompt.
        examples: that it may show.
    """
    shows = form.examples != "none"
    what = [FormTable.of(form).model_dump(mode="json"), examples.sha256 if shows else ""]
    sha256 = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    pick = functools.partial(examples.pick, form.examples) if shows else (lambda _: ())
    notes = ("the form has examples, and there are none beside the task",) if shows and not examples.shown else ()
    return FormInForce(form, sha256, pick, notes)

"""`learned.json`: what was learnt about a task's tiers, and the evidence that it depends on. Only rung writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from rung.errors import ConfigError
from rung.files import read_bounded
from rung.learn.forms import LearnedForm
from rung.parsing import parse_json
from rung.settings import SettingsTable, read
from rung.types import Conditions, FeedbackPolicy, Sampling, Standing, Threshold
from rung.writing import write_whole

NAME = "learned.json"
_VERSION: Literal[1] = 1
_MOST = 16 << 20
"""Bytes of the file. A ladder of ten tiers, each with a curve of a thousand points, takes half a megabyte."""
CALIBRATED = "calibrated "
"""The beginning of the origin of a threshold that a calibration made."""
_Sha256 = Field(pattern=r"^[0-9a-f]{64}$")


class SamplingTable(SettingsTable):
    """How tokens were chosen. A seed is left out, because it changes the draw and not the distribution.

    Args:
        temperature: 0 is greedy.
        top_p: share of the probability mass that was kept.
        min_p: least probability relative to the likeliest token's.
        stop: strings that ended an answer.
    """

    temperature: float = 0.0
    top_p: float | None = None
    min_p: float | None = None
    stop: tuple[str, ...] = ()

    @classmethod
    def of(cls, sampling: Sampling) -> SamplingTable:
        """The sampling of a request in this form."""
        return cls(temperature=sampling.temperature, top_p=sampling.top_p, min_p=sampling.min_p, stop=sampling.stop)


class Checked(SettingsTable):
    """A check on fresh rows that confirmed the promise under another setup.

    Args:
        setup: as in `Evidence`, at that time.
        rows: number of rows.
        date: as in 2026-11-26.
    """

    setup: dict[str, str]
    rows: int = Field(ge=1)
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")


class Evidence(SettingsTable):
    """What a threshold depends on, and what it was learnt from.

    Args:
        weights: sha256 of the tier's model; `None` if the tier couldn't tell.
        against: the tier that its answers were compared with, if there was one.
        against_weights: sha256 of that tier's model.
        prompt: sha256 of the task's template; empty if the task has none.
        contract: sha256 of the contract.
        sampling: how tokens were chosen.
        max_tokens: first cap on the answer, in tokens.
        repairs: how often a rejected answer went back to the tier.
        feedback: what the tier was told then.
        behaviour: what else determined its answers: its own sampling, its chat template.
        setup: build, backend, number of calls decoded together. Another setup makes nothing void, but asks for a check.
        data: sha256 of the data's file.
        rows: number of rows that it was learnt from.
        date: of the calibration, as in 2026-11-26.
        rung: the version of rung that made it.
        form: sha256 of the form in which the tier was asked, including its examples; empty for rung's own form.
        checked: later checks under other setups.
    """

    weights: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    against: str | None = None
    against_weights: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    prompt: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    contract: str = _Sha256
    sampling: SamplingTable = SamplingTable()
    max_tokens: int | None = Field(default=None, ge=1)
    repairs: int = Field(ge=0)
    feedback: FeedbackPolicy
    behaviour: dict[str, str] = {}
    setup: dict[str, str] = {}
    data: str = _Sha256
    rows: int = Field(ge=1)
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    rung: str
    form: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    checked: tuple[Checked, ...] = ()

    @classmethod
    def of(cls, now: Conditions, *, against: str | None, data: str, rows: int, date: str, rung: str) -> Evidence:
        """The evidence of something that is learnt under the present conditions.

        Args:
            now: the conditions under which the tier answered.
            against: the tier that its answers were compared with, if there was one.
            data: sha256 of the data's file.
            rows: number of rows that it was learnt from.
            date: today, as in 2026-11-26.
            rung: the version of rung.
        """
        return cls(
            weights=now.weights,
            against=against,
            against_weights=now.others.get(against) if against is not None else None,
            prompt=now.prompt,
            contract=now.contract,
            sampling=SamplingTable.of(now.sampling),
            max_tokens=now.max_tokens,
            repairs=now.repairs,
            feedback=now.feedback,
            behaviour=dict(now.behaviour),
            setup=dict(now.setup),
            data=data,
            rows=rows,
            date=date,
            rung=rung,
            form=now.form,
        )

    def void(self, now: Conditions) -> tuple[str, ...]:
        """What changed since, so that what was learnt no longer holds; empty if it holds.

        Args:
            now: the present conditions of the tier. Weights that it can't tell count as unchanged.
        """
        theirs = now.others.get(self.against) if self.against is not None else None
        changed = {
            "the weights": _differ(self.weights, now.weights),
            f"the weights of tier {self.against!r}": _differ(self.against_weights, theirs),
            "the prompt": self.prompt != now.prompt,
            "the contract": self.contract != now.contract,
            "the sampling": self.sampling != SamplingTable.of(now.sampling) or now.sampling.effort is not None,
            "the cap on the answer": self.max_tokens != now.max_tokens,
            "the number of repairs": self.repairs != now.repairs,
            "the feedback": self.feedback != now.feedback,
            "the form": self.form != now.form,
        }
        others = [f"the tier's {key}" for key, old in self.behaviour.items() if now.behaviour.get(key, old) != old]
        return (*(what for what, is_so in changed.items() if is_so), *others)

    def notes(self, setup: Mapping[str, str]) -> tuple[str, ...]:
        """What else changed and may matter: a sentence for each, with the command that tells whether it does. Empty if
        a check has told.

        Args:
            setup: the present setup. What the tier can't tell counts as unchanged.
        """
        if any(not _changed(check.setup, setup) for check in self.checked):
            return ()
        return tuple(
            f"{key} was {self.setup[key]} when the task was calibrated, and is now {setup[key]}: "
            "`rung calibrate --check` on fresh rows tells whether that matters"
            for key in _changed(self.setup, setup)
        )


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(key for key, old in then.items() if now.get(key, old) != old)


_BOUNDS: dict[str, float] = {"every answer": -math.inf, "no answer": math.inf}
"""How the file spells a threshold that every valid answer passes, or none: JSON has no infinity."""


class LearnedTier(SettingsTable):
    """What was learnt about one tier.

    Args:
        above: an answer is accepted if its score is greater; `every answer` or `no answer` if the score decides
            nothing.
        weights: the weight of each feature of the score, by its name.
        bias: added to their sum.
        curve: pairs of a score and the probability that an answer with this score is right, in rising order.
        says: what is certified, in the sentence that was printed; empty if nothing is.
        evidence: what all this depends on.
    """

    above: float | Literal["every answer", "no answer"]
    weights: dict[str, float]
    bias: float = 0.0
    curve: tuple[tuple[float, float], ...] = ()
    says: str = ""
    evidence: Evidence

    @field_validator("above", mode="before")
    @classmethod
    def _spelt(cls, value: object) -> object:
        return next((word for word, bound in _BOUNDS.items() if value == bound), value)

    @property
    def threshold(self) -> Threshold:
        """The threshold in the ladder's form."""
        evidence = self.evidence
        return Threshold(
            _BOUNDS[self.above] if isinstance(self.above, str) else self.above,
            self.weights,
            self.bias,
            origin=f"{CALIBRATED}{evidence.date} on {evidence.rows:,} rows",
            curve=self.curve,
        )

    def standing(self, now: Conditions) -> Standing:
        """What of it holds under the present conditions."""
        void = self.evidence.void(now)
        return Standing(None if void else self.threshold, void, self.evidence.notes(now.setup))


class Promise(SettingsTable):
    """What a calibration promises of all thresholds together.

    Args:
        kind: `differs`: at most `limit` of all answers differ from what the last tier alone would say. `worse`: at most
            `limit` of them are wrong where that tier alone is right. `judged`: the same, according to a person who
            judged the answers that differ. `wrong`: at most `limit` of the accepted answers are wrong.
        limit: the limit on that share.
        delta: share of samples in which the promise may fail.
        average: whether it holds only on average over samples.
        certified: whether the rows were looked at for the first time. Otherwise it is an estimate.
        against: the last tier.
        rows: number of certify rows.
    """

    kind: Literal["differs", "judged", "worse", "wrong"]
    limit: float = Field(gt=0, lt=1)
    delta: float = Field(gt=0, lt=1)
    average: bool = False
    certified: bool
    against: str
    rows: int = Field(ge=1)


class Learned(SettingsTable):
    """A whole `learned.json`.

    Args:
        version: of its format.
        promise: what is promised of all tiers together; `None` if nothing is.
        tiers: what was learnt, by the name of the tier.
        forms: in which form each tier is asked, where `rung tune` found a better one than rung's own.
    """

    version: Literal[1] = _VERSION
    promise: Promise | None = None
    tiers: dict[str, LearnedTier] = {}
    forms: dict[str, LearnedForm] = {}

    def standing(self, now: Conditions) -> Standing:
        """What holds about a tier; empty if nothing was learnt about it."""
        found, form = self.tiers.get(now.tier), self.forms.get(now.tier)
        standing = Standing() if found is None else found.standing(now)
        if now.form and form is not None and _differ(form.weights, now.weights):
            tuned = (
                "the form in which this tier is asked was tuned with other weights: `rung tune` finds what suits these"
            )
            standing = replace(standing, notes=(*standing.notes, tuned))
        return standing

    def checked(self, setups: Mapping[str, Mapping[str, str]], *, rows: int, date: str) -> Learned:
        """This content after a check on fresh rows confirmed the promise. The present setup then needs no other check.

        Args:
            setups: the present setup of each tier, by name.
            rows: number of fresh rows.
            date: today.
        """
        tiers = {}
        for name, tier in self.tiers.items():
            setup, evidence = dict(setups.get(name, {})), tier.evidence
            if evidence.notes(setup):
                now = Checked(setup=setup, rows=rows, date=date)
                evidence = evidence.model_copy(update={"checked": (*evidence.checked, now)})
            tiers[name] = tier.model_copy(update={"evidence": evidence})
        return self.model_copy(update={"tiers": tiers})

    def keeping(self, before: Learned) -> Learned:
        """The same in the forms that were in force before: a calibration changes none of them."""
        return self.model_copy(update={"forms": before.forms})

    def write(self, folder: Path) -> None:
        """Write it into a task's folder, whole or not at all.

        Args:
            folder: of the task.

        Raises:
            ConfigError: it can't be written.
        """
        content = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False).encode() + b"\n"
        try:
            write_whole(folder / NAME, content, private=False)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(f"{folder / NAME} can't be written: {why}") from None


def read_learned(folder: Path) -> Learned:
    """Read what was learnt about a folder's task; empty if it has no `learned.json`.

    Raises:
        ConfigError: the file can't be read, is malformed, or is of another version.
    """
    path = folder / NAME
    if not path.exists():
        return Learned()
    anew = "move it away, or run `rung calibrate` anew"
    try:
        values = parse_json(read_bounded(path, _MOST, "what was learnt"), str(path))
    except ConfigError as error:
        raise ConfigError(error.message, hint=anew) from None
    version = values.get("version") if isinstance(values, dict) else None
    if type(version) is not int or version != _VERSION:
        shown = repr(version)[:40] if isinstance(version, int | str | float) else "none"
        raise ConfigError(f"{path} has the version {shown}, and this rung reads version {_VERSION}", hint=anew)
    return read(Learned, values, str(path))


def _differ(then: str | None, now: str | None) -> bool:
    return then is not None and now is not None and then != now

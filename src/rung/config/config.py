"""The configuration in force: frozen values, each with its origin, and the ladder that they describe."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.config.document import Document, Setting
from rung.config.ledger import LedgerConfig
from rung.config.serve import ServeConfig
from rung.config.tables import PolicyTable, RungTable, TierTable
from rung.config.tasks import TaskPlaces
from rung.config.tiers import build, hosts, is_ours
from rung.consent import ConfiguredConsent, Consent
from rung.engine import Observer
from rung.engine.idle import machine_is_idle
from rung.errors import ConfigError, TierUnavailable
from rung.hiding import hide, variable
from rung.ladder import Ladder, Shadow
from rung.limits import Budget
from rung.money import PaidAfter
from rung.spelling import nearest
from rung.store import Sourcing
from rung.tier import Rung
from rung.types import Zone

if TYPE_CHECKING:
    from rung.ledger import Ledger

DEFAULT_MODELS = ("smollm2-135m", "qwen2.5-coder-1.5b")


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration in force.

    Args:
        reach: how far a prompt may travel.
        paid_after: whether money may be spent after any failure, or only after the local tiers answered.
        redact: whether private data is masked before it leaves the machine.
        unload_after: seconds without a call after which a local model is unloaded, except the first tier's.
        linger: seconds for which a local model's worker may outlive its command; 0 ends it with the command.
        drafts: whether `rung ask` on a terminal shows what a tier writes before it is checked.
        seconds: wall time of one request; `None` sets no limit.
        tokens: prompt and answer tokens of one request; `None` sets no limit.
        money: US dollars that one request may cost; `None` sets no limit.
        ledger: what is recorded, and what all requests together may spend.
        models_from: folders and web servers that model files are looked for in first.
        packages: whether model files may come from package wheels.
        shadow: share of the requests whose accepted answer is also asked of the next tier.
        shadow_busy: share of the processors' time above which the machine is too busy for a shadow.
        serve: the limits of `rung serve`.
        tiers: as in the files; empty if no file has any.
        policy: what the system allows.
        policy_file: where the policy is, or would be.
        files: those that were read, highest precedence first.
        tasks: where tasks are.
        denied: what an untrusted project file asked for at the top level and did not get.
        notes: sentences about what the user asked for and doesn't get.
    """

    reach: Setting[Zone]
    paid_after: Setting[PaidAfter]
    redact: Setting[bool]
    unload_after: Setting[float]
    linger: Setting[float]
    drafts: Setting[bool]
    seconds: Setting[float | None]
    tokens: Setting[int | None]
    money: Setting[Decimal | None]
    ledger: LedgerConfig
    models_from: Setting[tuple[str, ...]] = field(repr=False)
    packages: Setting[bool]
    shadow: Setting[float]
    shadow_busy: Setting[float]
    serve: ServeConfig
    tiers: Setting[tuple[TierTable, ...]]
    policy: PolicyTable
    policy_file: Path
    files: tuple[Document, ...]
    tasks: TaskPlaces
    denied: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def project(self) -> Document | None:
        """The project file; `None` if there is none."""
        return next((f for f in self.files if f.origin.source == "project file"), None)

    def ladder(
        self,
        *,
        only: Collection[str] = (),
        consent: Consent | None = None,
        ledger: Ledger | None = None,
        observers: Sequence[Observer] = (),
    ) -> Ladder:
        """The ladder that the configuration describes. Loads no model and opens no connection.

        Args:
            only: names of the tiers to use; empty uses all of them.
            consent: asks a person about a hop if the reach comes from a file. Without it such a hop is refused, unless
                its tier says `consent = "always"`.
            ledger: records the requests and keeps the budgets; `None` makes the one that the configuration describes.
            observers: told of every event, beside the ledger.

        Raises:
            ConfigError: a tier is unknown or wrong, or the project file is not trusted with what it asks for.
            TierUnavailable: no file has a tier, and no model is on this machine.
        """
        tables = self._chosen(only)
        self._demand_trust(tables)
        rungs = self._build(tables)
        self._judge(self._far(rungs))
        for rung in rungs:
            if rung.prepares is not None:
                rung.prepares.sourcing = self.sourcing()
            if rung.lingers is not None:
                rung.lingers.linger = self.linger.value
        always, never = (
            frozenset(t.rung.name for t in tables if t.rung.consent == word) for word in ("always", "never")
        )
        ledger = ledger or self.ledger.ledger()
        return Ladder(
            *rungs,
            reach=self.reach.value,
            budget=Budget(self.seconds.value, self.tokens.value, self.money.value),
            consent=ConfiguredConsent(self.reach.origin.source == "option", always, never, consent),
            paid_after=self.paid_after.value,
            unload_after=self.unload_after.value,
            # a purse refuses every tier of unknown price, so there is one only with a budget
            purse=ledger if ledger is not None and ledger.keeps_budgets else None,
            observers=tuple(observers) if ledger is None else (ledger, *observers),
            tasks=self.tasks.task,
            shadow=Shadow(self.shadow.value, functools.partial(machine_is_idle, self.shadow_busy.value)),
        )

    def sourcing(self) -> Sourcing:
        """Where model files may come from."""
        reach = Zone.INTERNET if self.policy.reach is None else Zone.parse(self.policy.reach)
        return Sourcing(
            self.models_from.value, self.packages.value, self.policy.models, reach, held_by=str(self.policy_file)
        )

    def hosts(self, ladder: Ladder) -> frozenset[str] | None:
        """The names and addresses that the tiers of a ladder connect to; `None` if a tier beyond this machine
        doesn't say."""
        named = [hosts(rung) for rung in ladder.rungs if rung.tier.zone > Zone.HOST]
        return None if None in named else frozenset().union(*(n for n in named if n is not None))

    def asks(self) -> tuple[str, ...]:
        """What the project file asks for and gets only when trusted; empty if it is trusted.

        Raises:
            ConfigError: a tier is unknown or wrong.
        """
        if not self._untrusted:
            return ()
        asked = self._asked(self.tiers.value)
        ours = [t for t in self._own_tiers if is_ours(t.rung.kind)]
        return (*asked, *self._far(self._build(tuple(ours))))

    @property
    def local_tiers(self) -> tuple[TierTable, ...]:
        """The tiers in force whose model is a GGUF file that one of rung's workers loads."""
        return tuple(table for table in self.tiers.value if table.rung.kind == "llama")

    def default_tiers(self) -> tuple[TierTable, ...]:
        """The tiers for a user who configured none: those of the default models that are on this machine."""
        from rung.store import models

        there = {listed.model.name for listed in models() if listed.file is not None}
        return tuple(
            TierTable(RungTable(name=name, kind="llama"), {"model": name}, f"tier {name!r}")
            for name in DEFAULT_MODELS
            if name in there
        )

    def _chosen(self, only: Collection[str]) -> tuple[TierTable, ...]:
        tables = self.tiers.value or self.default_tiers()
        if not tables:
            raise _nothing_there()
        known = [t.rung.name for t in tables]
        for name in only:
            if name not in known:
                raise ConfigError(f"no tier is called {name!r}", hint=nearest(name, known))
        return tuple(t for t in tables if not only or t.rung.name in only)

    @property
    def _untrusted(self) -> bool:
        return self.project is not None and not self.project.trusted

    @property
    def _own_tiers(self) -> tuple[TierTable, ...]:
        """The tiers in force that come from an untrusted project file."""
        if self.project is None or self.project.trusted or self.tiers.origin != self.project.origin:
            return ()
        return self.tiers.value

    def _build(self, tables: tuple[TierTable, ...]) -> list[Rung]:
        return [build(table, self.policy, str(self.policy_file), redacts=self.redact.value) for table in tables]

    def _demand_trust(self, tables: tuple[TierTable, ...]) -> None:
        if self._untrusted:
            self._judge(self._asked(tables))

    def _judge(self, asked: tuple[str, ...]) -> None:
        if asked and self.project is not None:
            raise ConfigError(
                f"{self.project.path} is not trusted, and asks to {'; to '.join(asked)}",
                hint=f"look at it, then run `rung config trust {self.project.path}`",
            )

    def _asked(self, tables: tuple[TierTable, ...]) -> tuple[str, ...]:
        """What the tables ask for, as far as it shows before a tier is made from them."""
        asked = list(self.denied)
        if self.project is not None and self.project.foreign:
            asked.append("be read although it belongs to another user")
        own = self._own_tiers
        for table in tables:
            if table in own:
                asked += _tier_asks(table.rung, table.settings)
        return tuple(asked)

    def _far(self, rungs: list[Rung]) -> tuple[str, ...]:
        """The tiers of an untrusted project file that are beyond this machine."""
        own = {t.rung.name for t in self._own_tiers}
        return tuple(
            f"send prompts to {_destination(rung)} (tier {hide(rung.tier.name)!r})"
            for rung in rungs
            if rung.tier.name in own and rung.tier.zone > Zone.HOST
        )


def _tier_asks(rung: RungTable, settings: Mapping[str, Any]) -> list[str]:
    asked, name = [], hide(rung.name)
    key = settings.get("api_key")
    if isinstance(key, Mapping):
        asked.append(f"read the environment variable {variable(key.get('env'))} (tier {name!r})")
    if settings.get("stays_here"):
        asked.append(f"vouch that an endpoint keeps prompts on this machine (tier {name!r})")
    if not is_ours(rung.kind):
        asked.append(f"use the tier kind {hide(rung.kind)!r} of another package (tier {name!r})")
    return asked


def _destination(rung: Rung) -> str:
    return rung.travels.destination if rung.travels else f"a tier in the zone {rung.tier.zone}"


def _nothing_there() -> TierUnavailable:
    from rung.store import models

    smallest = next(listed.model for listed in models() if listed.model.name == DEFAULT_MODELS[0])
    return TierUnavailable("no tier is configured and no model is on this machine", hint=smallest.pull)

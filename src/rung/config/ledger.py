"""What the ledger may keep, where it is, and the budgets that it enforces."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol, TypeVar

from rung.config.document import Origin, Setting
from rung.config.tables import FileTable, PolicyTable
from rung.files import full
from rung.ledger import Ledger, user_ledger
from rung.ledger.file import OFF, VARIABLE

T = TypeVar("T")


class Pick(Protocol):
    """Picks a setting from the files by precedence."""

    def __call__(self, key: str, get: Callable[[FileTable], T], looser: Callable[[T, T], bool]) -> Setting[T]:
        """The value of `key`."""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The ledger's part of the configuration in force.

    Args:
        record: whether requests are recorded.
        content: whether prompts and answers are kept.
        retention_days: for how long.
        path: the file.
        money_per_day: US dollars of all processes in a day; `None` sets no limit.
        money_per_month: the same for a month.
    """

    record: Setting[bool]
    content: Setting[bool]
    retention_days: Setting[int]
    path: Setting[Path]
    money_per_day: Setting[Decimal | None]
    money_per_month: Setting[Decimal | None]

    def ledger(self) -> Ledger | None:
        """The ledger to use; `None` if nothing is recorded and no budget is set.

        A budget is enforced even if nothing is recorded. It needs only sums.
        """
        ledger = Ledger(
            self.path.value,
            records=self.record.value,
            content=self.content.value,
            retention_days=self.retention_days.value,
            per_day=self.money_per_day.value,
            per_month=self.money_per_month.value,
        )
        return ledger if self.record.value or ledger.keeps_budgets else None


def ledger_config(
    pick: Pick, more_money: Callable[[Decimal | None, Decimal | None], bool], policy: PolicyTable, policy_origin: Origin
) -> LedgerConfig:
    """The ledger's part of the configuration.

    An untrusted project file can make the ledger keep less and lower its budgets. It can't move the ledger or turn it
    off, because that would hide what was done and spent.

    Args:
        pick: picks a setting from the files.
        more_money: whether a budget is looser than another.
        policy: what the system allows.
        policy_origin: where the policy is.
    """
    record = pick("ledger.record", lambda t: t.ledger.record, looser=lambda new, old: new != old)
    content = pick("ledger.content", lambda t: t.ledger.content, looser=lambda new, old: new > old)
    path = pick("ledger.path", _path, looser=lambda new, old: new != old)
    variable, origin = os.environ.get(VARIABLE), Origin("environment", VARIABLE)
    if variable == OFF:
        record = Setting(False, origin)
    elif variable:
        path = Setting(user_ledger(), origin)
    if policy.ledger == "nothing" and record.value:
        record = Setting(False, policy_origin)
    if policy.ledger in ("nothing", "metadata") and content.value:
        content = Setting(False, policy_origin)
    return LedgerConfig(
        record=record,
        content=content,
        retention_days=pick(
            "ledger.retention_days", lambda t: t.ledger.retention_days, looser=lambda new, old: new > old
        ),
        path=path,
        money_per_day=pick("budget.money_per_day", lambda t: t.budget.money_per_day, looser=more_money),
        money_per_month=pick("budget.money_per_month", lambda t: t.budget.money_per_month, looser=more_money),
    )


def _path(table: FileTable) -> Path:
    return user_ledger() if table.ledger.path is None else full(table.ledger.path, "ledger.path")

"""`Ledger`: an observer that records, and a purse that keeps budgets."""

from __future__ import annotations

import atexit
import functools
import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Self

from rung.allowed import Integer
from rung.errors import LedgerError
from rung.files import full
from rung.ledger import rows
from rung.ledger.budgets import Budgets, HolderPurse, LedgerReservation, Reservations
from rung.ledger.file import LedgerFile, user_ledger
from rung.ledger.purging import expire
from rung.ledger.recorder import Recorder
from rung.ledger.records import record
from rung.limits import Money, usd
from rung.types import AttemptStarted, Event, Finished, Shadowed

RETENTION = Integer(0, 36_500, "days")
"""Days that content may be kept, at most: a hundred years, which every date format in the file can hold."""

RETENTION_DAYS = 30
"""Days that content is kept by default."""

_LOOK_EVERY = 3600.0
"""Seconds between two searches for expired content."""


class Ledger:
    """Records every request in a file that several processes share, and keeps their budgets. Making one does no I/O.

        with closing(rung.Ledger("requests.sqlite3", per_day="1.00")) as ledger:
            rung.Ladder(rung.llama("smollm2-135m"), observers=[ledger], purse=ledger).run("Is water wet?")

        ledger.path.name  # requests.sqlite3

    As an observer (`Ladder(observers=[ledger])`) it costs the caller far less than a millisecond, because a thread does
    the writing. If a record can't be written, the request goes on, and its outcome's notes say so. A process that is
    killed loses at most the records of its last moments.

    As a purse (`Ladder(purse=ledger)`) it refuses to spend what it can't record: a budget never fails open. A
    reservation or settlement is on disk when the call returns, so if a process is killed, its reservation stays
    counted.

    It is safe from any thread, and across forks. Entries that wait at the interpreter's exit are written then.

    Args:
        path: the file. `None` is the user's own (`RUNG_LEDGER`, or else among the user's data). A network share doesn't
            work, because SQLite's write-ahead log can't use one.
        records: whether requests are recorded. Otherwise only budgets are kept.
        content: whether prompts and answers are kept, too.
        retention_days: how long prompts and answers are kept.
        per_day: US dollars that all processes with this file may spend in a day (UTC).
        per_month: the same for a calendar month (UTC).
        clock: returns seconds since 1970.

    Raises:
        ConfigError: a limit is not a valid amount of money, or the retention is not a valid number of days.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        records: bool = True,
        content: bool = False,
        retention_days: int = RETENTION_DAYS,
        per_day: Money | None = None,
        per_month: Money | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        retention_days = RETENTION.check("retention_days", retention_days)
        self.budgets = Budgets(
            None if per_day is None else usd(per_day, "per_day"),
            None if per_month is None else usd(per_month, "per_month"),
        )
        self._file = LedgerFile(user_ledger() if path is None else full(path, "the ledger").absolute())
        self._recorder = Recorder(self._file)
        self._reservations = Reservations(self._file, self._recorder, self.budgets, clock)
        self._records = records
        self._content = content
        self._retention_days = retention_days
        self._clock = clock
        self._looked: float | None = None
        _tie_to_process(self._file, self._recorder)

    def __repr__(self) -> str:
        return f"Ledger({str(self._file.path)!r})"

    @property
    def keeps_budgets(self) -> bool:
        """Whether there is a budget to keep."""
        return self.budgets != Budgets()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def __call__(self, event: Event) -> None:
        """Record a request when it is over, and its shadow later. The thread opens the file when a request begins.

        Raises:
            LedgerError: the file can't be written. The record waits and is tried again with the next one.
        """
        if not self._records or not isinstance(event, AttemptStarted | Finished | Shadowed):
            return
        self._record(event)
        # the thread would notice, too, but only after this request was answered
        self._file.see()

    def _record(self, event: AttemptStarted | Finished | Shadowed) -> None:
        now = self._clock()
        if self._looked is None or abs(now - self._looked) > _LOOK_EVERY:
            self._looked = now
            with suppress(LedgerError):  # the request's own entry raises it again
                self._recorder.put(functools.partial(expire, now=now))
        if isinstance(event, Finished):
            kept = record(event, now, content=self._content)
            self._recorder.put(functools.partial(rows.write, record=kept, retention_days=self._retention_days))
        elif isinstance(event, Shadowed):
            self._recorder.put(functools.partial(rows.write_shadow, event=event, now=now))

    def reserve(self, bound: Decimal) -> LedgerReservation:
        """Reserve `bound` US dollars, atomically among all processes. Waits for others at most 5 s.

        Raises:
            BudgetExceeded: there is not enough left, or the ledger can't be written.
        """
        return self._reservations.reserve(bound)

    def purse_of(self, holder: str, per_day: Money | None = None) -> HolderPurse:
        """A purse for one of those who share this ledger. What it spends counts in the ledger's own budgets, too.

            purse = ledger.purse_of("ada", per_day="1.50")  # in all processes with this file together
            ladder = rung.Ladder(rung.llama("smollm2-135m"), purse=purse)
            ladder.run("Is water wet?").cost  # 0

        Args:
            holder: who spends.
            per_day: US dollars that the holder may spend in a day (UTC); `None` sets no limit of their own.

        Raises:
            ConfigError: the limit is not a valid amount of money.
        """
        return HolderPurse(self._reservations, holder, None if per_day is None else usd(per_day, "per_day"))

    def flush(self) -> None:
        """Write the entries that wait.

        Raises:
            LedgerError: the file can't be written.
        """
        self._recorder.flush()

    def close(self) -> None:
        """Write the entries that can be written, and close the file. A later use opens it again."""
        _end(self._file, self._recorder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(file: LedgerFile, recorder: Recorder) -> None:
    with suppress(LedgerError):
        recorder.flush()
    file.close()


def _tie_to_process(file: LedgerFile, recorder: Recorder) -> None:
    """Have waiting entries written at the interpreter's exit, and keep SQLite's state from crossing a fork."""
    # Not a finalizer: it would run in whatever thread collects garbage, and wait there for locks that the thread may
    # hold. Hooks can't be taken back, so they must not keep the ledger alive.
    files, recorders = weakref.ref(file), weakref.ref(recorder)
    held: list[LedgerFile] = []

    def at_exit() -> None:
        file, recorder = files(), recorders()
        if file is not None and recorder is not None:
            _end(file, recorder)

    def before() -> None:
        file = files()
        if file is not None:
            file.before_fork()
            held.append(file)

    def after() -> None:
        if held:
            held.pop().after_fork()

    def in_child() -> None:
        recorder = recorders()
        if recorder is not None:
            recorder.forget()
        after()

    atexit.register(at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_child)

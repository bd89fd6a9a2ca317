"""A job's manifest: an SQLite file beside the output that several processes share, and that survives their end.

Whatever is committed is there when a process is killed. The machine's own end may take the last instants with it, since
SQLite syncs at checkpoints.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rung.batch.manifest_file import ManifestFile
from rung.batch.schema import ACCEPTED, FREE, REJECTED, SUSPECT, UNUSABLE
from rung.errors import ConfigError, LedgerError

_BORN = 0.5
"""Seconds by which two readings of a process's start may differ."""


@dataclass(frozen=True, slots=True)
class KeptCall:
    """What a tier answered to one call, as it is kept until its question is finished.

    Args:
        record: of the call.
        failed: whether it failed for a reason that may be gone next time.
    """

    record: bytes = field(repr=False)
    failed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A question that this process works on.

    Args:
        number: of the question.
        key: of what is asked.
        position: of the first row that asks it.
        line: of that row.
        place: of that row in the input.
        stage: place of the tier that is to be asked.
        crashes: how often a tier crashed while the question was under way.
        calls: what tiers answered already, by number.
    """

    number: int
    key: bytes
    position: int
    line: int
    place: int
    stage: int
    crashes: int
    calls: Mapping[int, KeptCall] = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How far a job is, in rows.

    Args:
        accepted: rows with an accepted answer.
        rejected: rows that no tier answered well enough.
        bad: rows that can't be used.
        open: rows that wait for a tier, by its place.
        spent: pico-dollars of calls that have ended.
        counted: the same, and what is reserved.
    """

    accepted: int
    rejected: int
    bad: int
    open: Mapping[int, int]
    spent: int
    counted: int

    @property
    def rows(self) -> int:
        """All of them."""
        return self.accepted + self.rejected + self.bad + sum(self.open.values())


class JobManifest(ManifestFile):
    """A job's manifest. Safe from several threads and processes.

    Args:
        path: of the file. It is made where there is none.
        makes: whether it may be made.

    Raises:
        ConfigError: there is none, or it is something else.
        LedgerError: it can't be read or written.
    """

    def __init__(self, path: Path, *, makes: bool = True) -> None:
        super().__init__(path, makes=makes)
        self.owner = 0

    def close(self) -> None:
        """Close it. What this process still holds is free for others."""
        with suppress(LedgerError):  # the next process finds that this one is gone
            if self.owner:
                self._drop([self.owner])
        super().close()

    def get(self, name: str) -> Any:
        """A fact about the job; `None` where it isn't known."""
        found = self.rows("SELECT value FROM job WHERE name = ?", (name,))
        return json.loads(found[0]["value"]) if found else None

    @staticmethod
    def put(connection: sqlite3.Connection, name: str, value: Any) -> None:
        """Note a fact about the job.

        Args:
            connection: within a transaction.
            name: of the fact.
            value: what JSON can say.
        """
        connection.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(value)))

    def demand_same(self, fingerprint: Mapping[str, str]) -> None:
        """See that this is the job that the manifest is of; a new manifest becomes that job's.

        Args:
            fingerprint: hashes of what the job's answers depend on, by what each is of.

        Raises:
            ConfigError: it is of another job.
        """
        with self.transaction() as connection:
            found = connection.execute("SELECT value FROM job WHERE name = 'fingerprint'").fetchone()
            if found is None:
                self.put(connection, "fingerprint", dict(fingerprint))
                return
        before = json.loads(found["value"])
        other = [what for what in fingerprint if before.get(what) != fingerprint[what]]
        if other:
            raise ConfigError(
                f"the output belongs to another job, with something else for {' and '.join(other)}",
                hint=f"name another --out, or remove {self.path} to begin anew",
            )

    def join(self) -> None:
        """Be one of the processes that work on the job, and free what dead ones held."""
        self.bury()
        if self.owner:
            return
        with self.transaction() as connection:
            now = (os.getpid(), psutil.Process().create_time())
            self.owner = connection.execute("INSERT INTO owners (pid, born) VALUES (?, ?)", now).lastrowid or 0

    def bury(self) -> bool:
        """Free what dead processes held. Returns whether another process is at work."""
        owners = self.rows("SELECT number, pid, born FROM owners WHERE number != ?", (self.owner,))
        dead = [it["number"] for it in owners if not _lives(it["pid"], it["born"])]
        if dead:
            self._drop(dead)
        return len(dead) < len(owners)

    def claim(
        self, stage: int, most: int, *, suspects: bool = False, among: Sequence[int] | None = None
    ) -> list[Claim]:
        """Take questions that wait for a tier, in the order of the input.

        Args:
            stage: place of the tier.
            most: how many.
            suspects: take those that are to be asked alone, and none of the others.
            among: numbers of the only questions to take; `None` takes any.
        """
        only = "" if among is None else "AND number IN (SELECT value FROM json_each(?))"
        values = (stage, SUSPECT if suspects else FREE, *(() if among is None else (json.dumps(list(among)),)), most)
        with self.transaction() as connection:
            found = connection.execute(
                f"""SELECT number, key, position, line, place, stage, crashes FROM questions
                WHERE stage = ? AND owner = ? AND position IS NOT NULL {only} ORDER BY position LIMIT ?""",
                values,
            ).fetchall()
            claims = []
            for it in found:
                connection.execute("UPDATE questions SET owner = ? WHERE number = ?", (self.owner, it["number"]))
                calls = connection.execute(
                    "SELECT number, record, failed FROM calls WHERE question = ?", (it["number"],)
                )
                claims.append(
                    Claim(**dict(it), calls={n: KeptCall(record, bool(failed)) for n, record, failed in calls})
                )
        return claims

    def keep(self, question: int, number: int, call: KeptCall, reservation: int | None) -> None:
        """Keep what a tier answered.

        Args:
            question: its number.
            number: of the call.
            call: what the tier answered.
            reservation: that pays for it.
        """
        with self.transaction() as connection:
            _keep(connection, question, {number: call})
            connection.execute(
                "UPDATE reservations SET question = ?, call = ? WHERE id = ?", (question, number, reservation)
            )

    def move(self, question: int, stage: int, calls: Mapping[int, KeptCall]) -> None:
        """Leave a question to another tier.

        Args:
            question: its number.
            stage: place of that tier.
            calls: what tiers answered and isn't kept yet.
        """
        with self.transaction() as connection:
            _keep(connection, question, calls)
            connection.execute(
                "UPDATE questions SET stage = ?, owner = ?, crashes = 0 WHERE number = ?", (stage, FREE, question)
            )

    def finish(
        self,
        question: int,
        stage: int,
        answer: Mapping[str, Any],
        calls: Mapping[int, KeptCall],
        *,
        forget: bool = True,
    ) -> None:
        """End a question. What tiers answered is kept unless an answer was accepted: it may be tried again.

        Args:
            question: its number.
            stage: `ACCEPTED`, `REJECTED` or `UNUSABLE`.
            answer: what came of it.
            calls: what tiers answered and isn't kept yet.
            forget: whether there may be calls that are no longer needed.
        """
        said = json.dumps(answer, ensure_ascii=False)
        with self.transaction() as connection:
            if stage == REJECTED:
                _keep(connection, question, calls)
            elif forget:
                connection.execute("DELETE FROM calls WHERE question = ?", (question,))
            connection.execute(
                "UPDATE questions SET stage = ?, owner = ?, answer = ? WHERE number = ?",
                (stage, FREE, said.encode("utf-8", "backslashreplace").decode(), question),
            )

    def give_back(self, question: int, calls: Mapping[int, KeptCall], *, crashed: bool = False) -> None:
        """Let a question wait again for the same tier.

        Args:
            question: its number.
            calls: what tiers answered and isn't kept yet.
            crashed: whether a tier crashed while it was under way, so that it is to be asked alone.
        """
        with self.transaction() as connection:
            _keep(connection, question, calls)
            connection.execute(
                "UPDATE questions SET owner = ?, crashes = crashes + ? WHERE number = ?",
                (SUSPECT if crashed else FREE, crashed, question),
            )

    def money_may_come_back(self) -> bool:
        """Whether calls are under way for which more is reserved than they will have cost."""
        self.bury()
        return bool(self.rows("SELECT 1 FROM reservations JOIN owners ON owners.number = reservations.owner LIMIT 1"))

    def retry(self) -> int:
        """Let rejected questions be tried again. What a tier answered stays; what failed is asked anew.

        Returns how many rows they are.
        """
        with self.transaction() as connection:
            found = connection.execute(
                "SELECT coalesce(sum(rows), 0) FROM questions WHERE stage = ? AND position IS NOT NULL", (REJECTED,)
            ).fetchone()[0]
            connection.execute(
                """DELETE FROM calls WHERE failed AND question IN (SELECT number FROM questions WHERE stage = ?)""",
                (REJECTED,),
            )
            connection.execute(
                "UPDATE questions SET stage = 0, crashes = 0 WHERE stage = ? AND position IS NOT NULL", (REJECTED,)
            )
        return int(found)

    def sample(self, most: int, *, accepted: bool = False) -> list[sqlite3.Row]:
        """Questions in an order that has nothing to do with the input's, the same every time.

        Args:
            most: how many.
            accepted: those with an accepted answer, and not those that wait for the first tier.
        """
        return self.rows(
            """SELECT number, position, line, place, answer FROM questions
            WHERE stage = ? AND owner = ? AND position IS NOT NULL ORDER BY key LIMIT ?""",
            (ACCEPTED if accepted else 0, FREE, most),
        )

    def counts(self) -> JobCounts:
        """How far the job is."""
        with self._turn:
            stages = self.rows(
                "SELECT stage, sum(rows) AS rows FROM questions WHERE position IS NOT NULL GROUP BY stage"
            )
            bad = self.get("bad") or 0
            money = self.rows("SELECT spent, counted FROM money")[0]
        found = {it["stage"]: it["rows"] for it in stages}
        return JobCounts(
            accepted=found.get(ACCEPTED, 0),
            rejected=found.get(REJECTED, 0),
            bad=bad + found.get(UNUSABLE, 0),
            open={stage: rows for stage, rows in found.items() if stage >= 0},
            spent=money["spent"],
            counted=money["counted"],
        )

    def results(self) -> Iterator[sqlite3.Row]:
        """Every row of the input in its order, with what came of it: `position`, `id`, `line`, `bad`, `stage`,
        `answer`."""
        last = -1
        while True:
            found = self.rows(
                """SELECT r.position, r.id, r.line, r.bad, q.stage, q.answer, q.position AS first
                FROM rows AS r LEFT JOIN questions AS q ON q.number = r.question
                WHERE r.position > ? ORDER BY r.position LIMIT 1000""",
                (last,),
            )
            if not found:
                return
            yield from found
            last = found[-1]["position"]

    def _drop(self, owners: Iterable[int]) -> None:
        """Free what some processes held. Their reservations stay counted: what they reserved may have been spent."""
        with self.transaction() as connection:
            for owner in owners:
                connection.execute("UPDATE questions SET owner = ? WHERE owner = ?", (FREE, owner))
                connection.execute("DELETE FROM owners WHERE number = ?", (owner,))


def _keep(connection: sqlite3.Connection, question: int, calls: Mapping[int, KeptCall]) -> None:
    for number, call in calls.items():
        values = (question, number, call.record, call.failed)
        connection.execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?)", values)


def _lives(pid: int, born: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - born) < _BORN
    except psutil.Error:
        return False

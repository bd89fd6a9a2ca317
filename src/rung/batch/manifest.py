"""A job's manifest: an SQLite file beside the output. Several processes share it, and it outlives them.

A killed process loses nothing that was committed. If the machine itself goes down, the last instants may be lost, since
SQLite syncs at checkpoints only.
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
"""Seconds by which two readings of the same process's start time may differ."""


@dataclass(frozen=True, slots=True)
class KeptCall:
    """What a tier answered to one call. It is kept until its question is finished.

    Args:
        record: of the call.
        failed: whether the call failed for a reason that may be gone next time.
    """

    record: bytes = field(repr=False)
    failed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A question that this process works on.

    Args:
        number: of the question.
        key: hash of what is asked.
        position: of the first row that asks it.
        line: of that row.
        place: of that row in the input.
        stage: place of the tier to ask.
        crashes: how often a tier crashed while it worked on the question.
        calls: what tiers have answered already, by number of the call.
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
        rejected: rows for which no tier's answer was accepted.
        bad: rows that can't be used.
        open: rows that wait for a tier, by the tier's place.
        spent: pico-dollars of calls that have ended.
        counted: pico-dollars spent or reserved.
    """

    accepted: int
    rejected: int
    bad: int
    open: Mapping[int, int]
    spent: int
    counted: int

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return self.accepted + self.rejected + self.bad + sum(self.open.values())


class JobManifest(ManifestFile):
    """A job's manifest. Safe to use from several threads and processes.

    Args:
        path: of the file. It is created if it doesn't exist.
        makes: whether it may be created.

    Raises:
        ConfigError: the file doesn't exist and may not be created, or it isn't a manifest.
        LedgerError: it can't be read or written.
    """

    def __init__(self, path: Path, *, makes: bool = True) -> None:
        super().__init__(path, makes=makes)
        self.owner = 0

    def close(self) -> None:
        """Close the manifest, and release the questions that this process holds."""
        with suppress(LedgerError):  # then the next process notices that this one is gone
            if self.owner:
                self._drop([self.owner])
        super().close()

    def get(self, name: str) -> Any:
        """A fact about the job; `None` if it isn't known."""
        found = self.rows("SELECT value FROM job WHERE name = ?", (name,))
        return json.loads(found[0]["value"]) if found else None

    @staticmethod
    def put(connection: sqlite3.Connection, name: str, value: Any) -> None:
        """Store a fact about the job.

        Args:
            connection: within a transaction.
            name: of the fact.
            value: any JSON value.
        """
        connection.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(value)))

    def demand_same(self, fingerprint: Mapping[str, str]) -> None:
        """Check that the manifest belongs to this job. A new manifest is assigned to it.

        Args:
            fingerprint: hashes of what the job's answers depend on. Each key says what is hashed.

        Raises:
            ConfigError: the manifest belongs to another job.
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
        """Register as one of the processes that work on the job, and release what dead processes held."""
        self.bury()
        if self.owner:
            return
        with self.transaction() as connection:
            now = (os.getpid(), psutil.Process().create_time())
            self.owner = connection.execute("INSERT INTO owners (pid, born) VALUES (?, ?)", now).lastrowid or 0

    def bury(self) -> bool:
        """Release what dead processes held. Returns whether another process is at work."""
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
            most: the most questions to take.
            suspects: take only questions that have to be asked alone. Otherwise, take none of those.
            among: numbers of the only questions that may be taken; `None` allows any.
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
        """Store what a tier answered.

        Args:
            question: its number.
            number: of the call.
            call: what the tier answered.
            reservation: the reservation that pays for the call.
        """
        with self.transaction() as connection:
            _keep(connection, question, {number: call})
            connection.execute(
                "UPDATE reservations SET question = ?, call = ? WHERE id = ?", (question, number, reservation)
            )

    def move(self, question: int, stage: int, calls: Mapping[int, KeptCall]) -> None:
        """Pass a question on to another tier.

        Args:
            question: its number.
            stage: place of that tier.
            calls: answers of tiers that aren't stored yet.
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
        """Finish a question. If no answer was accepted, the tiers' calls are kept, because it may be tried again.

        Args:
            question: its number.
            stage: `ACCEPTED`, `REJECTED` or `UNUSABLE`.
            answer: its result.
            calls: answers of tiers that aren't stored yet.
            forget: whether the manifest may hold calls of this question, which are then deleted.
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
        """Return a question, so that it waits for the same tier again.

        Args:
            question: its number.
            calls: answers of tiers that aren't stored yet.
            crashed: whether a tier crashed while it worked on the question. Then the question has to be asked alone.
        """
        with self.transaction() as connection:
            _keep(connection, question, calls)
            connection.execute(
                "UPDATE questions SET owner = ?, crashes = crashes + ? WHERE number = ?",
                (SUSPECT if crashed else FREE, crashed, question),
            )

    def money_may_come_back(self) -> bool:
        """Whether calls are under way whose reservations may turn out larger than their cost."""
        self.bury()
        return bool(self.rows("SELECT 1 FROM reservations JOIN owners ON owners.number = reservations.owner LIMIT 1"))

    def retry(self) -> int:
        """Reopen rejected questions. Answers of tiers are kept, and failed calls are made again.

        Returns the number of rows.
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
        """Questions in an order that is unrelated to the input's, and the same every time.

        Args:
            most: the most questions to return.
            accepted: choose among questions with an accepted answer, and not among those that wait for the first tier.
        """
        return self.rows(
            """SELECT number, position, line, place, answer FROM questions
            WHERE stage = ? AND owner = ? AND position IS NOT NULL ORDER BY key LIMIT ?""",
            (ACCEPTED if accepted else 0, FREE, most),
        )

    def first(self, most: int) -> list[int]:
        """Numbers of questions that wait for the first tier, in the order of the input.

        Args:
            most: the most questions to return.
        """
        found = self.rows(
            """SELECT number FROM questions WHERE stage = 0 AND owner = ? AND position IS NOT NULL
            ORDER BY position LIMIT ?""",
            (FREE, most),
        )
        return [it["number"] for it in found]

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
        """Every row of the input in its order, with its result: `position`, `id`, `line`, `bad`, `stage`, `answer`."""
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
        """Release what some processes held. Their reservations stay counted, because the money may have been spent."""
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

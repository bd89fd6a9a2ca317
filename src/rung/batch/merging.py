"""Merging the shards of a job: their outputs and their accounts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rung.batch.intake import Shard
from rung.batch.manifest import JobManifest
from rung.errors import ConfigError

_APART = "the shard"
"""The only part of the fingerprint in which shards of one job differ."""


@contextmanager
def merged(out: Path, shards: Sequence[Path]) -> Iterator[JobManifest]:
    """A manifest of all rows, beside the merged output.

    Args:
        out: the merged output.
        shards: outputs of the shards.

    Raises:
        ConfigError: a shard is missing, unfinished or of another job, or the output belongs to an ordinary job.
        LedgerError: a manifest can't be read or written.
    """
    with ExitStack() as stack:
        parts = [stack.enter_context(JobManifest(_beside(shard), makes=False)) for shard in shards]
        _demand_whole(parts, shards)
        path = _beside(out)
        if path.exists():
            with JobManifest(path) as before:
                if not before.get("merged"):
                    raise ConfigError(f"{path} belongs to a job that is no merger", hint="name another output")
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        whole = stack.enter_context(JobManifest(path))
        for place, part in enumerate(parts):
            _copy(whole, part, place)
        yield whole


def _beside(out: Path) -> Path:
    return out.absolute().with_name(f"{out.name}.job")


def _demand_whole(parts: Sequence[JobManifest], shards: Sequence[Path]) -> None:
    """Check that the parts are all the shards of one job, and finished."""
    found: dict[Shard, Path] = {}
    first = parts[0].get("fingerprint") or {}
    rows = (parts[0].get("intake") or {}).get("rows")
    for part, path in zip(parts, shards, strict=True):
        said, fingerprint, intake = part.get("shard"), part.get("fingerprint") or {}, part.get("intake") or {}
        if said is None:
            raise ConfigError(f"{path} is not the output of a shard", hint="make it with --shard")
        shard = Shard.parse(said)
        if shard in found:
            raise ConfigError(f"{found[shard]} and {path} are both shard {shard}", hint="leave one of them out")
        found[shard] = path
        other = [what for what in first if what != _APART and fingerprint.get(what) != first[what]]
        if other or intake.get("rows") != rows:
            what = " and ".join(other) or "the number of rows"
            raise ConfigError(f"{shards[0]} and {path} are not of one job: {what} differ")
        waiting = sum(part.counts().open.values())
        if waiting or not intake.get("done"):
            raise ConfigError(f"{path} has {waiting:,} rows that are not yet asked", hint="finish it first")
    of = next(iter(found)).of
    missing = [str(Shard(number, of)) for number in range(1, of + 1) if Shard(number, of) not in found]
    if missing or any(shard.of != of for shard in found):
        raise ConfigError(f"shards are missing: {', '.join(missing) or 'they are of different divisions'}")


def _copy(whole: JobManifest, part: JobManifest, place: int) -> None:
    with whole.attached(part.path) as connection:
        offset = connection.execute("SELECT coalesce(max(number), 0) FROM questions").fetchone()[0]
        try:
            # two shards may have asked and paid for the same question, so each keeps its own
            connection.execute(
                """INSERT INTO questions
                SELECT number + ?, key || ?, position, line, place, rows, stage, owner, crashes, answer
                FROM part.questions WHERE position IS NOT NULL""",
                (offset, place.to_bytes(4, "big")),
            )
            connection.execute(
                "INSERT INTO rows SELECT position, id, line, question + ?, bad FROM part.rows", (offset,)
            )
        except sqlite3.IntegrityError:
            raise ConfigError(f"{part.path} has rows that another shard has, too", hint="see their inputs") from None
        connection.execute(
            """UPDATE money SET counted = counted + (SELECT counted FROM part.money),
            spent = spent + (SELECT spent FROM part.money)"""
        )
        bad = (whole.get("bad") or 0) + (part.get("bad") or 0)
        whole.put(connection, "bad", bad)
        whole.put(connection, "openai", part.get("openai"))
        whole.put(connection, "merged", True)

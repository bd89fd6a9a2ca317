"""The tables of a job's manifest.

`rows` is the input: where each row stands and what it asks. `questions` is what is asked: rows that ask the same share
one. `calls` holds what tiers answered to questions that aren't finished, so that no tier is asked twice.
"""

from __future__ import annotations

VERSION = 1
APPLICATION = 0x72756E62
"""`runb` in ASCII, so that somebody else's database is not taken for a manifest."""

ACCEPTED, REJECTED, UNUSABLE = -1, -2, -3
"""Stages of a finished question: an answer was accepted; none was; it can't be asked. Others are the place of the tier
that is to be asked next."""
FREE, SUSPECT = 0, -1
"""Owners of a question that nobody works on: anybody may take it; it is to be asked alone, because a tier crashed while
it was under way. Others are numbers of processes."""

TABLES = (
    "CREATE TABLE job (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE rows (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        line INTEGER NOT NULL,
        question INTEGER,
        bad TEXT
    )""",
    "CREATE UNIQUE INDEX rows_id ON rows (id) WHERE question IS NOT NULL",
    # `position`, `line` and `place` are those of the first row that asks it; without a position no row does any more
    """CREATE TABLE questions (
        number INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        position INTEGER,
        line INTEGER,
        place INTEGER,
        rows INTEGER NOT NULL,
        stage INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        crashes INTEGER NOT NULL,
        answer TEXT
    )""",
    # whoever looks for work, or counts, reads this index alone
    "CREATE INDEX questions_stage ON questions (stage, owner, position, rows) WHERE position IS NOT NULL",
    """CREATE TABLE calls (
        question INTEGER NOT NULL,
        number INTEGER NOT NULL,
        record BLOB NOT NULL,
        failed INTEGER NOT NULL,
        PRIMARY KEY (question, number)
    ) WITHOUT ROWID""",
    "CREATE TABLE owners (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL, born REAL NOT NULL)",
    # one row; `counted` is what was spent and what is reserved
    "CREATE TABLE money (one INTEGER PRIMARY KEY CHECK (one = 1), counted INTEGER NOT NULL, spent INTEGER NOT NULL)",
    "INSERT INTO money VALUES (1, 0, 0)",
    # `question` and `call` are there once the call that it pays for is kept: if its process dies before it settles,
    # whoever replays the call does
    """CREATE TABLE reservations (
        id INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL,
        bound INTEGER NOT NULL,
        question INTEGER,
        call INTEGER
    )""",
)

"""The tables of a job's manifest.

`rows` is the input: each row's position and its question. `questions` has what is asked: rows that ask the same share
a question. `calls` has the tiers' answers to unfinished questions, so that no tier is asked twice.
"""

from __future__ import annotations

VERSION = 1
APPLICATION = 0x72756E62
"""`runb` in ASCII. SQLite stores it in the file, so that another program's database is not taken for a manifest."""

ACCEPTED, REJECTED, UNUSABLE = -1, -2, -3
"""Stages of a finished question: an answer was accepted, none was accepted, or the question can't be asked. Any other
stage is the place of the tier to ask next."""
FREE, SUSPECT = 0, -1
"""Owners of a question that no process works on. `FREE`: any process may take it. `SUSPECT`: a tier crashed while it
worked on the question, so it has to be asked alone. Any other owner is the number of a process."""

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
    # `position`, `line` and `place` are those of the first row that asks it; without a position, no row asks it now
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
    # taking questions and counting them read this index only
    "CREATE INDEX questions_stage ON questions (stage, owner, position, rows) WHERE position IS NOT NULL",
    """CREATE TABLE calls (
        question INTEGER NOT NULL,
        number INTEGER NOT NULL,
        record BLOB NOT NULL,
        failed INTEGER NOT NULL,
        PRIMARY KEY (question, number)
    ) WITHOUT ROWID""",
    # numbers are never reused, because reservations of a dead process still refer to its number
    "CREATE TABLE owners (number INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, born REAL NOT NULL)",
    # one row; `counted` is the money that was spent or is reserved
    "CREATE TABLE money (one INTEGER PRIMARY KEY CHECK (one = 1), counted INTEGER NOT NULL, spent INTEGER NOT NULL)",
    "INSERT INTO money VALUES (1, 0, 0)",
    # `question` and `call` are set once the call that it pays for is stored: if the process dies before it settles the
    # reservation, the process that replays the call settles it
    """CREATE TABLE reservations (
        id INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL,
        bound INTEGER NOT NULL,
        question INTEGER,
        call INTEGER
    )""",
)

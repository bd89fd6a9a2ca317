"""What `rung ledger label` does: show requests without an answer, one at a time, and keep the right answers."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung.cli.output import Output
from rung.config import load
from rung.console import ask, is_terminal
from rung.contract import Contract
from rung.errors import ConfigError, LedgerError
from rung.learn.unresolved import (
    LabelledRows,
    LabelMarks,
    UnresolvedQueue,
    UnresolvedRequest,
    expected_of,
    unresolved,
)
from rung.ledger import LedgerFile, RequestRecord, requests

_KEEPS = "content = true under [ledger] in rung.toml keeps the prompts of later requests"


@dataclass(frozen=True, slots=True)
class UnresolvedReport:
    """The result of a session.

    Args:
        path: the file of labels.
        task: whose requests were shown; `None` for those without a task.
        queue: as it was at the beginning.
        labelled: number of requests labelled in this session.
        elsewhere: number of unresolved requests of each other task.
        unmarked: why the ledger couldn't be told what is labelled; `None` if it was.
    """

    path: Path
    task: str | None
    queue: UnresolvedQueue
    labelled: int
    elsewhere: dict[str | None, int]
    unmarked: LedgerError | None = None

    @property
    def sentence(self) -> str:
        """The sentence for stdout."""
        left = len(self.queue.waiting) - self.labelled
        if not self.queue.waiting:
            return "Nothing waits for a label."
        option = "" if self.task is None else f" --task {self.task}"
        used = f"`rung eval {self.path}{option}` reads them" if self.labelled else "nothing was written"
        return f"{self.labelled:,} labelled, {left:,} left; {used}."

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what can't be labelled here."""
        found = []
        if self.queue.without_text:
            found.append(f"{self.queue.without_text:,} can't be labelled: the ledger has no prompt of them; {_KEEPS}")
        if self.queue.not_text:
            found.append(f"{self.queue.not_text:,} can't be labelled: their prompts are not text alone")
        if self.unmarked is not None:
            said = f"{self.unmarked.message}, so `rung ledger list --unresolved` still has what was labelled"
            found.append(f"{said}; the same command marks it later")
        for task, count in sorted(self.elsewhere.items(), key=lambda it: it[0] or ""):
            where = "without a task: leave --task out" if task is None else f"of the task {task!r}: --task {task}"
            found.append(f"{count:,} more are {where}")
        return tuple(found)

    def as_object(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "labelled": self.labelled,
            "left": len(self.queue.waiting) - self.labelled,
            "labelled_before": self.queue.labelled,
            "without_text": self.queue.without_text,
            "not_text": self.queue.not_text,
            "data": str(self.path),
            "sentences": [self.sentence, *self.notes],
        }


def label_unresolved(
    file: LedgerFile,
    path: Path,
    *,
    task: str | None,
    since: int | None,
    caller: str | None,
    again: bool,
    config: Path | None,
    output: Output,
) -> UnresolvedReport:
    """Show what waits for a person, and write down the answers.

    Args:
        file: the ledger's.
        path: the file of labels.
        task: whose requests to show; `None` shows those without a task.
        since: only requests that began at this time or later, in milliseconds since 1970.
        caller: only requests of whoever asked a server by this name.
        again: whether to show requests that have a label, but not in this file, too.
        config: the only configuration to read.
        output: where the requests are shown.

    Raises:
        ConfigError: the file can't be used, or the input isn't an answer.
        LedgerError: the ledger can't be read.
    """

    def shown(record: RequestRecord) -> bool:
        return (since is None or record.at >= since) and caller in (None, record.caller)

    # all of them, because an answer also serves requests that aren't shown
    records = requests(file, unresolved=True, labelled=True)
    elsewhere = Counter(r.task for r in records if r.task != task and shown(r) and (again or r.label is None))
    folder = None if task is None else load(config).tasks.find(task)
    contract = None if folder is None else folder.contract()
    with LabelledRows(path) as rows:
        queue = unresolved((record for record in records if record.task == task), rows.answers, shown, again=again)
        marks = LabelMarks(file)
        marks.put(queue.unmarked)
        _converse(queue, rows, marks, contract, output)
        return UnresolvedReport(path, task, queue, rows.added, dict(elsewhere), marks.failure)


def _converse(
    queue: UnresolvedQueue, rows: LabelledRows, marks: LabelMarks, contract: Contract[Any] | None, output: Output
) -> None:
    """Ask about each request until the person stops."""
    done: list[UnresolvedRequest | None] = []
    while len(done) < len(queue.waiting):
        request = queue.waiting[len(done)]
        output.say(_shown(request, len(queue.waiting) - len(done)))
        said = _line(request)
        if said is None or said == "q":
            return
        if said == "u":
            last = None
            while done and last is None:
                last = done.pop()
            if last is None:
                output.say("There is nothing to take back.")
            else:
                # the mark first: a row without a mark gets one again, and a mark without a row would hide the request
                marks.take_back(last)
                rows.undo()
        elif said in ("", "s"):
            done.append(None)
        else:
            answer = _answer(request, said)
            expected = None if answer is None else expected_of(request, answer, contract)
            if expected is not None:
                rows.add(request, expected[0])
                marks.put({record.id: expected[0] for record in request.same})
                done.append(request)
                continue
            wrong = "that is not one of the choices" if answer is None else "the task's contract doesn't accept that"
            if not is_terminal(sys.stdin):
                # whoever pipes answers in has lost count, and the rest would answer other questions
                raise ConfigError(f"answer {len(done) + 1:,}: {wrong}", hint="those before it are kept")
            output.say(f"{wrong[0].upper()}{wrong[1:]}.")


def _answer(request: UnresolvedRequest, said: str) -> str | None:
    """The answer that a person means; `None` if the line isn't one."""
    if said.startswith("="):
        return said[1:].strip() or None
    if said.isascii() and said.isdigit() and 1 <= int(said) <= len(request.answers):
        return request.answers[int(said) - 1]
    return None


def _line(request: UnresolvedRequest) -> str | None:
    """The next line of the person's; `None` at the end of input."""
    count = len(request.answers)
    choice = f"{'[1]' if count == 1 else f'[1]-[{count}]'} this is right  " if count else ""
    ask(f"{choice}[= TEXT] the right answer is TEXT  [s] skip  [u] undo  [q] stop: ")
    line = sys.stdin.readline()
    return line.strip() if line else None


def _shown(request: UnresolvedRequest, left: int) -> str:
    record = request.record
    began = datetime.fromtimestamp(record.at / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    by = f", asked by {record.caller}" if record.caller else ""
    alone = len(request.turns) == 1
    turns = [turn.text if alone else f"{turn.role}: {turn.text}" for turn in request.turns]
    answers = [f"{number}: {text}" for number, text in enumerate(request.answers, 1)] or ["(no tier gave an answer)"]
    head = f"--- {left:,} left: {record.id}, {began} UTC{by}, {record.reason}"
    return "\n".join(["", head, "", *turns, "", *answers, ""])

"""`rung ledger`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rung.cli.options import Json

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.config.ledger import LedgerConfig
    from rung.learn.watching import Watched
    from rung.ledger import LedgerFile, RequestRecord

_DAY = 86_400

_Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Use the ledger of this configuration and no other.")
]
_Task = Annotated[str | None, typer.Option("--task", metavar="NAME", help="Only requests of this task.")]
_Days = Annotated[
    float | None, typer.Option("--days", metavar="DAYS", min=0, help="Only requests of the last DAYS days.")
]
_By = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Only requests of who asked a server by this name.")
]


def commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(rich_markup_mode=None, epilog="Example: rung ledger list --left")
    group.callback()(_ledger)
    for function, name, says, example in (
        (list_, "list", "List requests.", "rung ledger list --left"),
        (show, "show", "Show everything about a request.", "rung ledger show 01m85f6n"),
        (
            label,
            "label",
            "Give unresolved requests their right answers.",
            "rung ledger label answers.jsonl --task intent",
        ),
        (stats, "stats", "Show sums per task and tier, and the money.", "rung ledger stats --days 30"),
        (export, "export", "Print requests as JSON lines.", "rung ledger export --format chat > tune.jsonl"),
        (purge, "purge", "Forget requests.", "rung ledger purge --older-than 90"),
    ):
        command: Callable[..., int | None] = function
        group.command(name, short_help=says, epilog=f"Example: {example}")(command)
    return group


def _ledger() -> None:
    """Show what was asked, what answered, what left this machine and what it cost. RUNG_LEDGER names the file."""


def list_(
    context: typer.Context,
    task: _Task = None,
    days: _Days = None,
    left: Annotated[bool, typer.Option("--left", help="Only requests that left this machine, or may have.")] = False,
    unresolved: Annotated[
        bool,
        typer.Option(
            "--unresolved",
            help="Only requests without an accepted answer and without a label: what a person has to look at.",
        ),
    ] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="With --unresolved: those that a person has labelled, too.")
    ] = False,
    by: _By = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Show at most N.")] = 20,
    json: Json = False,
    config: _Config = None,
) -> None:
    """List requests, latest first."""
    from rung.cli import receipts
    from rung.errors import ConfigError
    from rung.ledger import as_object, requests

    if all_ and not unresolved:
        raise ConfigError("--all goes with --unresolved", hint="--limit N shows more requests")
    with _opened(config) as (_, file):
        wanted = {"left_machine": left, "unresolved": unresolved, "labelled": all_}
        found = requests(file, limit=limit, task=task, since=_since(days), caller=by, **wanted) if file else []
    output: Output = context.obj.output
    if output.json:
        output.object({"status": "ok", "requests": [as_object(r) for r in found]})
    elif found:
        output.answer(receipts.listing(found))
    else:
        output.say(
            "no request is recorded"
            if not (task or days or left or unresolved or by)
            else "no such request is recorded"
        )


def show(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[ID]", help="The request, or the beginning of its ID; by default the latest.")
    ] = "",
    json: Json = False,
    config: _Config = None,
) -> None:
    """Show what was tried and why. If the request left this machine: who allowed it, and what was sent."""
    from rung.cli import receipts
    from rung.ledger import as_object

    with _opened(config) as (_, file):
        record = one(file, name)
    output: Output = context.obj.output
    if output.json:
        output.object({"status": "ok", "why_it_left": receipts.why_it_left(record), "request": as_object(record)})
    else:
        output.answer(receipts.receipt(record))


def label(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The rows to add to: JSON lines for `rung eval` and `rung calibrate`."),
    ],
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Requests of this task; without it, those of none.")
    ] = None,
    days: _Days = None,
    by: _By = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also requests with a label, unless it is in FILE: to label them anew.")
    ] = False,
    json: Json = False,
    config: _Config = None,
) -> None:
    """Show requests that no tier could answer, latest first, and keep the right answers that you give. They are rows of
    data, and requests that have one aren't shown again. The ledger needs their prompts: content = true under [ledger].
    """
    from rung.cli.unresolved import label_unresolved
    from rung.errors import ConfigError

    output: Output = context.obj.output
    with _opened(config) as (_, file):
        if file is None:
            raise ConfigError("no request is recorded", hint="`rung config show` says where the ledger is")
        told = label_unresolved(
            file, data, task=task, since=_since(days), caller=by, again=all_, config=config, output=output
        )
    if output.json:
        output.object({"status": "ok", **told.as_object()})
        return
    output.answer(told.sentence)
    for note in told.notes:
        output.say(f"note: {note}")


def stats(context: typer.Context, days: _Days = None, json: Json = False, config: _Config = None) -> None:
    """Sum up, per task and tier, how often an answer was accepted or sent up, how long it took and what it cost."""
    from rung.cli import sums
    from rung.ledger import spending, statistics
    from rung.ledger.budgets import Budgets

    output: Output = context.obj.output
    with _opened(config) as (settings, file):
        if file is None:
            if output.json:
                output.object({"status": "ok", "statistics": None, "budgets": []})
            else:
                output.say("no request is recorded")
            return
        budgets = Budgets(settings.money_per_day.value, settings.money_per_month.value)
        with file.snapshot() as connection:
            spans = spending(connection, budgets, time.time())
        found = statistics(file, _since(days) or 0)
        use = _watched(file, config)
    if output.json:
        output.object({"status": "ok", **sums.as_object(found, spans, use)})
    else:
        output.answer(sums.told(found, spans, use))


def _watched(file: LedgerFile, config: Path | None) -> list[Watched]:
    """The tasks with shadows, each with what its use says about its promise."""
    from rung.config import load
    from rung.errors import ConfigError
    from rung.learn.learned import CALIBRATED
    from rung.learn.use import read_use, tasks_in_use
    from rung.learn.watching import watch

    tasks = load(config).tasks
    watched = []
    for name in tasks_in_use(file):
        use = read_use(file, name, time.time())
        if use is None:
            continue
        promise = None
        with suppress(ConfigError):  # a task that can't be read has no promise
            folder = tasks.find(name)
            in_force = use.threshold is not None and use.threshold.origin.startswith(CALIBRATED)
            promise = folder.learned.promise if folder is not None and in_force else None
        watched.append(watch(use, promise))
    return watched


def export(
    context: typer.Context,
    format_: Annotated[
        Literal["jsonl", "chat"],
        typer.Option(
            "--format",
            help="jsonl: everything that is held. chat: conversations to fine-tune a smaller tier with, made of "
            "accepted answers to prompts that it failed.",
        ),
    ] = "jsonl",
    task: _Task = None,
    days: _Days = None,
    json: Json = False,
    config: _Config = None,
) -> None:
    """Print requests to stdout, one JSON object a line, oldest first."""
    import json as jsons

    from rung.errors import LedgerError
    from rung.ledger import as_object, chats, content_held, requests

    with _opened(config) as (_, file):
        if format_ == "chat" and (file is None or not content_held(file)):
            raise LedgerError(
                "the ledger holds no prompts and answers",
                hint="set content = true under [ledger] in rung.toml; from then on they are kept",
            )
        found = requests(file, task=task, since=_since(days))[::-1] if file else []
    rows = list(chats(found)) if format_ == "chat" else [as_object(r) for r in found]
    output: Output = context.obj.output
    if output.json:
        output.object({"status": "ok", "format": format_, "rows": rows})
        return
    if rows:
        output.answer("\n".join(jsons.dumps(row, ensure_ascii=False) for row in rows))
    if format_ == "chat":
        output.say(f"{len(rows)} of {len(found)} requests were answered by a tier above one that failed")


def purge(
    context: typer.Context,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="Only requests that began more than DAYS days ago."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Whatever its age.")] = False,
    content: Annotated[
        bool, typer.Option("--content", help="Only prompts and answers; the rest of the record stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
    config: _Config = None,
) -> int:
    """Delete requests, or only their prompts and answers. The sums that this month's budgets count stay."""
    from rung.errors import ConfigError
    from rung.ledger.purging import Purged
    from rung.ledger.purging import purge as forget

    if (older_than is not None) == everything:
        raise ConfigError("what to purge is not said", hint="give either --older-than DAYS or --all")
    output: Output = context.obj.output
    with _opened(config) as (_, file):
        if file is None:
            gone = Purged(0, 0)
        else:
            what = "the prompts and answers of " if content else ""
            age = "every request" if older_than is None else f"the requests of more than {older_than:g} days ago"
            if not yes and not _agreed(output, f"Delete {what}{age} in {file.path}? [y]es, [n]o: "):
                output.say("nothing was purged")
                return 1
            gone = forget(file, time.time(), older_than_days=older_than or 0, content_only=content)
    if output.json:
        output.object({"status": "ok", "requests": gone.requests, "contents": gone.contents})
    else:
        output.say(f"deleted {gone.requests:,} requests, and the prompts and answers of {gone.contents:,}")
    return 0


@contextmanager
def _opened(config: Path | None) -> Iterator[tuple[LedgerConfig, LedgerFile | None]]:
    """The ledger's settings and its file, with expired content deleted; `None` if there is no file yet."""
    from rung import guard
    from rung.config import load
    from rung.errors import LedgerError
    from rung.ledger import LedgerFile
    from rung.ledger.purging import expire
    from rung.types import Zone

    guard.install(Zone.HOST)
    settings = load(config).ledger
    if not settings.path.value.exists():
        yield settings, None
        return
    with LedgerFile(settings.path.value) as file:
        # a user who may only read the file can still read it; a worse fault is reported by the read
        with suppress(LedgerError), file.transaction() as connection:
            expire(connection, time.time())
        yield settings, file


def _since(days: float | None) -> int | None:
    return None if days is None else int((time.time() - days * _DAY) * 1000)


def one(file: LedgerFile | None, name: str, *, answered: bool = False) -> RequestRecord:
    """The request with this name, or whose name begins with it; the latest if none is given.

    Args:
        file: the ledger's; `None` if there is none yet.
        name: as the user typed it.
        answered: whether the latest means the latest with an accepted answer.

    Raises:
        ConfigError: there is none, or several names begin like this.
    """
    from rung.errors import ConfigError
    from rung.ledger import find, requests

    found = [] if file is None else find(file, name) if name else requests(file, limit=1, answered=answered)
    if not found:
        what = "no answered request is recorded" if answered else "no request is recorded"
        said = f"no recorded request's ID begins with {name!r}" if name else what
        raise ConfigError(said, hint="see `rung ledger list`")
    if len(found) > 1:
        raise ConfigError(f"several IDs begin with {name!r}: {', '.join(r.id for r in found)}", hint="give more of it")
    return found[0]


def _agreed(output: Output, question: str) -> bool:
    """Whether the person at the terminal agrees.

    Raises:
        ConfigError: there is nobody to ask.
    """
    from rung.console import ask, is_terminal
    from rung.errors import ConfigError

    if output.json or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise ConfigError("nobody is at a terminal to be asked", hint="add --yes")
    ask(question)
    return sys.stdin.readline().strip().lower() in ("y", "yes")

"""`rung ask --continue`: the conversation that a question continues."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from rung.config.ledger import LedgerConfig
    from rung.types import Message

_OPTION = "--continue"
_ID = re.compile(r"0[0-9a-hjkmnp-tv-z]{3,17}", re.IGNORECASE)
"""The name of a request, or the beginning of one. Every name begins with a 0 until the year 3084."""


class AskCommand(TyperCommand):
    """A command whose `--continue` may stand without a value. The next word is its value if it looks like the name of a
    request, and the prompt otherwise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command."""
        end = args.index("--") if "--" in args else len(args)
        words = [
            f"{_OPTION}=" if word == _OPTION and not (at + 1 < end and _ID.fullmatch(args[at + 1])) else word
            for at, word in enumerate(args[:end])
        ]
        return super().parse_args(ctx, [*words, *args[end:]])


def goes_on(
    settings: LedgerConfig, name: str, question: str | dict[str, str], system: str | None
) -> tuple[str, tuple[Message, ...]]:
    """The request to continue from, and its conversation followed by its answer and the new question.

    Args:
        settings: of the ledger.
        name: of the request, or its beginning; empty means the latest request that was answered.
        question: the new question.
        system: a new system turn.

    Raises:
        ConfigError: there is no such request, the ledger doesn't have its conversation, both have a system turn, or
            the question is made from a template.
        LedgerError: the ledger can't be read.
    """
    from rung.cli.ledger import one
    from rung.errors import ConfigError
    from rung.ledger import LedgerFile, conversation
    from rung.types import Message

    if not isinstance(question, str):
        raise ConfigError("--continue needs a prompt of its own, but the task has a template", hint="leave out --task")
    if settings.path.value.exists():
        with LedgerFile(settings.path.value) as file:
            record = one(file, name, answered=True)
    else:
        record = one(None, name, answered=True)
    turns = conversation(record)
    if system and turns[0].role == "system":
        raise ConfigError(f"the request {record.id} already has a system turn", hint="leave out --system, or ask anew")
    return record.id, (*turns, Message("user", question))

"""Asking a person at a terminal whether a prompt may leave this machine."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO

from rung.console import ask, is_terminal, write
from rung.types import Hop
from rung.visible import ascii_, line

_TRIES = 3
_LONGEST = 80
"""Characters of a tier's name that are shown. A longer name would push the host and the cost off the screen."""
_CONSOLE = "CONIN$" if sys.platform == "win32" else "/dev/tty"


class Terminal:
    """Consent of the person at the terminal. `always` holds until the command ends.

    Args:
        keyboard: opens the stream from which the answer is read.
    """

    origin = "the person at the terminal"

    def __init__(self, keyboard: Callable[[], AbstractContextManager[TextIO]]) -> None:
        self._keyboard = keyboard
        self._always: set[str] = set()

    def __call__(self, hop: Hop) -> bool:
        """Whether the person lets the prompt go. The end of input counts as a no. Nobody is asked about a shadow."""
        if hop.tier in self._always:
            return True
        if hop.shadow:
            return False
        ask(_question(hop))
        with self._keyboard() as keyboard:
            for _ in range(_TRIES):
                write("Send it? [y]es, [n]o, [a]lways in this session: ")
                line = keyboard.readline()
                if not line:
                    write("\n")
                    return False
                said = line.strip().lower()
                if said in ("a", "always"):
                    self._always.add(hop.tier)
                if said in ("y", "yes", "a", "always"):
                    return True
                if said in ("n", "no"):
                    return False
        return False


class Nobody:
    """Refuses in place of a person if there is no terminal."""

    origin = "nobody at a terminal"

    def __call__(self, hop: Hop) -> bool:
        """Refuse."""
        return False


def terminal() -> Terminal | None:
    """A person to ask; `None` if nobody would see the question, or nobody could answer it."""
    if not is_terminal(sys.stderr):
        return None
    if is_terminal(sys.stdin):
        return Terminal(lambda: nullcontext(sys.stdin))
    try:
        _console().close()
    except OSError:
        return None
    return Terminal(_console)


def _console() -> TextIO:
    """The terminal itself. It can be opened even if stdin carries the prompt."""
    return Path(_CONSOLE).open(encoding="utf-8", errors="replace")


def _name(tier: str) -> str:
    """A tier's name in quotes, on one line. Letters of other scripts are shown, unless the script runs from right to
    left.
    """
    short = tier if len(tier) <= _LONGEST else f"{tier[:_LONGEST]}…"
    leftward = any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in short)
    return ascii(short) if leftward else line(repr(short))


def _question(hop: Hop) -> str:
    # The person decides by these words. A name that reverses the direction of writing could show another host, or swap
    # the figures after it.
    where = f"{ascii_(hop.destination)} ({hop.zone})" if hop.destination else f"the zone {hop.zone}"
    cost = "no price is known" if hop.max_cost is None else f"at most ${hop.max_cost:f}"
    answer = ", the rejected answer included" if hop.sends_answer else ""
    masked = ", private values masked" if hop.redacted else ""
    before = f"Tried: {line('; '.join(hop.reasons))}.\n" if hop.reasons else ""
    return (
        f"{before}The tier {_name(hop.tier)} would send this prompt to {where}: "
        f"{hop.characters:,} characters{answer}{masked}; {cost}.\n"
    )

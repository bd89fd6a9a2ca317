"""The person at the terminal: whether there is one, and what is written to them beside the answer."""

from __future__ import annotations

import sys
from typing import TextIO

from rung.visible import plain


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody reads along."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def ask(question: str) -> None:
    """Write a question to stderr, with the cursor behind it."""
    write(plain(question))


def write(text: str) -> None:
    """Write to stderr as it stands, which is for text of our own. Nobody need hold the other end of stderr."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass

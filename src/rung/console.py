"""The person at the terminal: whether there is one, and what they are told besides the answer."""

from __future__ import annotations

import sys
from typing import TextIO

from rung.visible import plain


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be reading."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def ask(question: str) -> None:
    """Write a question to stderr, and leave the cursor behind it."""
    write(plain(question))


def write(text: str) -> None:
    """Write our own text to stderr, unchanged. It does no harm if nobody holds the other end."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass

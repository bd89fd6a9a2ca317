"""Where text goes: answers to stdout, everything else to stderr, and no control sequence of a model to a terminal."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from rung.console import is_terminal, write
from rung.visible import json_escaped, plain


@dataclass(frozen=True, slots=True)
class Output:
    """The two streams of a command.

    Args:
        json: whether the answer is one JSON object.
    """

    json: bool

    @property
    def talks(self) -> bool:
        """Whether stderr is a terminal, so that showing progress makes sense."""
        return is_terminal(sys.stderr)

    def answer(self, text: str) -> None:
        """Write the answer to stdout: byte for byte into a pipe or file, with control characters escaped on a terminal.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        if sys.stdout is None:
            return
        if is_terminal(sys.stdout):
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(plain(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        else:
            # bytes, because the encoding of a pipe depends on the system and its locale
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
        sys.stdout.flush()

    def value(self, value: Any) -> None:
        """Write a value to stdout: a string as it is, anything else as JSON, on one line or indented for a reader."""
        if isinstance(value, str):
            self.answer(value)
        else:
            self.object(value)

    def object(self, value: Any) -> None:
        """Write JSON to stdout."""
        if is_terminal(sys.stdout):
            self.answer(json_escaped(json.dumps(value, ensure_ascii=False, indent=2)))
        else:
            self.answer(json.dumps(value, ensure_ascii=False))

    def say(self, text: str) -> None:
        """Write lines to stderr."""
        write(f"{plain(text)}\n")


def silence_stdout() -> None:
    """Redirect a closed stdout to nowhere, so that the interpreter's exit doesn't fail on what is left to write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

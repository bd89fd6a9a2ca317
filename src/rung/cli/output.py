"""Where text goes: answers to stdout, everything else to stderr, and nothing to a terminal that could steer it."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import Any, TextIO

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def plain(text: str) -> str:
    r"""Text that can't steer a terminal: every control character but newline and tab becomes visible, as `\x1b`."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", text.replace("\r\n", "\n"))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody reads along."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


@dataclass(frozen=True, slots=True)
class Output:
    """The two streams of a command.

    Args:
        json: whether the answer is one JSON object.
    """

    json: bool

    @property
    def talks(self) -> bool:
        """Whether stderr is a terminal, so that progress is of use."""
        return is_terminal(sys.stderr)

    def answer(self, text: str) -> None:
        """Write the answer to stdout: byte for byte into a pipe or file, made harmless on a terminal.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        if sys.stdout is None:
            return
        if is_terminal(sys.stdout):
            sys.stdout.write(plain(text) + "\n")
        else:
            # bytes, because a pipe's encoding hangs on the system and its locale
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
        sys.stdout.flush()

    def value(self, value: Any) -> None:
        """Write a value to stdout: a string as it is, anything else as JSON, on one line or laid out for a reader."""
        if isinstance(value, str):
            self.answer(value)
        else:
            self.object(value)

    def object(self, value: Any) -> None:
        """Write JSON to stdout."""
        self.answer(json.dumps(value, ensure_ascii=False, indent=2 if is_terminal(sys.stdout) else None))

    def say(self, text: str) -> None:
        """Write lines to stderr."""
        write(f"{plain(text)}\n")


def write(text: str) -> None:
    """Write to stderr as it stands. A stderr that nobody holds is no reason to fail."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def silence_stdout() -> None:
    """Send what is left for a closed stdout nowhere, so that the interpreter's end doesn't stumble over it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

"""An input, and what makes and runs inputs of one kind."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True)
class Case:
    """One input.

    Args:
        target: who runs it.
        how: how it is run, as JSON: which contract, which reply. `times`, where it is there, says how often the data
            stand one after the other, so that a case of megabytes is a small file.
        data: the bytes that a reduction makes fewer.
    """

    target: str
    how: dict[str, Any]
    data: bytes

    def dump(self) -> bytes:
        """The case as a file: a line of JSON, then the data as they are."""
        return json.dumps({"target": self.target, "how": self.how}).encode() + b"\n" + self.data

    @classmethod
    def load(cls, content: bytes) -> Case:
        """The case in a file."""
        head, _, data = content.partition(b"\n")
        said = json.loads(head)
        return cls(said["target"], said["how"], data)

    @property
    def whole(self) -> bytes:
        """The data, as often as they are wanted."""
        return self.data * int(self.how.get("times", 1))

    @property
    def text(self) -> str:
        """The data as text; a lone surrogate stays one, and what a reduction cut in the middle becomes U+FFFD."""
        try:
            return self.whole.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return self.whole.decode("utf-8", "replace")


def as_bytes(text: str) -> bytes:
    """The text as the data of a case."""
    return text.encode("utf-8", "surrogatepass")


class Target(Protocol):
    """What is fuzzed. It is made both by the driver, which asks it for inputs, and by the worker, which runs them."""

    name: ClassVar[str]

    def make(self, dice: random.Random) -> Case:
        """An input; the same for the same dice. Imports nothing of rung."""

    def prepare(self, folder: Path) -> None:
        """Get ready to run, in the worker.

        Args:
            folder: an empty one, for files.
        """

    def run(self, case: Case) -> bool:
        """Give the input to rung; whether a value came of it, and not a refusal.

        Raises:
            RungError: a refusal.
            Refusal: one that is ours too, where no `RungError` can be raised.
            Broken: what came back is not what was promised.
        """


class Refusal(Exception):
    """The input was refused as it should be, by something other than a `RungError`."""


class Broken(Exception):
    """A result that breaks a promise; the message says which, and is the same for the same fault."""

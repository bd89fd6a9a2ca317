"""Examples that the tiers of a task may be shown: whole prompts with good answers, in `examples.json` beside the task.

They are the user's own texts. Only its owner can read the file, and a kit doesn't include it. `learned.json` has only
hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rung.errors import ConfigError
from rung.files import read_bounded
from rung.learn.data import normal
from rung.learn.similarity import SimilarTexts
from rung.parsing import parse_json
from rung.settings import SettingsTable, read
from rung.types import Example, Message, Shown
from rung.writing import write_whole

NAME = "examples.json"
SHOWN = 4
"""Most examples in a prompt."""
MOST = 400
"""Examples of a tier. To find the most similar among this many takes a millisecond."""
LONGEST = 1_000
"""Bytes of one example. A prompt then has room for two of the longest (`rung.engine.forming.LONGEST_EXAMPLES`)."""
_BYTES = 16 << 20
"""Bytes of the file. Ten tiers take a quarter of it at most."""


class ExampleEntry(SettingsTable):
    """One example.

    Args:
        id: short name, by which it can be removed.
        asked: text of the user's turn.
        answer: the answer, as a JSON value.
        source: where it comes from.
        request: id of the request, if it comes from the ledger.
        date: when it was added, as in 2026-11-26.
        waiting: whether it isn't shown yet, but waits for the next calibration.
        fixed: whether a form with fixed examples shows it.
    """

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    asked: str
    answer: Any
    source: Literal["data", "ledger"]
    request: str = ""
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    waiting: bool = False
    fixed: bool = False

    @classmethod
    def of(cls, example: Example, **more: Any) -> ExampleEntry:
        """Make an entry from an example.

        Args:
            example: the example.
            more: the other fields.
        """
        name = hashlib.sha256(json.dumps([example.asked, example.answer]).encode()).hexdigest()[:8]
        return cls(id=name, asked=example.asked, answer=example.answer, **more)


class Examples:
    """The examples of one tier.

    Args:
        entries: all of them.
    """

    def __init__(self, entries: Sequence[ExampleEntry] = ()) -> None:
        self.entries = tuple(entries)

    @cached_property
    def shown(self) -> tuple[ExampleEntry, ...]:
        """The entries that may be shown."""
        return tuple(entry for entry in self.entries if not entry.waiting)

    @property
    def waiting(self) -> tuple[ExampleEntry, ...]:
        """The entries that wait for a calibration."""
        return tuple(entry for entry in self.entries if entry.waiting)

    @cached_property
    def sha256(self) -> str:
        """The fixed ones among those that may be shown."""
        what = [[entry.asked, entry.answer, entry.fixed] for entry in self.shown]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    @cached_property
    def _texts(self) -> SimilarTexts:
        return SimilarTexts([entry.asked for entry in self.shown])

    @cached_property
    def _wordings(self) -> dict[str, set[int]]:
        """Finds examples by what they ask."""
        found: dict[str, set[int]] = {}
        for place, entry in enumerate(self.shown):
            found.setdefault(normal(entry.asked), set()).add(place)
        return found

    def pick(self, which: Shown, asked: str, without: Iterable[int] = ()) -> tuple[Example, ...]:
        """The examples for a prompt, the most similar one last. An example that asks the same is left out, because a
        model must not have been shown the answer.

        Args:
            which: the fixed ones, or the most similar.
            asked: text of the user's turn.
            without: indices of examples to leave out.
        """
        left_out = {*without, *self._wordings.get(normal(asked), ())}
        if which == "fixed":
            places = [n for n, entry in enumerate(self.shown) if entry.fixed and n not in left_out][:SHOWN]
        else:
            places = self._texts.nearest(asked, SHOWN, left_out)[::-1]
        return tuple(Example(self.shown[place].asked, self.shown[place].answer) for place in places)

    def has(self, asked: str) -> bool:
        """Whether an example asks this, whether it may be shown or waits."""
        return normal(asked) in self._every_wording

    @cached_property
    def _every_wording(self) -> frozenset[str]:
        return frozenset(normal(entry.asked) for entry in self.entries)

    def admitted(self) -> Examples:
        """These examples, with the waiting ones allowed to be shown."""
        return Examples([entry.model_copy(update={"waiting": False}) for entry in self.entries])


class ExampleTable(SettingsTable):
    """A whole `examples.json`.

    Args:
        version: of its format.
        tiers: the examples by tier.
    """

    version: Literal[1] = 1
    tiers: dict[str, tuple[ExampleEntry, ...]] = {}

    def of(self, tier: str) -> Examples:
        """The examples of a tier."""
        return Examples(self.tiers.get(tier, ()))

    def asks(self, messages: Sequence[Message]) -> bool:
        """Whether an example of any tier, shown or waiting, asks the same as a request."""
        asked = asked_in(messages)
        return asked is not None and any(examples.has(asked) for examples in self._every)

    @cached_property
    def _every(self) -> tuple[Examples, ...]:
        return tuple(self.of(tier) for tier in self.tiers)

    def having(self, tier: str, entries: Iterable[ExampleEntry]) -> ExampleTable:
        """This table with other examples for a tier."""
        tiers = {**self.tiers, tier: tuple(entries)}
        return self.model_copy(update={"tiers": {name: kept for name, kept in tiers.items() if kept}})

    def without(self, ids: Mapping[str, Any] | Iterable[str]) -> ExampleTable:
        """This table without the examples with these ids, of any tier."""
        gone = set(ids)
        tiers = {tier: tuple(e for e in entries if e.id not in gone) for tier, entries in self.tiers.items()}
        return self.model_copy(update={"tiers": {name: kept for name, kept in tiers.items() if kept}})

    def write(self, folder: Path) -> None:
        """Write the table into a task's folder, whole or not at all, readable only by its owner.

        Args:
            folder: of the task.

        Raises:
            ConfigError: it can't be written.
        """
        path = folder / NAME
        try:
            if self.tiers or path.exists():
                content = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)
                write_whole(path, content.encode() + b"\n")
        except OSError as error:
            raise ConfigError(f"{path} can't be written: {(error.strerror or str(error)).lower()}") from None


def read_examples(folder: Path) -> ExampleTable:
    """Read the examples of a folder's task; empty if it has no `examples.json`.

    Raises:
        ConfigError: the file can't be read, or is malformed.
    """
    path = folder / NAME
    if not path.exists():
        return ExampleTable()
    values = parse_json(read_bounded(path, _BYTES, "the examples"), str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no examples", hint="move it away, and run `rung tune` anew")
    return read(ExampleTable, values, str(path))


def asked_in(messages: Sequence[Message]) -> str | None:
    """The text that an example would ask: that of the only turn besides the system's; `None` if there are several.

    Args:
        messages: of a request.
    """
    turns = [message for message in messages if message.role != "system"]
    alone = len(turns) == 1 and turns[0].role == "user" and isinstance(turns[0].content, str)
    return turns[0].text if alone else None


def admissible(found: Iterable[Example]) -> tuple[list[Example], int, int]:
    """Those that may become examples, each asked once; the number of those that contradict another; and the number of
    those that are too long.

    If two examples ask the same and answer differently, they teach nothing, so neither is kept.

    Args:
        found: with good answers.
    """
    by_wording: dict[str, list[Example]] = {}
    long = 0
    for example in found:
        size = len(example.asked.encode("utf-8", "replace")) + len(json.dumps(example.answer))
        if size > LONGEST:
            long += 1
        else:
            by_wording.setdefault(normal(example.asked) or example.asked, []).append(example)
    kept, contradictory = [], 0
    for same in by_wording.values():
        if len({json.dumps(example.answer, sort_keys=True) for example in same}) > 1:
            contradictory += len(same)
        else:
            kept.append(same[0])
    return kept[:MOST], contradictory, long

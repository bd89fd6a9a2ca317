"""Asking the person at the page whether a prompt may leave this machine."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rung.limits import Cancel
from rung.types import Hop

_SECONDS = 120.0
"""Seconds that a question waits for its answer. After that it counts as refused. A person needs less to read it, and
the waiting client has its own timeout."""

_MOST = 20
"""Most open questions per person. Nobody reads more, so further ones are refused."""


@dataclass(slots=True)
class _Question:
    """A question that waits for its answer.

    Args:
        caller: who sent the prompt.
        hop: what is asked.
        said: set once the question is answered, or nobody waits for the answer.
        yes: the answer.
    """

    caller: str
    hop: Hop
    said: threading.Event = field(default_factory=threading.Event)
    yes: bool = False


@dataclass(frozen=True, slots=True)
class _Person:
    """A consent that asks the caller at their page."""

    questions: PageQuestions
    caller: str
    cancel: Cancel

    @property
    def origin(self) -> str:
        """Names the person who decides about a hop."""
        return f"{self.caller} at the page"

    def __call__(self, hop: Hop) -> bool:
        """Whether the person lets the prompt leave."""
        return self.questions.ask(self.caller, hop, self.cancel)


class PageQuestions:
    """Questions to the people who have a page open. Each is asked only about their own prompts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Question] = {}
        self._watching: Counter[str] = Counter()
        self._closed = False

    def person(self, caller: str, cancel: Cancel) -> _Person:
        """A consent that asks the caller of a request.

        Args:
            caller: their name.
            cancel: of the request. It ends the wait.
        """
        return _Person(self, caller, cancel)

    @contextmanager
    def watching(self, caller: str) -> Iterator[None]:
        """A block during which a caller has their page open."""
        with self._lock:
            self._watching[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._watching[caller] -= 1

    def ask(self, caller: str, hop: Hop, cancel: Cancel) -> bool:
        """Ask, and wait for the answer. If the caller has no page open, the question is refused at once."""
        question, name = _Question(caller, hop), secrets.token_hex(8)
        with self._lock:
            mine = sum(it.caller == caller for it in self._open.values())
            if self._closed or not self._watching[caller] or mine >= _MOST:
                return False
            self._open[name] = question
        forget = cancel.on_set(question.said.set)
        try:
            question.said.wait(_SECONDS)
        finally:
            forget()
            with self._lock:
                self._open.pop(name, None)
        return question.yes

    def answer(self, caller: str, name: str, yes: bool) -> bool:
        """Answer a question. Returns whether it was still open.

        Args:
            caller: who answers.
            name: of the question.
            yes: whether the prompt may leave.
        """
        with self._lock:
            question = self._open.get(name)
            if question is None or question.caller != caller or question.said.is_set():
                return False
            question.yes = yes
            question.said.set()
            return True

    def of(self, caller: str) -> list[Mapping[str, Any]]:
        """The open questions to a caller, oldest first."""
        with self._lock:
            return [_told(name, it.hop) for name, it in self._open.items() if it.caller == caller]

    def close(self) -> None:
        """Refuse every question, now and later."""
        with self._lock:
            self._closed = True
            for question in self._open.values():
                question.said.set()


def _told(name: str, hop: Hop) -> Mapping[str, Any]:
    return {
        "id": name,
        "tier": hop.tier,
        "zone": str(hop.zone),
        "destination": hop.destination,
        "max_cost_usd": None if hop.max_cost is None else f"{hop.max_cost:f}",
        "characters": hop.characters,
        "sends_answer": hop.sends_answer,
        "reasons": list(hop.reasons),
        "redacted": hop.redacted,
    }

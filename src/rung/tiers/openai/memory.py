"""What this process has found out about an endpoint. What an endpoint refused once isn't sent to it again."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace

from rung.tiers.openai.body import Dialect, Form, shape_key
from rung.types import Shape

_ENDPOINTS = 1024
_SHAPES = 256
"""Shapes of one model whose refused forms are kept. An app has fewer outputs."""


class Memory:
    """What was found out about one model at one endpoint. Safe from any thread.

    `unstreamed` tells whether it answered in one piece although a stream was requested.
    """

    def __init__(self) -> None:
        self.unstreamed = False
        self._lock = threading.Lock()
        self._found: Dialect | None = None
        self._forms: dict[str, Form] = {}
        self._failed: set[str] = set()

    def dialect(self, configured: Dialect) -> Dialect:
        """How to ask the endpoint: as the settings say, without what it has refused."""
        with self._lock:
            found = self._found
        if found is None:
            return configured
        return replace(
            configured,
            dropped=configured.dropped | found.dropped,
            token_limit=found.token_limit if found.renamed else configured.token_limit,
            renamed=found.renamed,
            merges_system=configured.merges_system or found.merges_system,
            most_tokens=found.most_tokens,
            room=found.room,
        )

    def form(self, configured: Dialect, shape: Shape | None) -> Form:
        """How to send a shape: in the best form that it hasn't refused."""
        best = configured.forms(shape)[0]
        if shape is None:
            return best
        with self._lock:
            return self._forms.get(_key(configured, shape), self._forms.get(_key(configured, None), best))

    def learn(self, dialect: Dialect) -> None:
        """The endpoint answered when it was asked like this."""
        with self._lock:
            found = self._found
            if found is not None:
                # a call that began before another found something out doesn't undo that
                dialect = replace(
                    dialect,
                    dropped=dialect.dropped | found.dropped,
                    token_limit=dialect.token_limit if dialect.renamed else found.token_limit,
                    renamed=dialect.renamed or found.renamed,
                    merges_system=dialect.merges_system or found.merges_system,
                    most_tokens=dialect.most_tokens or found.most_tokens,
                    room=dialect.room or found.room,
                )
            self._found = dialect

    def learn_form(self, dialect: Dialect, shape: Shape, form: Form, *, always: bool, sure: bool) -> None:
        """The endpoint answered only when a shape was sent in this form.

        Args:
            dialect: how it was asked otherwise.
            shape: shape of the answer.
            form: form in which it was sent.
            always: whether the endpoint refused the field itself, and not only this shape.
            sure: whether it said that it refused the shape. If it only failed, that may have been chance, and counts
                from the second time on.
        """
        key = _key(dialect, None if always else shape)
        with self._lock:
            if not sure and key not in self._failed:
                self._failed.add(key)
                return
            self._failed.discard(key)
            self._forms[key] = form
            while len(self._forms) > _SHAPES:
                del self._forms[next(iter(self._forms))]
            while len(self._failed) > _SHAPES:
                self._failed.pop()


def _key(dialect: Dialect, shape: Shape | None) -> str:
    return f"{dialect.constraint} {'' if shape is None else shape_key(shape)}"


@functools.lru_cache(_ENDPOINTS)
def memory_of(endpoint: str, model: str) -> Memory:
    """What all tiers of one model at one endpoint have found out, for as long as the process lives.

    Args:
        endpoint: its base URL, with that of its proxy.
        model: the endpoint's name for the model.
    """
    return Memory()

"""Conversations that a later response may continue. They are kept in memory only, within bounds on number and size."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from rung.serve.errors import ApiError

Turns = tuple[Mapping[str, Any], ...]
"""The messages of a conversation, as in a chat completion."""

MOST = 200
"""Most conversations per caller. An agent continues its latest responses, and each holds the whole conversation."""

MOST_BYTES = 32 * 2**20
"""Most bytes of conversations per caller: a few hundred coding sessions, and little for even the smallest machine."""


class Conversations:
    """The latest conversations of each caller, by the id of the response that ends them. Used from one event loop.

    Args:
        most: the most conversations per caller.
        most_bytes: their most bytes in total. The oldest are evicted first.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[str, OrderedDict[str, tuple[Turns, int]]] = {}

    def keep(self, caller: str, name: str, turns: Sequence[Mapping[str, Any]]) -> None:
        """Store a conversation. A conversation larger than the bound isn't kept.

        Args:
            caller: whose it is.
            name: id of the response that ends it.
            turns: all its turns.
        """
        kept = self._kept.setdefault(caller, OrderedDict())
        kept[name] = (tuple(turns), len(json.dumps(turns)))
        while len(kept) > self._most or sum(size for _, size in kept.values()) > self._most_bytes:
            kept.popitem(last=False)

    def find(self, caller: str, name: str | None) -> Turns:
        """The conversation that a response ended; empty without a response.

        Args:
            caller: who asks. Callers can't find each other's conversations.
            name: id of the response; `None` begins a conversation.

        Raises:
            ApiError: no such conversation is kept for the caller.
        """
        if name is None:
            return ()
        kept = self._kept.get(caller, OrderedDict())
        if name not in kept:
            said = (
                "no response of this id is kept: the latest ones are, in memory, for the token that asked for them; "
                "send the whole conversation as the input"
            )
            raise ApiError(404, said, code="previous_response_not_found", param="previous_response_id")
        kept.move_to_end(name)
        return kept[name][0]

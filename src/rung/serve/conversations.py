"""Conversations that a later response may go on from. They are kept in memory alone, and within bounds."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from rung.serve.errors import ApiError

Turns = tuple[Mapping[str, Any], ...]
"""A conversation as the messages of a chat completion."""

MOST = 200
"""Conversations of one caller: an agent goes on from its latest responses, and each holds the whole way to it."""

MOST_BYTES = 32 * 2**20
"""Bytes of the conversations of one caller: some hundred coding sessions, and no load for the smallest machine."""


class Conversations:
    """The latest conversations of each caller, by the response that they end with. Used from one event loop.

    Args:
        most: conversations of one caller.
        most_bytes: of them together. The oldest are forgotten first.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[str, OrderedDict[str, tuple[Turns, int]]] = {}

    def keep(self, caller: str, name: str, turns: Sequence[Mapping[str, Any]]) -> None:
        """Keep a conversation. One that is larger than the bound isn't kept.

        Args:
            caller: in whose name.
            name: of the response that ends it.
            turns: all of it.
        """
        kept = self._kept.setdefault(caller, OrderedDict())
        kept[name] = (tuple(turns), len(json.dumps(turns)))
        while len(kept) > self._most or sum(size for _, size in kept.values()) > self._most_bytes:
            kept.popitem(last=False)

    def find(self, caller: str, name: str | None) -> Turns:
        """The conversation that a response ended; an empty one where none is named.

        Args:
            caller: who asks. Nobody finds the conversations of others.
            name: of the response.

        Raises:
            ApiError: none of that name is kept for the caller.
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

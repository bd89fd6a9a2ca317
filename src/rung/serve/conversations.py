"""Responses that can be asked for again, each with the conversation that a later one may continue. They are kept in
memory only, within bounds on number and size.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rung.serve.errors import ApiError

Turns = tuple[Mapping[str, Any], ...]
"""The messages of a conversation, as in a chat completion."""

MOST = 200
"""Most responses per caller. An agent continues its latest ones, and each holds the whole conversation."""

MOST_BYTES = 32 * 2**20
"""Most bytes of responses per caller: a few hundred coding sessions, and little for even the smallest machine."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response that is kept.

    Args:
        body: the response as JSON.
        turns: the conversation that it ends.
    """

    body: Mapping[str, Any] = field(repr=False)
    turns: Turns = field(repr=False)


class Conversations:
    """The latest responses of each caller, by their id. Used from one event loop.

    Args:
        most: the most responses per caller.
        most_bytes: their most bytes in total, conversations included. The oldest are evicted first.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[str, OrderedDict[str, tuple[StoredResponse, int]]] = {}

    def keep(self, caller: str, body: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> None:
        """Store a response. One that is larger than the bound isn't kept.

        Args:
            caller: whose it is.
            body: the response, with its `id`.
            turns: all turns of the conversation that it ends.
        """
        kept = self._kept.setdefault(caller, OrderedDict())
        kept[body["id"]] = (StoredResponse(body, tuple(turns)), len(json.dumps([body, turns])))
        while len(kept) > self._most or sum(size for _, size in kept.values()) > self._most_bytes:
            kept.popitem(last=False)

    def continued(self, caller: str, name: str | None) -> Turns:
        """The conversation that a response ended; empty without a response.

        Args:
            caller: who asks. Callers can't find each other's responses.
            name: id of the response; `None` begins a conversation.

        Raises:
            ApiError: no such response is kept for the caller.
        """
        if name is None:
            return ()
        found = self._find(caller, name)
        if found is None:
            said = f"{_UNKNOWN}; send the whole conversation as the input"
            raise ApiError(404, said, code="previous_response_not_found", param="previous_response_id")
        return found.turns

    def find(self, caller: str, name: str) -> StoredResponse:
        """A response.

        Args:
            caller: who asks.
            name: its id.

        Raises:
            ApiError: no such response is kept for the caller.
        """
        found = self._find(caller, name)
        if found is None:
            raise ApiError(404, _UNKNOWN, code="response_not_found")
        return found

    def forget(self, caller: str, name: str) -> None:
        """Delete a response. Those that continue it stay, with their own copy of the conversation.

        Args:
            caller: who asks.
            name: its id.

        Raises:
            ApiError: no such response is kept for the caller.
        """
        self.find(caller, name)
        del self._kept[caller][name]

    def _find(self, caller: str, name: str) -> StoredResponse | None:
        kept = self._kept.get(caller, OrderedDict())
        if name not in kept:
            return None
        kept.move_to_end(name)
        return kept[name][0]


_UNKNOWN = "no response of this id is kept: the latest ones are, in memory, for the token that asked for them"

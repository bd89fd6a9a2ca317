"""Cutting a list of choices that is longer than the prompt has room for.

Decoding allows each choice whatever the prompt says, so the prompt may list only those that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.types import Message, Shape


class Listing:
    """The choices that a conversation lists, if it lists all of them.

    Args:
        messages: the conversation.
        shape: the shape of the answer.
    """

    def __init__(self, messages: Sequence[Message], shape: Shape | None) -> None:
        self._messages = tuple(messages)
        self._choices = shape.choices if shape is not None and shape.kind == "choice" else ()
        self._whole = ", ".join(self._choices)
        self.listed = len(self._choices) if any(map(self._lists, messages)) else 0

    def cut(self, share: float) -> tuple[Message, ...] | None:
        """The conversation with at most this share of its listed choices, and at least one fewer than before; `None` if
        it would list none.

        Args:
            share: share of those that are listed now.
        """
        self.listed = min(self.listed - 1, int(self.listed * share))
        if self.listed < 1:
            return None
        some = f"{', '.join(self._choices[: self.listed])}, or another of the {len(self._choices):,} choices"
        return tuple(
            replace(m, content=m.text.replace(self._whole, some, 1)) if self._lists(m) else m for m in self._messages
        )

    @property
    def note(self) -> str:
        """A sentence for the trace."""
        return f"the prompt lists {self.listed:,} of the {len(self._choices):,} choices; each can be answered"

    def _lists(self, message: Message) -> bool:
        return bool(self._whole) and isinstance(message.content, str) and self._whole in message.content

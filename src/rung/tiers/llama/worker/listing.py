"""A list of choices that is longer than the prompt has room for.

Decoding lets through each of them whatever the prompt says, so the prompt may list what fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.types import Message, Shape


class Listing:
    """The choices that a conversation lists.

    Args:
        messages: the conversation.
        shape: what the answer is held to.
    """

    def __init__(self, messages: Sequence[Message], shape: Shape | None) -> None:
        self._messages = tuple(messages)
        self._choices = shape.choices if shape is not None and shape.kind == "choice" else ()
        self._whole = ", ".join(self._choices)
        self.listed = len(self._choices) if any(map(self._lists, messages)) else 0

    def cut(self, share: float) -> tuple[Message, ...] | None:
        """The conversation with no more of its choices than this share of them, and at least one fewer than before;
        `None` where it would list none.

        Args:
            share: of those that are listed now.
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
        """What is to be said of it."""
        return f"the prompt lists {self.listed:,} of the {len(self._choices):,} choices; each can be answered"

    def _lists(self, message: Message) -> bool:
        return bool(self._whole) and isinstance(message.content, str) and self._whole in message.content

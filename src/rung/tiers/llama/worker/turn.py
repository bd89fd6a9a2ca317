"""The choice of one answer's next token, which may be made on another thread than the loop's."""

from __future__ import annotations

from rung.tiers.llama.worker.answer import Answer
from rung.tiers.llama.worker.sampling import LogitsRow
from rung.types import Delta


class AnswerTurn:
    """The choice of an answer's next token, which another thread may make.

    Args:
        answer: the answer.
        row: the logits behind its last token.
    """

    __slots__ = ("_error", "_made", "_row", "answer")

    def __init__(self, answer: Answer, row: LogitsRow) -> None:
        self.answer = answer
        self._row = row
        self._made: Delta | None = None
        self._error: BaseException | None = None

    def take(self) -> None:
        """Make it now. What goes wrong is raised by `result`."""
        try:
            self._made = self.answer.advance(self._row)
        except BaseException as error:  # noqa: BLE001  a panic of the grammar's library is not even an Exception
            self._error = error

    def result(self) -> Delta:
        """What came of it."""
        if self._made is None and self._error is None:
            self.take()
        if self._error is not None:
            raise self._error
        if self._made is None:
            raise AssertionError("a turn gives a delta or an error")
        return self._made

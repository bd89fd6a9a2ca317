"""Feedback: what the next attempt is told of the answer that was rejected before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.types import FeedbackPolicy, Issue, Message, Text

_ANSWER_LIMIT = 4000
"""Characters of a rejected answer that are passed on: a page and a half, so that it leaves room for the next answer."""
_ISSUES_LIMIT = 10
"""Issues that are told; a model that has to mend more does no better for knowing them all."""


def tell(
    messages: tuple[Message, ...], issues: Sequence[Issue], answer: str, policy: FeedbackPolicy
) -> tuple[Message, ...]:
    """The conversation with the feedback in it.

    With the rejected answer it becomes two more turns; without, it is added to the user's last turn, because many
    templates refuse two user turns in a row.

    Args:
        messages: the conversation that was answered.
        issues: what was wrong; the first ten are told.
        answer: the rejected text.
        policy: of the tier that is told.
    """
    if policy == "none" or not issues:
        return messages
    listed = "\n".join(f"- {_unquoted(issue)}" for issue in issues[:_ISSUES_LIMIT])
    if policy == "issues+answer" and answer.strip():
        cut = answer if len(answer) <= _ANSWER_LIMIT else answer[:_ANSWER_LIMIT] + " […]"
        again = f"Your answer was rejected:\n{listed}\nGive the corrected answer, whole, and nothing else."
        return (*messages, Message("assistant", cut), Message("user", again))
    note = f"An earlier answer to this was rejected:\n{listed}\nAvoid these faults."
    last = max(i for i, m in enumerate(messages) if m.role == "user")
    return (*messages[:last], _append(messages[last], note), *messages[last + 1 :])


def _unquoted(issue: Issue) -> Issue:
    """The issue without the rejected value: see "What a repair is told" in docs/benchmarks.md."""
    if not issue.quotes or not issue.message.startswith(issue.quotes):
        return issue
    return replace(issue, message=f"it{issue.message[len(issue.quotes) :]}")


def _append(message: Message, note: str) -> Message:
    if isinstance(message.content, str):
        return replace(message, content=f"{message.content}\n\n{note}")
    return replace(message, content=(*message.content, Text(f"\n\n{note}")))

"""Feedback: what the next attempt is told about the rejected answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.types import FeedbackPolicy, Issue, Message, Text

_ANSWER_LIMIT = 4000
"""Characters of a rejected answer that are passed on: a page and a half, which leaves room for the next answer."""
_ISSUES_LIMIT = 10
"""Issues that are passed on. A model that has more to correct does no better if it knows them all."""


def tell(
    messages: tuple[Message, ...], issues: Sequence[Issue], answer: str, policy: FeedbackPolicy
) -> tuple[Message, ...]:
    """The conversation with the feedback added.

    With the rejected answer, the feedback is two more turns. Without it, the feedback is added to the user's last turn,
    because many templates refuse two user turns in a row.

    Args:
        messages: the conversation that was answered.
        issues: what was wrong. The first ten are passed on.
        answer: the rejected text.
        policy: feedback policy of the next tier.
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

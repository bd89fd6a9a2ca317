"""The values that travel between the rooms: frozen, and free of behaviour that needs another room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.lazily import lazily

if TYPE_CHECKING:
    from rung.types.call import (
        Call,
        Constraint,
        Delta,
        FeedbackPolicy,
        Finish,
        Issue,
        Quote,
        Shape,
        Token,
        Usage,
    )
    from rung.types.events import (
        Accepted,
        AttemptEnded,
        AttemptStarted,
        Event,
        Finished,
        Provisional,
        Shadowed,
        Toss,
        Withdrawn,
    )
    from rung.types.form import Absent, Example, FormInForce, Place, PromptForm, Shown
    from rung.types.messages import Image, Message, Redactor, Role, Text, ToolCall, conversation
    from rung.types.preparing import Preparing, PreparingPhase, Requirement
    from rung.types.price import Price
    from rung.types.reasons import IssueCode, Reason
    from rung.types.request import Request, Sampling
    from rung.types.result import (
        Attempt,
        Candidate,
        CheckContext,
        Hop,
        Outcome,
        Unresolved,
        Validation,
        Verdict,
    )
    from rung.types.score import Score, Threshold
    from rung.types.task import Conditions, OnVoid, Standing, Task
    from rung.types.zone import Zone

_MODULES = {
    "call": (
        "Call",
        "Constraint",
        "Delta",
        "FeedbackPolicy",
        "Finish",
        "Issue",
        "Quote",
        "Shape",
        "Token",
        "Usage",
    ),
    "events": (
        "Accepted",
        "AttemptEnded",
        "AttemptStarted",
        "Event",
        "Finished",
        "Provisional",
        "Shadowed",
        "Toss",
        "Withdrawn",
    ),
    "form": (
        "Absent",
        "Example",
        "FormInForce",
        "Place",
        "PromptForm",
        "Shown",
    ),
    "messages": (
        "Image",
        "Message",
        "Redactor",
        "Role",
        "Text",
        "ToolCall",
        "conversation",
    ),
    "preparing": (
        "Preparing",
        "PreparingPhase",
        "Requirement",
    ),
    "price": ("Price",),
    "reasons": (
        "IssueCode",
        "Reason",
    ),
    "request": (
        "Request",
        "Sampling",
    ),
    "result": (
        "Attempt",
        "Candidate",
        "CheckContext",
        "Hop",
        "Outcome",
        "Unresolved",
        "Validation",
        "Verdict",
    ),
    "score": (
        "Score",
        "Threshold",
    ),
    "task": (
        "Conditions",
        "OnVoid",
        "Standing",
        "Task",
    ),
    "zone": ("Zone",),
}
"""The modules of this room, each with what it gives to others."""

__all__ = [
    "Absent",
    "Accepted",
    "Attempt",
    "AttemptEnded",
    "AttemptStarted",
    "Call",
    "Candidate",
    "CheckContext",
    "Conditions",
    "Constraint",
    "Delta",
    "Event",
    "Example",
    "FeedbackPolicy",
    "Finish",
    "Finished",
    "FormInForce",
    "Hop",
    "Image",
    "Issue",
    "IssueCode",
    "Message",
    "OnVoid",
    "Outcome",
    "Place",
    "Preparing",
    "PreparingPhase",
    "Price",
    "PromptForm",
    "Provisional",
    "Quote",
    "Reason",
    "Redactor",
    "Request",
    "Requirement",
    "Role",
    "Sampling",
    "Score",
    "Shadowed",
    "Shape",
    "Shown",
    "Standing",
    "Task",
    "Text",
    "Threshold",
    "Token",
    "ToolCall",
    "Toss",
    "Unresolved",
    "Usage",
    "Validation",
    "Verdict",
    "Withdrawn",
    "Zone",
    "conversation",
]

if not TYPE_CHECKING:
    # making these classes takes time, and a worker that loads a model needs few of them
    __getattr__ = lazily(__name__, _MODULES)

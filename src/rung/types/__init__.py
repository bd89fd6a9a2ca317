"""The values that travel between the rooms: frozen, and free of behaviour that needs another room."""

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
from rung.types.form import Example, FormInForce, Place, PromptForm, Shown
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

__all__ = [
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

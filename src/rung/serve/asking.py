"""A request in the form that all APIs share: what the ladder is asked, and within which limits. Independent of any
API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rung.serve.tools import Tools
from rung.types import Message, Sampling, Zone

MOST_ANSWERS = 16
"""Most answers to one request. Each is a climb of its own, while other requests wait."""


class BudgetBody(BaseModel):
    """`x_rung.budget`: what the request may use. It can only lower the server's limits."""

    model_config = ConfigDict(extra="forbid")

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    money: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class RungBody(BaseModel):
    """`x_rung` of a request: settings of the ladder that the API lacks. They can only tighten the server's settings.

    Args:
        reach: how far the prompt may travel.
        budget: what the request may use.
        task: name of a task, or a label for the ledger.
        fields: a text for each field of the task's template. They replace the messages' text.
        drafts: whether a stream also has unvalidated text, in separate events.
        text_checks: whether to reject plain text that repeats itself or the prompt, or has control tokens.
    """

    model_config = ConfigDict(extra="forbid")

    reach: Annotated[str, Field(pattern="^(host|lan|internet)$")] | None = None
    budget: BudgetBody = BudgetBody()
    task: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    fields: dict[str, str] | None = None
    drafts: bool = False
    text_checks: bool = True


@dataclass(frozen=True, slots=True)
class Asking:
    """What a client asks the ladder.

    Args:
        model: `rung`, `rung/TIER` or `rung/task/NAME`.
        messages: the conversation.
        output: what the answer must be, as `Ladder.run` takes it; `None` is free text.
        sampling: how tokens are chosen.
        max_tokens: the most tokens that an answer may have. It is never raised.
        answers: how many answers are wanted.
        logprobs: whether the answer's log-probabilities are wanted.
        tools: tools that the model may call; `None` for a request without tools. With tools, they determine the output.
        limits: the client's limits. They only tighten the ladder's.
        notes: sentences about parts of the request that were ignored.
    """

    model: str
    messages: tuple[Message, ...] = field(repr=False)
    output: Any = field(default=None, repr=False)
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    answers: int = 1
    logprobs: bool = False
    tools: Tools | None = None
    limits: RungBody = field(default_factory=RungBody)
    notes: tuple[str, ...] = ()

    @property
    def reach(self) -> Zone | None:
        """How far the prompt may travel, if the client says so."""
        return None if self.limits.reach is None else Zone.parse(self.limits.reach)

    @property
    def fields(self) -> Mapping[str, str] | None:
        """Texts for the fields of the task's template."""
        return self.limits.fields

"""A task as the engine sees it: how its prompt is made, what its answers must be, what was learnt about its tiers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rung.types.call import FeedbackPolicy
from rung.types.messages import Message
from rung.types.request import Sampling
from rung.types.score import Threshold

OnVoid = Literal["escalate", "accept"]
"""What becomes of a valid answer where what was learnt about its tier is void: it is sent up, or taken."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an answer depends on beside the question. What was learnt under some conditions holds under no others.

    Args:
        tier: its name.
        weights: sha256 of those that answered; `None` where the tier can't tell.
        others: the same of the other tiers of the ladder by name, as far as they can tell.
        prompt: sha256 of the template that the prompt was made by; empty where it was made by none.
        contract: sha256 of the contract.
        sampling: how tokens were chosen.
        max_tokens: first cap on the answer, in tokens.
        repairs: how often a rejected answer goes back to the tier.
        feedback: what it is told then.
        behaviour: what else makes other answers, as far as the tier tells: its own sampling, its chat template.
        setup: what makes others now and then: build, backend, how many calls are decoded together.
    """

    tier: str
    weights: str | None
    others: Mapping[str, str]
    prompt: str
    contract: str
    sampling: Sampling
    max_tokens: int | None
    repairs: int
    feedback: FeedbackPolicy
    behaviour: Mapping[str, str] = field(default_factory=dict)
    setup: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of what is the tier's and not the request's. The setup is left out: another one makes nothing void."""
        own = [self.tier, self.weights, self.max_tokens, self.repairs, self.feedback, dict(self.behaviour)]
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds, under certain conditions, of what was learnt about a tier.

    Args:
        threshold: how sure the tier has to be; `None` where nothing was learnt, or nothing holds any more.
        void: what changed since, so that nothing holds any more: `weights`, `prompt`, ...; empty where all is well.
        notes: sentences about what changed and may matter.
    """

    threshold: Threshold | None = None
    void: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of request.

    Args:
        name: under which ledger and calibration keep it.
        output: what its answers must be, as a ladder's `contract` gives it; `None` where the task doesn't say.
        fields: of its template, in order; empty where it has none.
        fill: makes the messages of a text for each field; `None` without a template.
        prompt: sha256 of the template; empty without one.
        max_tokens: first cap on an answer, in tokens, where the request names none.
        on_void: what becomes of a valid answer where what was learnt is void.
        standing: what holds of what was learnt; asked after each answer, when it is known which weights gave it.
        same: finds out how two answers are compared, and returns `None` for free text; `None` leaves it to the
            contract.
    """

    name: str
    output: Any = field(default=None, repr=False)
    fields: tuple[str, ...] = ()
    fill: Callable[[Mapping[str, str]], Sequence[Message]] | None = field(default=None, repr=False)
    prompt: str = ""
    max_tokens: int | None = None
    on_void: OnVoid = "escalate"
    standing: Callable[[Conditions], Standing] = field(default=lambda _: Standing(), repr=False)
    same: Callable[[], Callable[[Any, Any], bool] | None] | None = field(default=None, repr=False)

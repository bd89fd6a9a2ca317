"""A task as the engine sees it: how its prompt is made, what its answers must be, what was learnt about its tiers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rung.types.call import FeedbackPolicy
from rung.types.form import FormInForce
from rung.types.messages import Message
from rung.types.request import Sampling
from rung.types.score import Threshold

OnVoid = Literal["escalate", "accept"]
"""What happens to a valid answer if what was learnt about its tier is void: it is sent up, or accepted."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an answer depends on besides the question. What was learnt under some conditions holds under no others.

    Args:
        tier: the tier's name.
        weights: sha256 of the weights that answered; `None` where the tier can't tell.
        others: the weights of the ladder's other tiers, by name, as far as they can tell.
        prompt: sha256 of the template that made the prompt; empty where there was no template.
        contract: sha256 of the contract.
        sampling: how tokens were chosen.
        max_tokens: first cap on the answer, in tokens.
        repairs: how often a rejected answer goes back to the tier.
        feedback: what the tier is told then.
        behaviour: what else changes answers, as far as the tier tells: its own sampling, its chat template.
        setup: what changes answers now and then: build, backend, how many calls are decoded together.
        form: sha256 of the form that was learnt for the tier, its examples included; empty for rung's own.
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
    form: str = ""

    @property
    def sha256(self) -> str:
        """Of what is the tier's and not the request's. The setup is left out: another one makes nothing void."""
        own = [self.tier, self.weights, self.max_tokens, self.repairs, self.feedback, dict(self.behaviour)]
        if self.form:  # otherwise the hash is what it was before there were forms
            own.append(self.form)
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """What still holds, under certain conditions, of what was learnt about a tier.

    Args:
        threshold: how sure the tier has to be; `None` where nothing was learnt, or nothing holds any more.
        void: what has changed, so that nothing holds any more: `weights`, `prompt`, ...; empty if everything holds.
        notes: sentences about what changed and may matter.
    """

    threshold: Threshold | None = None
    void: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of request.

    Args:
        name: name by which the ledger and calibration file it.
        output: what its answers must be, as a ladder's `contract` gives it; `None` where the task doesn't say.
        fields: fields of its template, in order; empty where it has none.
        fill: makes the messages from a text for each field; `None` without a template.
        prompt: sha256 of the template; empty without one.
        max_tokens: first cap on an answer, in tokens, where the request names none.
        on_void: what happens to a valid answer if what was learnt is void.
        standing: tells what still holds of what was learnt. It is asked after each answer, when the weights are known.
        form: gives the form in which a tier is asked, by its name and the hashes of template and contract; `None` is
            rung's own.
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
    form: Callable[[str, str, str], FormInForce | None] = field(default=lambda *_: None, repr=False)
    same: Callable[[], Callable[[Any, Any], bool] | None] | None = field(default=None, repr=False)

"""What somebody asked: the request that the engine works on, and how tokens are chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rung import checking
from rung.errors import ConfigError
from rung.limits import MinP, TopP
from rung.types.messages import Message
from rung.types.zone import Zone

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
"""How much a model shall think before it answers, in the words of OpenAI's API."""

_SEEDS = (-(2**63), 2**64 - 1)
"""Range of a seed: anything that fits into 64 bits, signed or unsigned."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `None` leaves the choice to the tier.

        sampling = rung.Sampling(temperature=0.7, top_p=0.9, seed=1)
        ladder.run("Is water wet?", sampling=sampling).accepted  # True

    Args:
        temperature: 0 is greedy.
        top_p: share of probability mass that is kept, in (0, 1].
        min_p: least probability, relative to the likeliest token's, in [0, 1).
        seed: for the sampler's random numbers.
        stop: strings that end the answer; they are not part of it.
        effort: how much a model that can think aloud shall think. A local model only knows `none` from all others, and
            an endpoint that takes no such field is not told.

    Raises:
        ConfigError: a value has the wrong type or is out of range.
    """

    temperature: float = 0.0
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    # not in the repr, by which earlier recordings know the sampling of calls that had none
    effort: Effort | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        kept: dict[str, object] = {"temperature": checking.real("temperature", self.temperature, 0.0, 10.0)}
        if self.top_p is not None:
            kept["top_p"] = TopP.check("top_p", self.top_p)
        if self.min_p is not None:
            kept["min_p"] = MinP.check("min_p", self.min_p)
        if self.seed is not None:
            kept["seed"] = checking.whole("seed", self.seed, *_SEEDS)
        stop = kept["stop"] = checking.several("stop", self.stop, str, "texts")
        if not all(stop):
            raise ConfigError("stop holds an empty text, which would end every answer at once", hint="leave it out")
        if self.effort is not None:
            checking.one_of("effort", self.effort, get_args(Effort))
        for name, value in kept.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked. What the answer must be is in the contract.

    Args:
        messages: the conversation, oldest first.
        task: name by which the ledger and calibration file it.
        context: the caller's own object, which validators get.
        max_tokens: first cap on the answer, in tokens; `None` leaves it to the tier.
        sampling: how tokens are chosen.
        reach: how far this request may travel. It can only tighten the ladder's reach.
        text_checks: whether plain text is refused that repeats itself or the prompt, or holds control tokens.
        continues: name in the ledger of the request that this one goes on from, whose turns are in `messages`.
        caller: who asks a server that several share, for the ledger.

    Raises:
        ConfigError: the prompt is empty, or a value has the wrong type or is out of range.
    """

    messages: tuple[Message, ...]
    task: str | None = None
    context: Any = field(default=None, repr=False)
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    reach: Zone | None = None
    text_checks: bool = True
    continues: str | None = None
    caller: str | None = None

    def __post_init__(self) -> None:
        turns = checking.several("messages", self.messages, Message, "messages")
        object.__setattr__(self, "messages", turns)
        if not any(m.role == "user" and (m.text.strip() or not isinstance(m.content, str)) for m in turns):
            raise ConfigError("the prompt is empty", hint="give it some text")
        if self.task is not None:
            checking.text("task", self.task)
        if self.continues is not None:
            checking.text("continues", self.continues)
        if self.caller is not None:
            checking.text("caller", self.caller)
        if self.max_tokens is not None:
            object.__setattr__(self, "max_tokens", checking.whole("max_tokens", self.max_tokens, 1))
        checking.instance("sampling", self.sampling, Sampling, "a Sampling")
        checking.flag("text_checks", self.text_checks)
        if self.reach is not None:
            checking.instance("reach", self.reach, Zone, "a Zone")

    @property
    def source(self) -> str:
        """The text of the user's turns. Extracted values can be looked up in it."""
        return "\n".join(m.text for m in self.messages if m.role == "user")

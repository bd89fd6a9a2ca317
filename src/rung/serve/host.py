"""The ladder that all requests share: the models that clients see, and the plan of each request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rung import deferral, engine
from rung.consent import ConfiguredConsent, Consent
from rung.ladder import Ladder
from rung.ledger import Ledger
from rung.limits import Budget, Cancel, usd
from rung.money import BothPurses, MemoryPurse, Purse
from rung.serve.asking import Asking, BudgetBody
from rung.serve.door import Caller
from rung.serve.errors import ApiError
from rung.serve.questions import PageQuestions
from rung.tier import Rung
from rung.types import Event, IssueCode, Provisional, Reason, Verdict, Zone

LADDER = "rung"
"""Model name of the whole ladder."""

_TASK = "task/"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as clients see it.

    Args:
        id: its name.
        kind: what it stands for: `ladder`, `tier` or `task`.
        rung: the tier; `None` for the ladder and tasks.
    """

    id: str
    kind: str
    rung: Rung | None = None


class LadderHost:
    """One ladder for all requests.

    Args:
        ladder: answers the requests. The host doesn't close it.
        task_names: returns the names of the known tasks.
        seconds: time limit of one request.
        questions: asks the people who have the page open; `None` if nobody can be asked.
        ledger: keeps what each caller spends; `None` if nobody keeps it. Then a caller whose money is limited spends
            nothing.
    """

    def __init__(
        self,
        ladder: Ladder,
        *,
        task_names: Callable[[], tuple[str, ...]] = tuple,
        seconds: float | None = None,
        questions: PageQuestions | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.ladder = ladder
        self._task_names = task_names
        self._seconds = seconds
        self._questions = questions
        self._ledger = ledger

    def models(self) -> tuple[ServedModel, ...]:
        """The ladder, its tiers and its tasks, in this order."""
        tiers = (ServedModel(f"{LADDER}/{rung.tier.name}", "tier", rung) for rung in self.ladder.rungs)
        tasks = (ServedModel(f"{LADDER}/{_TASK}{name}", "task") for name in self._task_names())
        return (ServedModel(LADDER, "ladder"), *tiers, *tasks)

    def find(self, name: str) -> ServedModel:
        """Find a model by its name.

        Raises:
            ApiError: there is no such model.
        """
        known = self.models()
        for model in known:
            if model.id == name:
                return model
        names = ", ".join(model.id for model in known)
        raise ApiError(404, f"there is no model of this name; there are {names}", code="model_not_found", param="model")

    def plan(self, asking: Asking, cancel: Cancel, caller: Caller, *, number: int = 0) -> engine.Plan:
        """Plan a request. This compiles the contract, so it may take a while.

        Args:
            asking: the request.
            cancel: stops it.
            caller: who asks.
            number: index of the answer, if several are wanted. Each has its own seed.

        Raises:
            ApiError: there is no such model.
            ConfigError, ContractError: a part of the request can't be used.
        """
        model = self.find(asking.model)
        limits = asking.limits
        named = model.id.removeprefix(f"{LADDER}/{_TASK}") if model.kind == "task" else None
        if named is not None and limits.task not in (None, named):
            raise ApiError(400, "model and x_rung.task name different tasks", code="invalid_value", param="x_rung.task")
        task = named or limits.task
        seconds = [s for s in (self._seconds, limits.budget.seconds) if s is not None]
        sampling = asking.sampling
        if number and sampling.seed is not None:
            sampling = replace(sampling, seed=sampling.seed + number)
        plan = self.ladder.plan(
            self._prompt(asking, task),
            asking.tools.schema() if asking.tools is not None else asking.output,
            {
                "task": task,
                "max_tokens": asking.max_tokens,
                "sampling": sampling,
                "timeout": min(seconds, default=None),
                "reach": _nearest(asking.reach, caller.reach),
                "cancel": cancel,
                "text_checks": limits.text_checks,
            },
        )
        if model.rung is not None:
            plan = replace(plan, rungs=(model.rung,))
        if plan.request.max_tokens is not None and asking.max_tokens is not None:
            plan = replace(plan, rule=deferral.first_of(_within_its_cap, plan.rule))
        return replace(
            plan,
            request=replace(plan.request, caller=caller.name),
            budget=_tightened(plan.budget, limits.budget),
            purse=self._purse(plan.purse, caller),
            consent=self._consent(plan.consent, caller, cancel),
            notes=(*plan.notes, *asking.notes, *_wider(asking, plan)),
        )

    def flows(self, plan: engine.Plan) -> bool:
        """Whether an answer may be sent while it is written, because it could not be escalated once it is whole.

        Args:
            plan: of the request.
        """
        if plan.contract.shape is not None or plan.contract.vouches or plan.task is not None or plan.thresholds:
            return False
        return not any(rung.min_confidence for rung in plan.rungs)

    def flowing(self, plan: engine.Plan) -> engine.Plan:
        """Change a plan so that its answer is sent while it is written. After the first part, no other tier is asked.

        Args:
            plan: one for which `flows` is true.
        """
        begun = _Begun(plan.rule)
        return replace(plan, provisional=True, rule=begun.rule, observers=(*plan.observers, begun.told))

    def showing(self, plan: engine.Plan) -> engine.Plan:
        """Change a plan so that drafts of its answer are sent, marked as drafts.

        Args:
            plan: of the request.
        """
        return replace(plan, provisional=True)

    def _purse(self, purse: Purse | None, caller: Caller) -> Purse | None:
        """The ladder's purse, with what the caller may spend and has spent. `None` where money isn't limited."""
        if purse is None and caller.usd_per_day is None:
            return None
        if self._ledger is None:
            return purse if caller.usd_per_day is None else MemoryPurse(0)
        # the ledger keeps its own budgets for this purse, too
        mine = self._ledger.purse_of(caller.name, caller.usd_per_day)
        return mine if purse is None or purse is self._ledger else BothPurses(purse, mine)

    def _consent(self, consent: Consent, caller: Caller, cancel: Cancel) -> Consent:
        """The ladder's consent. Where it would ask a person, it asks the caller at their page."""
        if self._questions is None or not isinstance(consent, ConfiguredConsent) or consent.person is not None:
            return consent
        return replace(consent, person=self._questions.person(caller.name, cancel))

    def _prompt(self, asking: Asking, task: str | None) -> Any:
        """The conversation or, for a task with a template, the texts that fill it."""
        if asking.fields is not None:
            return dict(asking.fields)
        if task is None or len(asking.messages) != 1 or not isinstance(asking.messages[0].content, str):
            return asking.messages
        return asking.messages[0].content


class _Begun:
    """Stops a climb once a part of the answer was sent.

    Args:
        inner: the rule that decides until then, and whether the sent answer is accepted.
    """

    def __init__(self, inner: deferral.Rule) -> None:
        self._inner = inner
        self._is_shown = False

    def told(self, event: Event) -> None:
        """Observe the events. Each piece comes before the rule decides about the whole."""
        if isinstance(event, Provisional) and (event.text.strip() or event.reasoning):
            self._is_shown = True

    def rule(self, s: deferral.Situation) -> deferral.Decision | None:
        """Decide what comes next."""
        decision = self._inner(s)
        if decision is None or not self._is_shown or decision.verdict is Verdict.ACCEPT:
            return decision
        return deferral.Decision(Verdict.STOP, decision.reason)


def _within_its_cap(s: deferral.Situation) -> deferral.Decision | None:
    """Keep a client's cap. Free text that reached the cap would reach it on every tier, so the climb stops. Data may be
    shorter when another tier writes it.
    """
    if not any(issue.code == IssueCode.CUT_OFF for issue in s.issues):
        return None
    shaped = s.candidate is not None and s.candidate.constraint != "none"
    return deferral.Decision(Verdict.ESCALATE if shaped else Verdict.STOP, Reason.CUT_OFF)


def _tightened(allowed: Budget, wanted: BudgetBody) -> Budget:
    def least(one: Any, other: Any) -> Any:
        return min((x for x in (one, other) if x is not None), default=None)

    asked = None if wanted.money is None else usd(wanted.money, "x_rung.budget.money")
    return Budget(
        least(allowed.seconds, wanted.seconds), least(allowed.tokens, wanted.tokens), least(allowed.usd, asked)
    )


def _nearest(*reaches: Zone | None) -> Zone | None:
    return min((reach for reach in reaches if reach is not None), default=None)


def _wider(asking: Asking, plan: engine.Plan) -> tuple[str, ...]:
    """Notes on limits of the request that are wider than the server's, and so have no effect."""
    notes = []
    if asking.reach is not None and asking.reach > plan.reach:
        notes.append(f"the reach stays {plan.reach}: a request can only tighten it")
    allowed, wanted = plan.budget, asking.limits.budget
    pairs = (("tokens", allowed.tokens, wanted.tokens), ("money", allowed.usd, wanted.money))
    notes += [
        f"budget.{name} stays {limit}: a request can only lower it"
        for name, limit, want in pairs
        if limit is not None and want is not None and want > limit
    ]
    return tuple(notes)

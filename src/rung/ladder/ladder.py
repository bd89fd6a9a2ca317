"""`Ladder`: tiers, smallest first, and the limits within which they may be used."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import ExitStack, aclosing, closing
from typing import Any, Literal, Self, TypeVar, Unpack, get_args, overload

from rung import checking, deferral, engine, guard, threads
from rung.consent import Consent, always
from rung.contract import Contract, Validator, compile_output
from rung.errors import ConfigError, RungError
from rung.ladder import bridge
from rung.ladder.options import Fields, Prompt, RequestOptions, Written
from rung.ladder.refusing import demand_prices, thresholds_of
from rung.ladder.tasks import Tasks, messages_of, output_of
from rung.ladder.typed import Decorator
from rung.limits import Budget, Cancel, Deadline, Seconds
from rung.money import PaidAfter, Purse
from rung.spelling import nearest
from rung.tier import Rung, Tier
from rung.types import (
    Event,
    Finished,
    Outcome,
    Preparing,
    Redactor,
    Request,
    Requirement,
    Sampling,
    Task,
    Zone,
)

T = TypeVar("T")
_CONTRACTS = 256
"""Compiled contracts that a ladder keeps: more than an app has outputs, and a few megabytes at most."""


class Ladder:
    """Tiers, smallest first. Safe to use from any thread, and as a context manager.

        with rung.Ladder(rung.llama("smollm2-135m"), rung.llama("qwen2.5-coder-1.5b")) as ladder:
            outcome = ladder.run("Is water wet?", ["yes", "no"])

        outcome.value  # yes

    Args:
        tiers: the tiers, or `Rung`s where a tier needs settings of its own.
        reach: how far a prompt may travel.
        budget: what each request may use.
        rule: what to do after an attempt.
        consent: asked before each hop beyond this machine. By default, a reach given here is the consent.
        purse: reserves money, for budgets over many requests.
        observers: told of every event of every request. If one raises, the outcome notes it.
        redactor: masks what leaves this machine.
        paid_after: `local_answers` spends money only after the local tiers' answers failed validation. `any_failure`
            spends it also after they broke.
        unload_after: seconds after which a local model that no call uses is unloaded, sooner where memory is short. The
            first tier's model stays. `None` keeps every model until another needs the room.
        tasks: finds the task with a name, and returns `None` where there is none. The ladder asks once for each name.
        shadow: share of requests whose accepted answer is also asked of the next local tier when the machine is idle,
            to learn how often the two agree; a `Shadow` says more. The observers are told; no answer waits for it.

    Raises:
        ConfigError: there is no tier, two tiers have one name, a setting is out of range, or money is limited and a
            tier that may be used has no price.
    """

    def __init__(
        self,
        *tiers: Tier | Rung,
        reach: Zone = Zone.HOST,
        budget: Budget | None = None,
        rule: deferral.Rule = deferral.standard,
        consent: Consent | None = None,
        purse: Purse | None = None,
        observers: Sequence[engine.Observer] = (),
        redactor: Redactor | None = None,
        paid_after: PaidAfter = "local_answers",
        unload_after: float | None = engine.UNLOAD_AFTER,
        tasks: Callable[[str], Task | None] | None = None,
        shadow: float | engine.Shadow = 0.0,
    ) -> None:
        self.rungs = tuple(t if isinstance(t, Rung) else Rung(t) for t in tiers)
        names = [r.tier.name for r in self.rungs]
        if not names:
            raise ConfigError("a ladder needs a tier", hint='give one, for example rung.llama("smollm2-135m")')
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two tiers are called {name!r}", hint="give one of them another name=")
        checking.one_of("paid_after", paid_after, get_args(PaidAfter))
        if unload_after is not None:
            Seconds.check("unload_after", unload_after)
        if purse is not None:
            checking.function("purse.reserve", getattr(purse, "reserve", None))
        checking.function("rule", rule)
        for what, given in (("consent", consent), ("redactor", redactor)):
            if given is not None:
                checking.function(what, given)
        for observer in checking.several("observers", observers, object, "functions"):
            checking.function("an observer", observer)
        self.reach = Zone.parse(reach)
        self.budget = Budget() if budget is None else checking.instance("budget", budget, Budget, "a rung.Budget")
        self._rule = rule
        self._consent: Consent = consent or always
        self._purse = purse
        self._observers = tuple(observers)
        self._redactor = redactor
        self._paid_after: PaidAfter = paid_after
        self._residency = engine.Residency(self.rungs, unload_after)
        self._tasks = Tasks(tasks)
        wanted = shadow if isinstance(shadow, engine.Shadow) else engine.Shadow(shadow)
        self._shadows = engine.Shadows(wanted) if wanted.share else None
        demand_prices(self.rungs, self.reach, limited=self.budget.usd is not None or purse is not None)
        self._compiled = functools.lru_cache(_CONTRACTS, typed=True)(compile_output)

    def __repr__(self) -> str:
        return f"Ladder({', '.join(r.tier.name for r in self.rungs)}, reach={self.reach})"

    @overload
    def run(self, prompt: Prompt, output: type[T], **settings: Unpack[RequestOptions]) -> Outcome[T]: ...
    @overload
    def run(self, prompt: Written, output: None = None, **settings: Unpack[RequestOptions]) -> Outcome[str]: ...
    @overload
    def run(self, prompt: Fields, output: None = None, **settings: Unpack[RequestOptions]) -> Outcome[Any]: ...
    @overload
    def run(self, prompt: Prompt, output: Any, **settings: Unpack[RequestOptions]) -> Outcome[Any]: ...
    def run(self, prompt: Prompt, output: Any = None, **settings: Unpack[RequestOptions]) -> Outcome[Any]:
        """Answer a prompt.

        Args:
            prompt: one user turn, or a conversation. For a task with a template: a text for each of its fields, or a
                single text where it has one field.
            output: what the answer must be: a pydantic model or another type, a JSON Schema as a dict, a compiled
                regular expression, a list of choices, or what `contract` made of one; `None` is plain text.
            settings: see `RequestOptions`.

        Raises:
            ConfigError: a setting is out of range, or the prompt is empty.
            ContractError: the output or a validator can't be used.
            Exception: a validator's own bug.
        """
        with closing(self.stream(prompt, output, **settings)) as events:
            for event in events:
                if isinstance(event, Finished):
                    return event.outcome
        raise AssertionError("a run ends with Finished")

    def stream(
        self, prompt: Prompt, output: Any = None, **settings: Unpack[RequestOptions]
    ) -> Generator[Event, None, None]:
        """Answer a prompt, and tell what happens on the way. Takes and raises what `run` does.

        Closing the iterator cancels the request.
        """
        return engine.run(self.plan(prompt, output, settings))

    @overload
    async def arun(self, prompt: Prompt, output: type[T], **settings: Unpack[RequestOptions]) -> Outcome[T]: ...
    @overload
    async def arun(self, prompt: Written, output: None = None, **settings: Unpack[RequestOptions]) -> Outcome[str]: ...
    @overload
    async def arun(self, prompt: Fields, output: None = None, **settings: Unpack[RequestOptions]) -> Outcome[Any]: ...
    @overload
    async def arun(self, prompt: Prompt, output: Any, **settings: Unpack[RequestOptions]) -> Outcome[Any]: ...
    async def arun(self, prompt: Prompt, output: Any = None, **settings: Unpack[RequestOptions]) -> Outcome[Any]:
        """`run` for async code: cancelling the task cancels the request, and validators and consent may be async."""
        async with aclosing(self.astream(prompt, output, **settings)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.outcome
        raise AssertionError("a run ends with Finished")

    def astream(self, prompt: Prompt, output: Any = None, **settings: Unpack[RequestOptions]) -> AsyncGenerator[Event]:
        """`stream` for async code: abandoning the iteration cancels the request."""
        return bridge.events(self.plan(prompt, output, settings))

    def preview(self, prompt: Prompt, output: Any = None, **settings: Unpack[RequestOptions]) -> engine.Preview:
        """What `run` would send beyond this machine, without sending it. Takes and raises what `run` does.

        The local tiers are really asked, because what a tier beyond this machine is told depends on their answers.
        """
        return engine.preview(self.plan(prompt, output, settings))

    @property
    def typed(self) -> Decorator:
        """Turn a function that writes a prompt into one that returns the validated answer.

        `@ladder.typed` takes the contract from the return annotation, for types that are written as text.
        `@ladder.typed(Invoice, validators=[...])` takes it from the argument. Both work on methods and on `async def`
        functions, and raise `Unresolved` where `outcome(...)` of the same function returns the whole `Outcome`.
        """
        return Decorator(self)

    def warm(self, which: Literal["first", "all"] = "first") -> None:
        """Load what the first calls would have to load: a model or, for an endpoint, the SDK. Sends nothing.

        Args:
            which: the first tier, or all of them. It is an error if memory doesn't hold all models at once.

        Raises:
            ConfigError: `which` is something else.
            RungError: the first error that a tier raised, once all were tried.
        """
        checking.one_of("which", which, ("first", "all"))
        failed: list[RungError] = []
        for rung in self.rungs if which == "all" else self.rungs[:1]:
            if rung.warms is not None:
                try:
                    rung.warms.warm()
                except RungError as error:
                    failed.append(error)
        if failed:
            raise failed[0]

    def requirements(self) -> tuple[Requirement, ...]:
        """What each local tier takes of this machine, for an app that asks before it fetches anything.

            missing = [it for it in ladder.requirements() if it.path is None]
            sum(it.size or 0 for it in missing)  # 0

        It looks, and fetches and loads nothing. Endpoints take nothing, so they aren't in it.

        Raises:
            StoreError: there is no model of a tier's name.
        """
        return tuple(rung.prepares.requirement() for rung in self.rungs if rung.prepares is not None)

    def prepare(
        self,
        progress: Callable[[Preparing], None] = lambda _: None,
        *,
        cancel: Cancel | None = None,
        verify: bool = True,
        load: Literal["first", "all", "none"] = "first",
    ) -> None:
        """Fetch the model files that are missing, check all of them, and load what the first calls need.

            ladder.prepare(progress=print)

        Calling it is the consent to the downloads that `requirements` names; no request ever starts one. It blocks, so
        an app with a window calls it on a thread of its own.

        Args:
            progress: told how far it is, about five times a second, on the calling thread.
            cancel: ends it within 200 ms. What was fetched stays, and the next call goes on from there.
            verify: whether a file that is here is hashed again, which takes about a second for each gigabyte.
            load: the models to load: the first tier's, all, or none.

        Raises:
            LicenceNotAccepted: a licence asks for acceptance (`rung.store.accept`).
            Offline: a file is missing, and the environment forbids the network.
            StoreError: a file can't be had, or has the wrong bytes.
            TierError: a model can't be loaded.
            Cancelled: `cancel` was set.
        """
        checking.one_of("load", load, ("first", "all", "none"))
        cancel = cancel or Cancel()
        for rung in self.rungs:
            if rung.prepares is not None:
                rung.prepares.fetch(progress, cancel, verify=verify)
        for rung in {"first": self.rungs[:1], "all": self.rungs, "none": ()}[load]:
            if rung.prepares is not None:
                rung.prepares.load(progress, cancel)
            elif rung.warms is not None:
                rung.warms.warm()

    def close(self) -> None:
        """Close every tier, whatever one of them raises. A later call starts them again.

        Shadows that wait are dropped.
        """
        if self._shadows is not None:
            self._shadows.close()
        with ExitStack() as stack:
            for rung in self.rungs:
                stack.callback(rung.tier.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def contract(self, output: Any, validators: Sequence[Validator] = ()) -> Contract[Any]:
        """The contract of an output, which `run` and its kin can use again and again without compiling it.

        Args:
            output: as `run` takes it. An output that can be a dictionary key is compiled only once anyway.
            validators: further checks.

        Raises:
            ContractError: the output or a validator can't be used.
        """
        if isinstance(output, Contract):
            return output.checked(validators) if validators else output
        if validators:
            return compile_output(output, validators)
        try:
            hash(output)
        except TypeError:
            return compile_output(output)
        return self._compiled(output)

    def _contract_until(self, deadline: Deadline, output: Any, validators: Sequence[Validator]) -> Contract[Any]:
        """The contract. Where making it takes longer than the request may, a contract for which no attempt will be
        made.
        """
        if deadline.at is None or output is None or output is str or isinstance(output, Contract):
            return self.contract(output, validators)
        try:
            return threads.run(lambda: self.contract(output, validators), deadline, Cancel())
        except threads.Abandoned:
            return compile_output(None)

    @staticmethod
    def refuse_unknown(options: RequestOptions) -> None:
        """Raise `TypeError` for an unknown option, and name the nearest known one."""
        unknown = set(options) - RequestOptions.__optional_keys__
        if unknown:
            word = min(unknown)
            raise TypeError(f"there is no setting {word!r}; {nearest(word, RequestOptions.__optional_keys__)}")

    def plan(self, prompt: Prompt, output: Any, settings: RequestOptions) -> engine.Plan:
        """What `run` would do, as a value for `rung.engine.run`. It may be changed before it is run.

        Takes and raises what `run` does, and checks all of it. The deadline begins here, so that compiling the contract
        counts.
        """
        self.refuse_unknown(settings)
        reach, timeout = settings.get("reach"), settings.get("timeout")
        if timeout is not None:
            Seconds.check("timeout", timeout)
        cancel = settings.get("cancel") or Cancel()
        checking.instance("cancel", cancel, Cancel, "a rung.Cancel")
        name = settings.get("task")
        task = self._tasks.find(name)
        asked = messages_of(prompt, settings.get("system"), task)
        cap = settings.get("max_tokens")
        request = Request(
            messages=asked.messages,
            task=name,
            context=settings.get("context"),
            max_tokens=task.max_tokens if cap is None and task is not None else cap,
            sampling=settings.get("sampling") or Sampling(settings.get("temperature", 0.0), seed=settings.get("seed")),
            reach=None if reach is None else Zone.parse(reach),
            text_checks=checking.flag("text_checks", settings.get("text_checks", True)),
            continues=settings.get("continues"),
        )
        seconds = [s for s in (timeout, self.budget.seconds) if s is not None]
        deadline = Deadline.after(min(seconds, default=None))
        return engine.Plan(
            request=request,
            deadline=deadline,
            contract=self._contract_until(deadline, output_of(output, task), settings.get("validators", ())),
            rungs=self.rungs,
            reach=_reach(self.reach, request.reach),
            budget=self.budget,
            rule=self._rule,
            consent=self._consent,
            purse=self._purse,
            observers=self._observers,
            redactor=self._redactor,
            paid_after=self._paid_after,
            cancel=cancel,
            provisional=checking.flag("provisional", settings.get("provisional", False)),
            residency=self._residency,
            task=task,
            prompt=asked.template,
            notes=self._tasks.notes(name),
            thresholds=thresholds_of(self.rungs, settings.get("thresholds")),
            same=task.same if task is not None and (output is None or output is task.output) else None,
            shadows=self._shadows,
        )

    def task_output(self, name: str | None) -> Any:
        """What a task's answers must be; `None` where there is no such task, or the task doesn't say.

        Args:
            name: the task's name.
        """
        return output_of(None, self._tasks.find(name))


def _reach(allowed: Zone, wanted: Zone | None) -> Zone:
    """How far a request may travel. The environment has the last word, even over tiers that don't ask it."""
    if guard.offline():
        return Zone.HOST
    return allowed if wanted is None else min(allowed, wanted)

"""The async twins: the same engine, and a task that is cancelled takes its call along."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from contextlib import aclosing

import pytest
from pydantic import BaseModel

from rung import Cancel, Finished, Ladder, Rung, TierUnavailable
from rung.errors import ConfigError
from rung.testing import Reply, ScriptedTier


class Slow(ScriptedTier):
    """A tier that waits long, and notes when it is told to stop."""

    def __init__(self, name="slow"):
        super().__init__(name, *[Reply("hello", seconds=60)] * 10)
        self.begun, self.stopped = threading.Event(), threading.Event()

    def stream(self, call):
        call.cancel.on_set(self.stopped.set)
        self.begun.set()
        yield from super().stream(call)


async def until(event):
    deadline = time.monotonic() + 10
    while not event.is_set():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_arun_gives_what_run_gives():
    class Sum(BaseModel):
        total: int

    script = ('{"total": "x"}', '{"total": 3}')
    sync = Ladder(ScriptedTier("small", *script)).run("1 + 2?", Sum)
    twin = asyncio.run(Ladder(ScriptedTier("small", *script)).arun("1 + 2?", Sum))
    assert twin.value == sync.value
    assert [(a.verdict, a.reason, a.text) for a in twin.attempts] == [
        (a.verdict, a.reason, a.text) for a in sync.attempts
    ]


def test_cancelling_the_task_cancels_the_tiers_call_at_once():
    async def main():
        tier = Slow()
        task = asyncio.create_task(Ladder(tier).arun("Well?"))
        await until(tier.begun)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(tier.stopped)
        return time.monotonic() - began

    assert asyncio.run(main()) < 5


@pytest.mark.slow
def test_a_time_limit_of_the_callers_own_cancels_the_call():
    async def main():
        tier = Slow()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await Ladder(tier).arun("Well?")
        await until(tier.stopped)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["aclose", "break"])
def test_abandoning_an_astream_cancels_the_call(how):
    async def main():
        tier = Slow()
        if how == "aclose":
            async with aclosing(Ladder(tier).astream("Well?")) as events:
                await anext(events)
        else:
            async for _ in Ladder(tier).astream("Well?"):
                break
            gc.collect()
        await until(tier.stopped)

    asyncio.run(main())


def test_one_cancel_flag_may_serve_many_requests_one_after_the_other():
    cancel = Cancel()
    ladder = Ladder(ScriptedTier("small", *["hello"] * 4))

    async def main():
        return [await ladder.arun("Well?", cancel=cancel) for _ in range(2)]

    outcomes = [*asyncio.run(main()), ladder.run("Well?", cancel=cancel), ladder.run("Well?", cancel=cancel)]
    assert [o.accepted for o in outcomes] == [True] * 4
    assert not cancel.is_set()


def test_one_cancel_flag_stops_all_the_requests_that_it_serves():
    cancel, tiers = Cancel(), [Slow("a"), Slow("b")]

    async def main():
        tasks = [asyncio.create_task(Ladder(tier).arun("Well?", cancel=cancel)) for tier in tiers]
        for tier in tiers:
            await until(tier.begun)
        cancel.set()
        return await asyncio.gather(*tasks)

    assert [o.reason for o in asyncio.run(main())] == ["cancelled", "cancelled"]


@pytest.mark.slow
def test_fifty_requests_at_once_get_their_own_answers():
    class Echo(ScriptedTier):
        def stream(self, call):
            self._script.append(Reply(f"Re: {call.messages[-1].text}", seconds=0.05))
            under_way.append(call)
            together.append(len(under_way))
            yield from super().stream(call)
            under_way.remove(call)

    seen, under_way, together = [], [], []

    async def check(value):
        seen.append(threading.get_ident())
        await asyncio.sleep(0.01)
        return value.startswith("Re: ")

    async def main():
        ladder = Ladder(Echo("small"))
        return await asyncio.gather(*(ladder.arun(f"question {i}", validators=[check]) for i in range(50)))

    outcomes = asyncio.run(main())
    assert all(o.accepted for o in outcomes)
    assert len({o.value for o in outcomes}) == 50
    assert max(together) > 1
    assert set(seen) == {threading.get_ident()}


def test_context_variables_reach_validators():
    who = contextvars.ContextVar("who")
    seen = []

    def look(value):
        seen.append(who.get())

    async def main():
        who.set("async")
        await Ladder(ScriptedTier("small", "hello")).arun("Well?", validators=[look])

    contextvars.copy_context().run(asyncio.run, main())
    token = who.set("sync")
    Ladder(ScriptedTier("small", "hello")).run("Well?", validators=[look])
    who.reset(token)
    assert seen == ["async", "sync"]


def test_a_bug_in_a_validator_comes_out_of_arun():
    async def buggy(value):
        raise KeyError("total")

    for validator in (buggy, {}.__getitem__):
        with pytest.raises(KeyError):
            asyncio.run(Ladder(ScriptedTier("small", "hello")).arun("Well?", validators=[validator]))


def test_misuse_is_raised_where_astream_is_called():
    with pytest.raises(ConfigError, match="the prompt is empty"):
        Ladder(ScriptedTier("small")).astream("  ")


@pytest.mark.slow
def test_an_async_validator_is_abandoned_at_the_deadline_and_its_coroutine_cancelled():
    async def main():
        cancelled = asyncio.Event()

        async def hangs(value):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        outcome = await Ladder(ScriptedTier("small", "hello")).arun("Well?", validators=[hangs], timeout=0.2)
        await until(cancelled)
        return outcome

    outcome = asyncio.run(main())
    assert outcome.attempts[0].validation.abandoned == ("check:hangs",)


def test_cancel_during_an_async_validator_is_a_cancelled_outcome_every_time():
    async def main():
        reasons = set()
        for _ in range(20):
            cancel = Cancel()

            async def stops(value, cancel=cancel):
                cancel.set()
                await asyncio.sleep(60)

            outcome = await Ladder(ScriptedTier("small", "hello")).arun("?", validators=[stops], cancel=cancel)
            reasons.add(outcome.reason)
        return reasons

    assert asyncio.run(main()) == {"cancelled"}


def test_a_loop_that_closes_while_a_run_goes_on_leaves_no_trace():
    async def main():
        tier = Slow()
        events = Ladder(Rung(tier)).astream("Well?")
        await anext(events)
        await until(tier.begun)
        return tier, events

    tier, _ = asyncio.run(main())
    assert tier.stopped.wait(10)


def test_an_async_ladder_closes_its_tiers():
    async def main():
        tier = ScriptedTier("small", "hello")
        async with Ladder(tier) as ladder:
            events = [event async for event in ladder.astream("Well?")]
        return tier.closed, events

    closed, events = asyncio.run(main())
    assert closed == 1
    assert isinstance(events[-1], Finished)


def test_every_tier_is_closed_whatever_one_of_them_raises():
    class Stuck(ScriptedTier):
        def close(self):
            raise TierUnavailable("stuck")

    first, last = ScriptedTier("first"), ScriptedTier("last")
    with pytest.raises(TierUnavailable), Ladder(first, Stuck("stuck"), last):
        pass
    assert (first.closed, last.closed) == (1, 1)

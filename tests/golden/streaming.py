"""Requests in code: every event of a stream as plain data."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import rung
from golden.golden_checks import Person, grown_up
from golden.recording import plain
from rung.testing import QuotingTier, Reply, ScriptedTier

Events = list[Any]
USAGE = rung.Usage(10, 5)
WHO = "Who wrote the first program?"


class Cloud(QuotingTier):
    """A paid tier that says where a prompt goes."""

    destination = "api.example.com:443"
    stays_here = False


def cloud(*script: Any, price: rung.Price | None = None) -> Cloud:
    return Cloud("cloud", *script, zone=rung.Zone.INTERNET, price=price or rung.Price(10, 20))


def small(*script: Any) -> ScriptedTier:
    return ScriptedTier("small", *map(_reply, script))


def large(*script: Any) -> ScriptedTier:
    return ScriptedTier("large", *map(_reply, script))


def _reply(line: Any) -> Any:
    return Reply(line, usage=USAGE) if isinstance(line, str) else line


def better(value: str) -> str | None:
    return None if "good" in value else f"{value} isn't good"


def events(ladder: rung.Ladder, prompt: Any = WHO, output: Any = None, **settings: Any) -> Events:
    with ladder:
        return told(list(ladder.stream(prompt, output, **settings)))


def told(happened: Sequence[rung.Event]) -> Events:
    """Events as plain data. The outcome's attempts are left out where they are those that ended before."""
    found = [plain(event) for event in happened]
    ended = [event["attempt"] for event in found if event["is"] == "AttemptEnded"]
    for event in found:
        if event["is"] == "Finished" and event["outcome"].get("attempts", []) == ended:
            event["outcome"]["attempts"] = "those that ended"
    return found


def accepted() -> Events:
    return events(rung.Ladder(small("Ada Lovelace")), system="Be brief.", task="history", seed=7, temperature=0.5)


def repaired_with_a_type() -> Events:
    script = ('{"name": "Ada", "age": 6}', '{"name": "Ada", "age": 36}')
    return events(rung.Ladder(small(*script)), "Who is it?", Person, validators=[grown_up])


def provisional() -> Events:
    """Shown as it comes, and withdrawn where it was wrong."""
    ladder = rung.Ladder(small("a bad one", "a worse one"), large("a good one"))
    return events(ladder, validators=[better], provisional=True)


def provisional_where_a_tier_breaks() -> Events:
    ladder = rung.Ladder(small(rung.TierCrashed("it died"), "never asked"), large("a good one"))
    return events(ladder, provisional=True)


def provisional_beyond_this_machine() -> Events:
    ladder = rung.Ladder(cloud(Reply("a good one", usage=USAGE)), reach=rung.Zone.INTERNET)
    return events(ladder, provisional=True)


def masked_is_never_provisional() -> Events:
    """What a masked answer says is not known before its end."""
    far = cloud(Reply("[EMAIL_1] it is: good", usage=USAGE))
    ladder = rung.Ladder(
        rung.Rung(small("ask ada@example.com"), repairs=0),
        rung.Rung(far, feedback="issues+answer"),
        reach=rung.Zone.INTERNET,
        redactor=rung.redact,
    )
    found = events(ladder, "Who is ada@example.com?", validators=[better], provisional=True)
    return [*found, {"sent": [[m.role, m.text] for call in far.calls for m in call.messages]}]


def consent_is_asked() -> Events:
    """What a person is asked, and what becomes of a no and of a yes."""
    hops: Events = []

    def only_the_second(hop: rung.Hop) -> bool:
        hops.append(plain(hop))
        return hop.tier == "cloud"

    first = Cloud("first", zone=rung.Zone.LAN, price=rung.Price(0, 0))
    ladder = rung.Ladder(
        rung.Rung(small("bad"), repairs=0),
        first,
        rung.Rung(cloud(Reply("good", usage=USAGE)), feedback="issues+answer"),
        reach=rung.Zone.INTERNET,
        consent=only_the_second,
    )
    return [*events(ladder, validators=[better]), {"asked": hops}]


def consent_never() -> Events:
    return events(rung.Ladder(cloud(), reach=rung.Zone.INTERNET, consent=rung.never))


def reach_of_the_request() -> Events:
    return events(rung.Ladder(cloud(), reach=rung.Zone.INTERNET), reach=rung.Zone.LAN)


def over_the_purse() -> Events:
    purse = rung.MemoryPurse("0.005")
    ladder = rung.Ladder(cloud(), large("good"), reach=rung.Zone.INTERNET, purse=purse)
    return [*events(ladder), {"spent": plain(purse.spent)}]


def capped_by_the_purse() -> Events:
    purse = rung.MemoryPurse("0.012")
    ladder = rung.Ladder(cloud(Reply("good", usage=USAGE)), reach=rung.Zone.INTERNET, purse=purse)
    return [*events(ladder), {"spent": plain(purse.spent)}]


def purse_after_a_failure() -> Events:
    """What can't have been billed comes back, what may have been stays counted."""
    purse = rung.MemoryPurse(1)
    ladder = rung.Ladder(
        cloud(rung.RateLimited("ask less often"), rung.TierCrashed("it broke off")),
        reach=rung.Zone.INTERNET,
        purse=purse,
    )
    found = [*events(ladder), {"spent": plain(purse.spent)}]
    return [*found, *events(ladder), {"spent": plain(purse.spent)}]


def capped_by_the_budget() -> Events:
    budget = rung.Budget(money="0.012")
    ladder = rung.Ladder(cloud(Reply("good", usage=USAGE)), reach=rung.Zone.INTERNET, budget=budget)
    return events(ladder)


def cut_off_and_no_money_for_more() -> Events:
    """A retry asks for more room, and is never capped."""
    tier = cloud(Reply("a good", finish="length", usage=rung.Usage(100, 300)), "never asked")
    ladder = rung.Ladder(tier, reach=rung.Zone.INTERNET, budget=rung.Budget(money="0.015"))
    return events(ladder, max_tokens=300)


def paid_too_early() -> Events:
    ladder = rung.Ladder(small(rung.TierUnavailable("it is gone")), cloud(), large(), reach=rung.Zone.INTERNET)
    return events(ladder)


def low_confidence() -> Events:
    unsure, sure = Reply("yes", logprob=-1.5, usage=USAGE), Reply("no", logprob=-0.01, usage=USAGE)
    ladder = rung.Ladder(rung.Rung(small(unsure), min_confidence=0.5), rung.Rung(large(sure), min_confidence=0.5))
    return events(ladder, "Is it risky?", ["yes", "no"])


def unresolved_with_the_best() -> Events:
    ladder = rung.Ladder(rung.Rung(small("bad", "worse"), repairs=1), rung.Rung(large("worst"), repairs=0))
    return events(ladder, validators=[better])


def regex() -> Events:
    return events(rung.Ladder(small("in 1843", "1843")), "When?", re.compile("[0-9]{4}"))


def conversation() -> Events:
    turns = [
        rung.Message("system", "Be brief."),
        rung.Message("user", "Who are you?"),
        rung.Message("assistant", "A model."),
        rung.Message("user", (rung.Text("And who "), rung.Text("wrote you?"))),
    ]
    return events(rung.Ladder(small("bad", "a good team")), turns, validators=[better])


def rule_of_ones_own() -> Events:
    """A rule that stops with a word of its own, and leaves the rest to the standard one."""

    def give_up(situation: Any) -> Any:
        if situation.candidate.text == "bad":
            return rung.deferral.Decision(rung.Verdict.STOP, "given_up")
        return None

    rule = rung.deferral.first_of(give_up, rung.deferral.standard)
    return events(rung.Ladder(small("bad"), large("good"), rule=rule), validators=[better])


def observers_are_told() -> Events:
    """Each is told of every event; one that raises breaks nothing, and is noted."""
    heard: list[str] = []

    def listens(event: rung.Event) -> None:
        heard.append(type(event).__name__)

    def breaks(event: rung.Event) -> None:
        raise KeyError("a bug")

    ladder = rung.Ladder(small("bad", "good"), observers=[breaks, listens])
    return [*events(ladder, validators=[better]), {"heard": heard}]


def cancelled() -> Events:
    cancel = rung.Cancel()
    happened = []
    with rung.Ladder(small(Reply("good", seconds=60)), large()) as ladder:
        for event in ladder.stream(WHO, cancel=cancel):
            happened.append(event)
            if isinstance(event, rung.AttemptStarted):
                cancel.set()
    return told(happened)


def deadline() -> Events:
    return events(rung.Ladder(small(Reply("good", seconds=60)), large()), timeout=0.5)


def stalled() -> Events:
    return events(rung.Ladder(small(Reply("bad", seconds=60)), large("good")), timeout=3)


def asynchronous() -> Events:
    """The same from async code, with a validator and a consent that are awaited."""

    async def awaited(value: str) -> str | None:
        await asyncio.sleep(0)
        return better(value)

    async def allowed(hop: rung.Hop) -> bool:
        await asyncio.sleep(0)
        return True

    async def main() -> Events:
        tiers = rung.Rung(small("bad"), repairs=0), cloud(Reply("good", usage=USAGE))
        async with rung.Ladder(*tiers, reach=rung.Zone.INTERNET, consent=allowed) as ladder:
            return told([event async for event in ladder.astream(WHO, validators=[awaited], provisional=True)])

    return asyncio.run(main())


def asynchronous_and_cancelled() -> Events:
    async def main() -> Events:
        cancel = rung.Cancel()
        happened = []
        async with rung.Ladder(small(Reply("good", seconds=60)), large()) as ladder:
            async for event in ladder.astream(WHO, cancel=cancel):
                happened.append(event)
                if isinstance(event, rung.AttemptStarted):
                    cancel.set()
        return told(happened)

    return asyncio.run(main())


def run_and_unwrap() -> Events:
    """`run` gives the outcome of the stream; without an answer `unwrap` raises."""
    with rung.Ladder(rung.Rung(small("good", "bad"), repairs=0)) as ladder:
        first, second = (ladder.run(WHO, validators=[better]) for _ in range(2))
    found: Events = [plain(first), plain(second), {"unwrapped": first.unwrap()}]
    try:
        second.unwrap()
    except rung.Unresolved as error:
        found.append({"unwrapped": plain(error), "the outcome of the error": error.outcome is second})
    return found


def typed_function() -> Events:
    ladder = rung.Ladder(rung.Rung(small('{"name": "Ada", "age": 36}', '{"name": "Ada"}'), repairs=0))

    @ladder.typed(Person)
    def who(text: str) -> str:
        return f"Who is it? {text}"

    with ladder:
        found: Events = [plain(who("A mail."))]
        outcome = plain(who.outcome("Another."))
    return [*found, outcome]


STREAMS: dict[str, Callable[[], Events]] = {
    stream.__name__: stream
    for stream in (
        accepted,
        repaired_with_a_type,
        provisional,
        provisional_where_a_tier_breaks,
        provisional_beyond_this_machine,
        masked_is_never_provisional,
        consent_is_asked,
        consent_never,
        reach_of_the_request,
        over_the_purse,
        capped_by_the_purse,
        purse_after_a_failure,
        capped_by_the_budget,
        cut_off_and_no_money_for_more,
        paid_too_early,
        low_confidence,
        unresolved_with_the_best,
        regex,
        conversation,
        rule_of_ones_own,
        observers_are_told,
        cancelled,
        deadline,
        stalled,
        asynchronous,
        asynchronous_and_cancelled,
        run_and_unwrap,
        typed_function,
    )
}
"""Each of them by its name."""

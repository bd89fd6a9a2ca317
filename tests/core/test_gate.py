"""Before each attempt: reach, quote, consent, reserve, stream, settle. Always in this order."""

from __future__ import annotations

import asyncio
import threading
import time
from decimal import Decimal

import pytest

from helpers.each import each
from rung import (
    Budget,
    Cancel,
    Cancelled,
    Delta,
    Ladder,
    MemoryPurse,
    Price,
    Quote,
    Rung,
    TierCrashed,
    TierUnavailable,
    Usage,
    Zone,
    never,
)
from rung.errors import BudgetExceeded, ContractError
from rung.testing import QuotingTier, Reply, ScriptedTier

PRICE = Price(1000, 1000)
BOUND = Decimal("1.1")
ASK = "What is the capital of France?"


def paid(*script, name="paid", zone=Zone.INTERNET, **settings):
    return QuotingTier(name, *script, zone=zone, price=PRICE, **settings)


class Log(list):
    """Writes down what each part of the gate is asked, and is the purse too."""

    def tier(self, name="paid", zone=Zone.INTERNET):
        log = self

        class Logged(QuotingTier):
            def quote(self, call):
                log.append("quote")
                return super().quote(call)

            def stream(self, call):
                log.append("stream")
                yield from super().stream(call)

        return Logged(name, Reply("Paris.", usage=Usage(100, 10)), zone=zone, price=PRICE)

    def consent(self, hop):
        self.append("consent")
        return True

    def reserve(self, bound):
        self.append(f"reserve {bound}")
        return self

    def settle(self, cost):
        self.append(f"settle {cost}")

    def release(self):
        self.append("release")


def test_the_gate_keeps_its_order():
    log = Log()
    Ladder(log.tier(), reach=Zone.INTERNET, consent=log.consent, purse=log).run(ASK)
    assert log == ["quote", "consent", "reserve 1.1", "stream", "settle 0.11"]


def test_beyond_the_reach_nothing_is_asked_at_all():
    log = Log()
    Ladder(log.tier(), reach=Zone.LAN, consent=log.consent, purse=log).run(ASK)
    assert log == []


def test_nobody_is_asked_to_consent_to_what_the_budget_forbids():
    log = Log()
    Ladder(log.tier(), reach=Zone.INTERNET, consent=log.consent, purse=log, budget=Budget(money="0.3")).run(ASK)
    assert log == ["quote"]


def test_nothing_is_reserved_where_consent_is_refused():
    log = Log()
    outcome = Ladder(log.tier(), reach=Zone.INTERNET, consent=never, purse=log).run(ASK)
    assert log == ["quote"]
    assert outcome.attempts[0].detail == "never said no"


def test_on_this_machine_nobody_is_asked():
    log = Log()
    outcome = Ladder(log.tier(zone=Zone.HOST), consent=log.consent).run(ASK)
    assert log == ["quote", "stream"]
    assert outcome.attempts[0].consent is None


# --- consent ---------------------------------------------------------------------------------------------------------


def test_consent_hears_where_how_much_and_why():
    asked = []
    small = Rung(ScriptedTier("small", "3"), repairs=0)
    cloud = paid("1984")
    cloud.destination, cloud.stays_here = "api.example.org:443", False

    def ask(hop):
        asked.append(hop)
        return True

    outcome = Ladder(small, cloud, reach=Zone.INTERNET, consent=ask).run(ASK, validators=[lambda v: len(v) > 2])
    (hop,) = asked
    assert (hop.tier, hop.zone, hop.destination) == ("paid", Zone.INTERNET, "api.example.org:443")
    assert hop.max_cost == BOUND
    assert hop.reasons == ("small: check",)
    assert not hop.sends_answer
    assert hop.characters == sum(len(m.text) for m in cloud.calls[0].messages)
    assert outcome.attempts[1].consent == "ask"


@pytest.mark.parametrize("answer", [None, 1, "yes", False])
def test_only_true_is_consent(answer):
    tier = paid("Paris.")
    assert not Ladder(tier, reach=Zone.INTERNET, consent=lambda hop: answer).run(ASK).accepted
    assert tier.calls == []


@pytest.mark.slow
@pytest.mark.parametrize("allows", [True, False])
def test_the_wait_for_consent_stops_the_deadlines_clock(allows):
    def ponder(hop):
        time.sleep(0.6)
        return allows

    tiers = [ScriptedTier("lan", "Paris.", zone=Zone.LAN), ScriptedTier("last", "Paris.")]
    outcome = Ladder(*tiers, reach=Zone.LAN, consent=ponder).run(ASK, timeout=0.5)
    assert outcome.tier == ("lan" if allows else "last")
    assert outcome.attempts[-1].seconds < 0.5


def test_cancel_ends_a_consent_that_blocks():
    cancel, release, tier = Cancel(), threading.Event(), paid("Paris.")

    def blocks(hop):
        cancel.set()
        return release.wait(30)

    began = time.monotonic()
    outcome = Ladder(tier, reach=Zone.INTERNET, consent=blocks).run(ASK, cancel=cancel)
    took = time.monotonic() - began
    release.set()
    assert took < 10
    assert (outcome.reason, tier.calls) == ("cancelled", [])
    assert outcome.left_machine is False


def test_an_async_consent_is_awaited_in_arun_and_a_contract_error_in_run():
    async def ask(hop):
        await asyncio.sleep(0)
        return True

    ladder = Ladder(paid("Paris."), reach=Zone.INTERNET, consent=ask)
    with pytest.raises(ContractError, match="call arun"):
        ladder.run(ASK)
    assert asyncio.run(ladder.arun(ASK)).accepted


def test_a_bug_in_consent_surfaces_and_nothing_is_sent():
    tier = paid("Paris.")
    with pytest.raises(ZeroDivisionError):
        Ladder(tier, reach=Zone.INTERNET, consent=lambda hop: 1 / 0).run(ASK)
    assert tier.calls == []


# --- money -----------------------------------------------------------------------------------------------------------


class HalfWay:
    """Quotes, begins to answer, and then does as it is told."""

    name, zone = "paid", Zone.INTERNET

    def __init__(self, then):
        self._then = then

    def quote(self, call):
        return Quote(100, None, 1000, BOUND, PRICE)

    def stream(self, call):
        yield Delta("Par")
        self._then(call)
        yield Delta("is.", finish="stop", usage=Usage(100, 10))

    def close(self):
        pass


def throw(error):
    raise error


@each(
    ("then", "spent", "cost"),
    [
        (lambda call: None, "0.11", "0.11"),
        (lambda call: throw(TierUnavailable("refused")), "0", "0"),
        (lambda call: throw(TierUnavailable("broke off", billed="maybe")), "1.1", None),
        (lambda call: throw(TierCrashed("died")), "1.1", None),
        (lambda call: throw(KeyError("a bug of the tier")), "1.1", None),
        (lambda call: throw(Cancelled("the caller cancelled")), "1.1", None),
        (lambda call: call.cancel.set(), "1.1", None),
    ],
    ids=["answer", "certainly not billed", "maybe billed", "crash", "bug", "cancelled", "cancel unnoticed"],
)
def test_however_an_attempt_ends_its_reservation_is_settled_or_released(then, spent, cost):
    purse = MemoryPurse(5)
    outcome = Ladder(HalfWay(then), reach=Zone.INTERNET, purse=purse).run(ASK)
    assert purse.spent == Decimal(spent)
    assert outcome.cost == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(("events", "spent"), [(1, "0"), (2, "1.1")], ids=["before the call", "half way"])
def test_an_abandoned_stream_settles_its_reservation(events, spent):
    purse = MemoryPurse(5)
    stream = Ladder(HalfWay(lambda call: None), reach=Zone.INTERNET, purse=purse).stream(ASK, provisional=True)
    for _ in range(events):
        next(stream)
    assert purse.spent == BOUND
    stream.close()
    assert purse.spent == Decimal(spent)


def test_an_answer_whose_usage_nobody_reports_counts_as_its_bound():
    purse = MemoryPurse("1.4")
    ladder = Ladder(Rung(paid("Lyon", "Paris"), repairs=3), reach=Zone.INTERNET, purse=purse)
    outcome = ladder.run(ASK, validators=[lambda v: v == "Paris"])
    assert [a.reason for a in outcome.attempts] == ["check", "over_budget"]
    assert (purse.spent, outcome.cost) == (BOUND, None)


@pytest.mark.parametrize("limit", [{"budget": Budget(money="1.4")}, {"max_cost": "1.4"}], ids=["request", "tier"])
def test_an_unknown_cost_counts_as_its_bound_in_the_requests_budget_too(limit):
    budget = limit.pop("budget", None)
    tier = Rung(paid("Lyon", "Paris"), repairs=3, **limit)
    outcome = Ladder(tier, reach=Zone.INTERNET, budget=budget).run(ASK, validators=[lambda v: v == "Paris"])
    assert [a.reason for a in outcome.attempts] == ["check", "over_budget"]


def test_a_known_cost_leaves_room_for_the_next_attempt():
    tier = paid(Reply("Lyon", usage=Usage(100, 10)), Reply("Paris", usage=Usage(100, 10)))
    ladder = Ladder(Rung(tier, repairs=1), reach=Zone.INTERNET, budget=Budget(money=2))
    outcome = ladder.run(ASK, validators=[lambda v: v == "Paris"])
    assert outcome.value == "Paris"
    assert outcome.cost == Decimal("0.22")


def test_a_purse_that_is_empty_by_now_refuses_after_consent():
    class Empty:
        def reserve(self, bound):
            raise BudgetExceeded(f"${bound} is more than is left")

    outcome = Ladder(paid("Paris."), reach=Zone.INTERNET, purse=Empty()).run(ASK)
    assert (outcome.reason, outcome.attempts[0].sent) == ("over_budget", False)


class Waiting:
    """A purse that another process holds for a while, and its only reservation."""

    def __init__(self):
        self.asked, self.free, self.released = threading.Event(), threading.Event(), threading.Event()

    def reserve(self, bound):
        self.asked.set()
        self.free.wait(30)
        return self

    def release(self):
        self.released.set()


@pytest.mark.parametrize("ends", ["deadline", "cancelled"])
def test_a_purse_that_keeps_silent_holds_no_request_up_and_keeps_no_money(ends):
    purse, cancel, tier = Waiting(), Cancel(), paid("Paris.")
    if ends == "cancelled":
        threading.Thread(target=lambda: purse.asked.wait() and cancel.set()).start()
    ladder, began = Ladder(tier, reach=Zone.INTERNET, purse=purse), time.monotonic()
    outcome = ladder.run(ASK, cancel=cancel, timeout=0.1 if ends == "deadline" else None)
    assert time.monotonic() - began < 10
    assert (outcome.reason, tier.calls) == (ends, [])
    purse.free.set()
    assert purse.released.wait(10)


def test_what_certainly_costs_nothing_asks_no_purse():
    class Broken:
        def reserve(self, bound):
            raise BudgetExceeded("the purse can't be read")

    free = QuotingTier("free", "Paris.", zone=Zone.LAN, price=Price(0, 0))
    assert Ladder(free, reach=Zone.LAN, purse=Broken()).run(ASK).value == "Paris."


def test_a_token_budget_caps_the_answer():
    tier = QuotingTier("small", Reply("Paris.", usage=Usage(100, 10)), input_tokens=100)
    Ladder(tier, budget=Budget(tokens=150)).run(ASK, max_tokens=80)
    assert tier.calls[0].max_tokens == 50


# --- what goes out ---------------------------------------------------------------------------------------------------


def redact(messages):
    from dataclasses import replace

    masked = tuple(replace(m, content=m.text.replace("Ada", "[NAME]")) for m in messages)
    return masked, lambda text: text.replace("[NAME]", "Ada")


def test_what_leaves_the_machine_is_redacted_and_the_answer_restored():
    small = Rung(ScriptedTier("small", "Ada?"), repairs=0)
    cloud = ScriptedTier("cloud", Reply("[NAME] Lovelace", logprob=-0.1), zone=Zone.INTERNET)
    ladder = Ladder(small, Rung(cloud, feedback="issues+answer"), reach=Zone.INTERNET, redactor=redact)
    outcome = ladder.run("Who is Ada?", validators=[lambda v: [] if "Lovelace" in v else [f"{v} is no name"]])
    assert "Ada" in small.tier.calls[0].messages[-1].text
    (call,) = cloud.calls
    assert "Ada" not in "".join(m.text for m in call.messages)
    assert call.rejected is None
    assert "[NAME]? is no name" in call.messages[-1].text
    assert (outcome.value, outcome.text) == ("Ada Lovelace", "Ada Lovelace")


def test_text_that_is_still_redacted_is_not_shown_provisionally():
    cloud = ScriptedTier("cloud", "[NAME]", zone=Zone.INTERNET)
    events = list(Ladder(cloud, reach=Zone.INTERNET, redactor=redact).stream("Who is Ada?", provisional=True))
    assert [type(e).__name__ for e in events] == ["AttemptStarted", "AttemptEnded", "Accepted", "Finished"]


CANARY = "kanarienvogel"


def rejected_then(policy, zone, texts=(CANARY,)):
    small = Rung(ScriptedTier("small", *texts), repairs=0)
    second = ScriptedTier("second", "Paris", zone=zone)
    rung = Rung(second) if policy is None else Rung(second, feedback=policy)
    Ladder(small, rung, reach=zone).run(ASK, validators=[lambda v: [] if v == "Paris" else ["name a city"]])
    return second.calls[0]


@pytest.mark.parametrize("zone", [Zone.HOST, Zone.INTERNET])
def test_each_hop_has_its_own_feedback_policy(zone):
    none = rejected_then("none", zone)
    assert [m.text for m in none.messages] == [ASK]

    issues = rejected_then("issues", zone)
    assert [m.role for m in issues.messages] == ["user"]
    assert "name a city" in issues.messages[0].text

    both = rejected_then("issues+answer", zone)
    assert [m.role for m in both.messages] == ["user", "assistant", "user"]
    assert both.messages[1].text == CANARY


@pytest.mark.parametrize("policy", [None, "none", "issues"])
def test_a_rejected_text_stays_here_unless_the_policy_lets_it_go(policy):
    call = rejected_then(policy, Zone.INTERNET)
    assert CANARY not in "".join(m.text for m in call.messages)
    assert call.rejected is None


def test_a_local_tier_may_draft_from_the_rejected_text_whatever_it_is_told():
    assert rejected_then("none", Zone.HOST).rejected == CANARY


def test_a_rejected_text_is_passed_on_cut_to_a_limit():
    call = rejected_then("issues+answer", Zone.HOST, texts=(" ".join(map(str, range(2000))),))
    assert 3000 < len(call.messages[1].text) < 5000


# --- where it went ---------------------------------------------------------------------------------------------------


def test_whether_a_prompt_left_the_machine_is_known_or_said_to_be_unknown():
    here = ScriptedTier("here", "Paris.", "Paris.")
    assert Ladder(here).run(ASK).left_machine is False

    cloud = ScriptedTier("cloud", TierCrashed("broke off"), zone=Zone.INTERNET)
    assert Ladder(cloud, here, reach=Zone.INTERNET).run(ASK).left_machine is True

    loopback = ScriptedTier("loopback", "Paris.", "Paris.")
    loopback.destination, loopback.stays_here = "127.0.0.1:4000", None
    assert Ladder(loopback).run(ASK).left_machine is None
    loopback.stays_here = True
    assert Ladder(loopback).run(ASK).left_machine is False

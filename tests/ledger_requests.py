"""Requests for a ledger to record: one that leaves this machine, and one that stays."""

from __future__ import annotations

from rung import Ladder, Price, Usage, Zone
from rung.testing import QuotingTier, Reply, ScriptedTier

CANARY, KEY = "kanarienvogel", "sk-kanarienschluessel"
GOOD = [lambda value: value == "good"]


class Cloud(QuotingTier):
    """A paid tier that says where a prompt goes."""

    destination = "api.example.com:443"
    stays_here = False


def climb(ledger, *, prompt="Well?", task=None, small="bad", cloud="good"):
    """A request that a local tier fails, and a paid one answers for $0.002, of at most $0.021."""
    usage = Usage(100, 50)
    local = ScriptedTier("small", Reply(small, usage=usage, logprob=-0.5), Reply(small, usage=usage))
    paid = Cloud("cloud", Reply(cloud, usage=usage), zone=Zone.INTERNET, price=Price(10, 20))
    ladder = Ladder(local, paid, reach=Zone.INTERNET, observers=[ledger])
    return ladder.run(prompt, validators=GOOD, task=task)


def stay(ledger, *, prompt="Well?", task=None):
    """A request that the local tier answers."""
    ladder = Ladder(ScriptedTier("small", Reply("good", usage=Usage(100, 50))), observers=[ledger])
    return ladder.run(prompt, validators=GOOD, task=task)

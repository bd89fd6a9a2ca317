"""How long a local model's worker may outlive its command: what the files want, and what the policy and the system let
it have.
"""

from __future__ import annotations

from rung.config.document import Origin, Setting
from rung.config.ledger import Pick
from rung.config.tables import PolicyTable


def linger_config(pick: Pick, policy: PolicyTable, policy_origin: Origin) -> tuple[Setting[float], tuple[str, ...]]:
    """The seconds, and a sentence for what the user asked for and doesn't get.

    An untrusted project file can't make workers linger, because that takes memory behind its command.

    Args:
        pick: picks a setting from the files.
        policy: what the system allows.
        policy_origin: where the policy is.
    """
    found = pick("linger", lambda t: t.linger, looser=lambda new, old: new > old)
    if found.value and (why := _why_not()):
        return Setting(0.0, Origin("default")), (f"linger has no effect here: {why}",)
    if policy.linger is not None and policy.linger < found.value:
        return Setting(policy.linger, policy_origin), ()
    return found, ()


def _why_not() -> str:
    from rung.tiers.llama.rendezvous import why_not

    return why_not()

"""For tests of rung and of whatever is built on it: a scripted tier, a conformance suite, and a network guard for
pytest.

The guard is a pytest plugin: `pytest -p rung.testing.plugin`.
"""

from rung.testing.conformance import check_tier
from rung.testing.scripted import QuotingTier, Reply, ScriptedTier

__all__ = ["QuotingTier", "Reply", "ScriptedTier", "check_tier"]

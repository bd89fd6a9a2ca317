"""Commands and the exit codes that they end with."""

from __future__ import annotations

SMALL = '[[tier]]\nname = "small"\nkind = "golden"\nscript = [{ text = "good" }, { text = "good" }]\n'
GONE = '[[tier]]\nname = "small"\nkind = "golden"\nscript = [{ raises = "TierUnavailable" }]\n'

ACCEPTED, GONE_CONFIG = "{home}/always.toml", "{home}/gone.toml"

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--version",),
    ("--help",),
    ("ask", "--help"),
    ("ask", "Who?", "--config", ACCEPTED),
    ("ask", "Who?", "--config", ACCEPTED, "--json"),
    ("ask", "Who?", "--config", ACCEPTED, "--check", "golden_checks:never"),
    ("ask", "Who?", "--config", ACCEPTED, "--check", "golden_checks:refuses_all"),
    ("ask", "Who?", "--config", ACCEPTED, "--check", "golden_checks:refuses_all", "--json"),
    ("ask", "Who?", "--config", ACCEPTED, "--check", "golden_checks:broken", "--json"),
    ("ask", "Who?", "--config", ACCEPTED, "--check", "no-such-program-anywhere"),
    ("ask", "Who?", "--config", ACCEPTED, "--choices", "a,b", "--regex", "a"),
    ("ask", "Who?", "--config", ACCEPTED, "--tier", "smal"),
    ("ask", "Who?", "--config", ACCEPTED, "--type", "no_such_module:Name"),
    ("ask", "Who?", "--config", ACCEPTED, "--no-such-option"),
    ("ask", "Who?", "--config", ACCEPTED, "--no-such-option", "--json"),
    ("ask", "Who?", "--config", "{home}/absent.toml", "--json"),
    ("ask", "Who?", "--config", GONE_CONFIG),
    ("ask", "Who?", "--config", GONE_CONFIG, "--json"),
    ("ask", "Who?"),
    ("ask", "Who?", "--json"),
    ("ask", "--config", ACCEPTED),
    ("no-such-command",),
    ("config", "show", "--config", ACCEPTED),
    ("config", "trust", "--json"),
    ("ledger", "list"),
    ("ledger", "list", "--json"),
    ("ledger", "show", "--json"),
    ("ledger", "show", "zzzz"),
    ("ledger", "stats", "--json"),
    ("ledger", "export", "--format", "chat", "--json"),
    ("ledger", "export", "--format", "chat"),
    ("ledger", "purge", "--json"),
    ("ledger", "purge", "--all", "--json"),
    ("ledger", "purge", "--all", "--yes", "--json"),
    ("models", "list"),
    ("models", "pull", "smollm2-135m", "--json"),
    ("models", "verify", "no-such-model", "--json"),
)
"""Each is run with `RUNG_OFFLINE`, and all of them with one ledger, which is empty at first."""

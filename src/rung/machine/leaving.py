"""What could leave this machine under the configuration in force, and whether the guard holds."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rung import guard
from rung.config import Config, Setting, TierTable, farthest, load
from rung.errors import ConfigError, Offline, RungError, TierUnavailable
from rung.hiding import variable
from rung.ladder import Ladder
from rung.machine.findings import Finding
from rung.tier import Rung
from rung.types import Call, Message, Zone

# A network for documentation (RFC 5737) and a name that nobody can have (RFC 2606).
_NOBODY, _NO_NAME = "192.0.2.1", "guard.invalid"
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Way:
    """A tier by which a prompt could leave this machine.

    Args:
        tier: the tier's name.
        zone: how far a prompt to it travels.
        destination: host and port; `None` where the tier doesn't tell.
        open: whether a prompt could go there as things stand, even if a person is asked first.
        why: what opens or blocks it, in a clause.
        hint: what would block it; empty if it is blocked.
        consent: what the tier's table says: `ask`, `always` or `never`.
        key: the environment variable that holds its key; `None` if it has none.
        key_set: whether that variable is set.
        feedback: how much of a rejected answer goes along.
        redacted: whether private values are masked.
        store: `False` if the endpoint is told to keep nothing; `None` if it isn't told anything.
    """

    tier: str
    zone: str
    destination: str | None
    open: bool
    why: str
    hint: str
    consent: str
    key: str | None
    key_set: bool
    feedback: str
    redacted: bool
    store: bool | None


@dataclass(frozen=True, slots=True)
class Leaving:
    """What the configuration says, and what it lets out.

    Args:
        findings: on configuration, reach, policy and guard.
        ways: the tiers by which a prompt could leave, in the ladder's order.
        config: the configuration in force; `None` if it can't be read.
        ladder: the ladder of that configuration; `None` if it makes none.
    """

    findings: tuple[Finding, ...]
    ways: tuple[Way, ...]
    config: Config | None
    ladder: Ladder | None

    @property
    def sealed(self) -> bool:
        """Whether no prompt could leave this machine. Whatever couldn't be looked at counts as open."""
        return not any(way.open for way in self.ways) and all(f.level != "problem" for f in self.findings)


def leaving(path: Path | None = None) -> Leaving:
    """Look at the configuration. Opens no connection; only for a process that holds itself to this machine.

        guard.install(Zone.HOST)
        found = leaving()
        print(found.sealed, [way.destination for way in found.ways if way.open])

    Args:
        path: the only file to read; `None` looks where every command looks.
    """
    findings: list[Finding] = []
    config = ladder = None
    ways: tuple[Way, ...] = ()
    try:
        config = load(path)
        findings += [Finding("config", "ok", f"{file.path} ({file.origin.source})") for file in config.files]
        findings += [Finding("config", "note", note) for note in config.notes]
        findings += limits(config, farthest())
        if asks := config.asks():
            file = config.files[0].path
            hint = f"look at it, then run `rung config trust {file}`"
            findings.append(
                Finding("config", "problem", f"{file} is not trusted, and asks to {'; to '.join(asks)}", hint)
            )
        else:
            ladder = config.ladder()
            ways = tuple(_ways(config, ladder))
    except ConfigError as error:
        findings.append(Finding("config", "problem", error.message, error.hint))
    except TierUnavailable:
        # No tier is configured and no model is here. The models' findings say so, and nothing can leave.
        pass
    return Leaving((*findings, guarded()), ways, config, ladder)


def limits(config: Config, limit: Setting[Zone]) -> Iterator[Finding]:
    """How far a prompt may travel, what could widen that, and what the person can't override.

    Args:
        config: what is in force.
        limit: how far anything may travel, whatever the person wants.
    """
    reach = config.reach
    text = f"{reach.value} ({reach.origin})"
    if limit.value > reach.value:
        yield Finding("reach", "ok", f"{text}; --reach can widen it to {limit.value}, for one command")
    elif limit.value < Zone.INTERNET:
        yield Finding("reach", "ok", f"{text}; no option and no file can widen it")
    else:
        yield Finding("reach", "ok", text)
    yield Finding("policy", "ok", _policy(config))
    switches = " and ".join(guard.switches())
    if switches:
        yield Finding("offline", "ok", f"{switches} forbids all network, that of `rung models pull` too")
    else:
        yield Finding("offline", "ok", f"RUNG_OFFLINE is not set; `rung models pull` {_may_fetch(limit)}")


def guarded() -> Finding:
    """Whether the guard of this process refuses connections and look-ups. It tries an address and a name of nobody."""
    attempts: Mapping[str, Callable[[], object]] = {
        f"a connection to {_NOBODY}": _connect,
        f"a look-up of {_NO_NAME}": lambda: socket.getaddrinfo(_NO_NAME, 9),
    }
    passed = [what for what, attempt in attempts.items() if not _refused(attempt)]
    if passed:
        text = f"the guard let {' and '.join(passed)} through"
        return Finding("guard", "problem", text, "report it, with the version of Python")
    return Finding("guard", "ok", f"{' and '.join(attempts)} were refused, nothing was sent")


def _connect() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect((_NOBODY, 9))


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except Offline:
        return True
    except OSError:
        return False
    return False


def _ways(config: Config, ladder: Ladder) -> Iterator[Way]:
    tables = {table.rung.name: table for table in config.tiers.value}
    for rung in ladder.rungs:
        tier = rung.tier
        vouched = rung.travels.stays_here if rung.travels else True
        if tier.zone > Zone.HOST or vouched is None:
            yield _way(rung, tables[tier.name], config.reach)


def _way(rung: Rung, table: TierTable, reach: Setting[Zone]) -> Way:
    tier, consent = rung.tier, table.rung.consent
    hint = ""
    if tier.zone == Zone.HOST:
        why = "what the endpoint does with a prompt nobody here can know"
        hint = "set stays_here = true in its table if it keeps prompts on this machine"
    elif tier.zone > reach.value:
        why = f"the reach is {reach.value}"
    elif consent == "never":
        why = 'its consent is "never"'
    else:
        why = 'its consent is "always"' if consent == "always" else "a person at the terminal is asked each time"
        hint = 'set reach = "host", or consent = "never" in its table'
    key = table.settings.get("api_key")
    named = variable(key.get("env")) if isinstance(key, Mapping) else None
    return Way(
        tier=tier.name,
        zone=str(tier.zone),
        destination=rung.travels.destination if rung.travels else None,
        open=bool(hint),
        why=why,
        hint=hint,
        consent=consent,
        key=named,
        key_set=named is not None and bool(os.environ.get(named)),
        feedback=rung.feedback,
        redacted=rung.redactor is not None and tier.zone > Zone.HOST,
        store=_store(rung),
    )


def _store(rung: Rung) -> bool | None:
    """What the body of a request says about keeping the prompt. The body itself is asked, because it is what would be
    sent.
    """
    if rung.shows is None:
        return None
    try:
        body = json.loads(rung.shows.outgoing(Call((Message("user", "?"),))).body)
    except (RungError, ValueError):
        return None
    return body.get("store") if isinstance(body, dict) else None


def _policy(config: Config) -> str:
    file = config.policy_file
    said = [
        f"{key} {value if isinstance(value, str) else ', '.join(sorted(value)) or 'none'}"
        for key, value in config.policy
        if value is not None
    ]
    if said:
        return f"{file}: {'; '.join(said)}"
    return f"{file} says nothing" if file.exists() else f"there is none at {file}"


def _may_fetch(limit: Setting[Zone]) -> str:
    return "may fetch models" if limit.value == Zone.INTERNET else f"may fetch none ({limit.origin})"

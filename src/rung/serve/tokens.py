"""Named tokens for a server that several people share: who may ask, how far, how often, and for how much money."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rung.errors import ConfigError
from rung.files import read_bounded
from rung.ledger.budgets import day_begins
from rung.ledger.schema import MOST
from rung.limits import Money, usd
from rung.locking import locked
from rung.serve.door import Caller
from rung.serve.errors import used_up
from rung.spelling import nearest
from rung.types import Zone
from rung.writing import private_folder, write_whole

_log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Pattern of a token's name, which is shown in the ledger, on the page and in tables."""

_RESERVED = Caller().name
"""Name of the caller who uses the token in the ready file."""

_MOST_BYTES = 4 * 2**20
"""Most bytes of the token file: about ten thousand tokens."""

_PATIENCE = 10.0
"""Seconds to wait for another command that changes the file. A change takes a few milliseconds."""

_LOOK_EVERY = 1.0
"""Seconds between two checks of the token file. A removed token is refused after that at the latest."""


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A token as it is stored: without the secret.

    Args:
        name: of its holder.
        sha256: hash of the secret.
        per_day: most requests from midnight to midnight UTC; `None` sets no limit.
        usd_per_day: most US dollars that they may cost; `None` sets no limit.
        reach: how far its prompts may travel; `None` is as far as the server's.
        added: when it was made, in ISO 8601.
    """

    name: str
    sha256: str
    per_day: int | None
    usd_per_day: Decimal | None
    reach: str | None
    added: str

    @property
    def caller(self) -> Caller:
        """The holder of the token."""
        reach = None if self.reach is None else Zone.parse(self.reach)
        return Caller(self.name, reach, self.per_day, self.usd_per_day)


class _TokenRow(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    per_day: Annotated[int, Field(ge=0)] | None
    usd_per_day: Annotated[Decimal, Field(ge=0, le=MOST, allow_inf_nan=False)] | None = None
    reach: Annotated[str, Field(pattern="^(host|lan|internet)$")] | None
    added: str


class _TokenFileBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokens: list[_TokenRow]


class TokenFile:
    """The named tokens of this user's servers. Only this user can read the file, and it has no secrets.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[NamedToken, ...]:
        """The tokens, sorted by name; empty if there is no file.

        Raises:
            ConfigError: the file can't be read, or isn't a token file.
        """
        if not self.path.exists():
            return ()
        try:
            body = _TokenFileBody.model_validate_json(read_bounded(self.path, _MOST_BYTES, "the tokens"))
        except ValidationError:
            hint = "remove it, and make the tokens anew with `rung serve token add NAME`"
            raise ConfigError(f"{self.path} doesn't hold the tokens of a server", hint=hint) from None
        return tuple(NamedToken(**row.model_dump()) for row in sorted(body.tokens, key=lambda row: row.name))

    def add(
        self,
        name: str,
        *,
        per_day: int | None = None,
        usd_per_day: Money | None = None,
        reach: Zone | None = None,
    ) -> str:
        """Make a token, and return its secret. The secret isn't stored.

        Args:
            name: of its holder.
            per_day: most requests per day in UTC.
            usd_per_day: most US dollars that they may cost per day in UTC.
            reach: how far its prompts may travel.

        Raises:
            ConfigError: the name is taken or not allowed, the money is not a valid amount, or the file can't be
                written.
        """
        money = None if usd_per_day is None else usd(usd_per_day, "the money per day")
        if money is not None and money > MOST:
            raise ConfigError(f"${money:f} a day is more than the ledger can count", hint=f"give at most {MOST:f}")
        if NAME.fullmatch(name) is None or name == _RESERVED:
            said = f"a token's name has up to 64 letters, digits, `.`, `_` and `-`, and is not {_RESERVED!r}"
            raise ConfigError(said)
        secret = f"rung-{secrets.token_urlsafe(32)}"
        with self._changing():
            known = self.read()
            if any(token.name == name for token in known):
                raise ConfigError(f"there is a token of the name {name!r}", hint=f"rung serve token remove {name}")
            added = datetime.now(UTC).isoformat(timespec="seconds")
            far = None if reach is None else str(reach)
            self._write((*known, NamedToken(name, _hash(secret), per_day, money, far, added)))
        return secret

    def remove(self, name: str) -> None:
        """Remove a token. Running servers refuse it from then on.

        Raises:
            ConfigError: there is no such token, or the file can't be written.
        """
        with self._changing():
            known = self.read()
            left = tuple(token for token in known if token.name != name)
            if len(left) == len(known):
                hint = nearest(name, [token.name for token in known]) or "`rung serve token add NAME` makes one"
                raise ConfigError(f"there is no token {name!r}", hint=hint)
            self._write(left)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the file's lock for the length of the block."""
        try:
            private_folder(self.path.parent)
            with locked(self.path.with_name(f"{self.path.name}.lock"), patience=_PATIENCE):
                yield
        except TimeoutError:
            raise ConfigError(f"another process changes {self.path}", hint="try again") from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _write(self, tokens: tuple[NamedToken, ...]) -> None:
        body = {"tokens": [asdict(token) for token in tokens]}
        write_whole(self.path, json.dumps(body, indent=1, default=str).encode() + b"\n")

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(f"the tokens in {self.path} can't be written: {(error.strerror or str(error)).lower()}")


class NamedTokens:
    """Looks up who holds a token. Changes of the file take effect within a second.

    Args:
        file: the tokens.
        first: looks up tokens that aren't in the file.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        file: TokenFile,
        first: Callable[[str], Caller | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._first = first
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = -_LOOK_EVERY
        self._known: dict[str, Caller] = {}

    def __call__(self, given: str) -> Caller | None:
        """Who holds a token; `None` for an unknown token."""
        found = self._first(given)
        if found is not None:
            return found
        with self._lock:
            now = self._clock()
            if now - self._looked >= _LOOK_EVERY:
                self._looked = now
                try:
                    self._known = {token.sha256: token.caller for token in self._file.read()}
                except ConfigError as error:
                    self._known = {}  # if the file can't be read, no named token is accepted
                    _log.error("%s", error)
            return self._known.get(_hash(given))


class Quotas:
    """Counts the requests of each token per day in UTC.

    Args:
        counted: returns how many requests a caller made since an instant in milliseconds. It is called once per caller
            and day, before this server counts itself.
        clock: seconds since 1970.
    """

    def __init__(
        self, counted: Callable[[str, int], int] = lambda name, since: 0, clock: Callable[[], float] = time.time
    ) -> None:
        self._counted = counted
        self._clock = clock
        self._lock = threading.Lock()
        self._day: int | None = None
        self._used: Counter[str] = Counter()

    def take(self, caller: Caller, requests: int) -> None:
        """Count requests, or refuse them if the quota is exceeded. It may read a file.

        Args:
            caller: who asks.
            requests: how many requests to count.

        Raises:
            ApiError: the quota for today is used up.
        """
        if caller.per_day is None:
            return
        now = self._clock()
        day = day_begins(now)
        with self._lock:
            if day != self._day:
                self._day, self._used = day, Counter()
            if caller.name not in self._used:
                self._used[caller.name] = self._counted(caller.name, day)
            if self._used[caller.name] + requests > caller.per_day:
                said = f"the token of {caller.name} may make {caller.per_day:,} requests a day, which are used up"
                raise used_up(said, now)
            self._used[caller.name] += requests


def _hash(secret: str) -> str:
    # the secret is long and random, so an unsalted fast hash can't be reversed by search
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()

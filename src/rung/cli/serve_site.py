"""`rung serve` for a site: listening beyond loopback, and the tokens of the people who share the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rung.cli.options import Json, TrustedConfig

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.serve.tokens import NamedToken, TokenFile


@dataclass(frozen=True, slots=True)
class Site:
    """How a server is reached.

    Args:
        host: the address that it listens on.
        names: names by which clients call it.
        certificate: PEM file, for HTTPS.
        key: its private key.
        plain_http: whether to allow plain HTTP beyond loopback.
    """

    host: str
    names: tuple[str, ...]
    certificate: Path | None
    key: Path | None
    plain_http: bool

    @property
    def chain(self) -> tuple[Path, Path] | None:
        """Certificate and key; `None` for plain HTTP."""
        return None if self.certificate is None or self.key is None else (self.certificate, self.key)

    @property
    def address(self) -> str:
        """The host in the URL: the name that the user gave, or else the address; loopback if that is unspecified."""
        if self.names:
            return self.names[0]
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)


def token_file() -> TokenFile:
    """The named tokens of this user's servers."""
    from rung.paths import user_data
    from rung.serve.tokens import TokenFile

    return TokenFile(user_data() / "serve-tokens.json")


def checked(site: Site) -> Iterator[str]:
    """Check how the server is reached, and yield notes for the person who starts it.

    Raises:
        ConfigError: the settings don't work, or aren't safe.
    """
    from rung.errors import ConfigError
    from rung.serve import listening

    if (site.certificate is None) != (site.key is None):
        raise ConfigError("a certificate needs its key, and a key its certificate", hint="give --certificate and --key")
    if site.chain is not None:
        listening.certified(*site.chain)
    if listening.is_loopback(site.host):
        return
    if not listening.is_address(site.host):
        said = f"{site.host!r} is not an address of this machine"
        raise ConfigError(said, hint="give an address to --host, and the name by which clients call it to --name")
    if site.chain is None and not site.plain_http:
        raise ConfigError(
            f"on {site.host}, whoever can listen in the network would read prompts, answers and tokens",
            hint="give --certificate and --key, or --plain-http if that network is trusted",
        )
    if not token_file().read():
        said = f"on {site.host} everybody needs a token of their own, and there is none"
        raise ConfigError(said, hint="make one with `rung serve token add NAME`")
    if site.chain is None:
        yield "plain HTTP: whoever can listen in the network reads prompts, answers and tokens, and can use the tokens"


def token_group() -> typer.Typer:
    """The group of `rung serve token`."""
    outer = typer.Typer(rich_markup_mode=None)
    outer.callback()(_serve)
    group = typer.Typer(
        rich_markup_mode=None, epilog="Example: rung serve token add ada --per-day 200 --usd-per-day 1.50"
    )
    group.callback()(_token)
    for function, name, says, example in (
        (add, "add", "Make a token, and print it once.", "rung serve token add ada --per-day 200 --usd-per-day 1.50"),
        (list_, "list", "List the tokens.", "rung serve token list"),
        (remove, "remove", "Refuse a token from now on.", "rung serve token remove ada"),
    ):
        command: Callable[..., int | None] = function
        group.command(name, short_help=says, epilog=f"Example: {example}")(command)
    outer.add_typer(group, name="token", short_help="Make, list and remove the tokens of a shared server.")
    return outer


def _serve() -> None:
    """Serve the ladder as one model to every client of OpenAI's API, on this machine or for a site."""


def _token() -> None:
    """Make, list and remove the tokens of those who share a server. Only hashes of them are kept."""


_Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose it is. The ledger calls their requests so.")]


def add(
    context: typer.Context,
    name: _Name,
    per_day: Annotated[
        int | None,
        typer.Option("--per-day", metavar="N", min=0, help="Most requests from midnight to midnight UTC."),
    ] = None,
    usd_per_day: Annotated[
        str | None,
        typer.Option(
            "--usd-per-day",
            metavar="USD",
            help="Most US dollars that its requests may cost from midnight to midnight UTC. Free tiers still answer "
            "when it is used up.",
        ),
    ] = None,
    reach: Annotated[
        Literal["host", "lan", "internet"] | None,
        typer.Option("--reach", help="How far its prompts may travel. It can only tighten the server's reach."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a token and print it. It can't be shown again. A server that runs knows it within a second."""
    from rung.types import Zone

    far = None if reach is None else Zone.parse(reach)
    secret = token_file().add(name, per_day=per_day, usd_per_day=usd_per_day, reach=far)
    output: Output = context.obj.output
    if output.json:
        output.object({"status": "ok", "name": name, "token": secret})
    else:
        output.answer(secret)
        output.say("this is the API key of its client; it is kept nowhere and can't be shown again")


def list_(context: typer.Context, json: Json = False, config: TrustedConfig = None) -> None:
    """List the tokens: whose they are, how far they reach, what they may ask and spend in a day, and how much of that
    the ledger has counted today (UTC).
    """
    from rung.cli.tables import UNKNOWN, aligned, money

    def figure(count: int | None) -> str:
        return UNKNOWN if count is None else f"{count:,}"

    def amount(usd: Decimal | None) -> str:
        return UNKNOWN if usd is None else money(usd)

    output: Output = context.obj.output
    known = token_file().read()
    found = list(zip(known, _used(known, config), strict=True))
    if output.json:
        output.object({"status": "ok", "tokens": [_as_object(token, used) for token, used in found]})
    elif found:
        rows = [
            (
                token.name,
                token.reach or UNKNOWN,
                token.added,
                figure(used.requests),
                figure(token.per_day),
                amount(used.usd),
                amount(token.usd_per_day),
            )
            for token, used in found
        ]
        heads = ("name", "reach", "added", "requests today", "a day at most", "spent today", "a day at most")
        output.answer(aligned(heads, rows, words=3))
    else:
        output.say("there is no token")


@dataclass(frozen=True, slots=True)
class _Used:
    """What the ledger has counted of a token today.

    Args:
        requests: number of its requests; `None` if requests aren't recorded.
        usd: US dollars that are spent or reserved.
    """

    requests: int | None
    usd: Decimal


def _used(tokens: Sequence[NamedToken], config: Path | None) -> list[_Used]:
    import time

    from rung.config import load
    from rung.ledger import LedgerFile, asked_since, spending_of
    from rung.ledger.budgets import day_begins

    settings, now = load(config).ledger, time.time()
    if not settings.path.value.exists():
        return [_Used(0 if settings.record.value else None, Decimal(0)) for _ in tokens]
    found = []
    with LedgerFile(settings.path.value) as file:
        for token in tokens:
            requests = asked_since(file, token.name, day_begins(now)) if settings.record.value else None
            with file.snapshot() as connection:
                today = spending_of(connection, token.name, token.usd_per_day, now)
            found.append(_Used(requests, today.spent + today.reserved))
    return found


def _as_object(token: NamedToken, used: _Used) -> dict[str, object]:
    return {
        "name": token.name,
        "per_day": token.per_day,
        "requests_today": used.requests,
        "usd_per_day": None if token.usd_per_day is None else float(token.usd_per_day),
        "usd_today": float(used.usd),
        "reach": token.reach,
        "added": token.added,
    }


def remove(context: typer.Context, name: _Name, json: Json = False) -> None:
    """Forget a token. A server that runs refuses it within a second."""
    token_file().remove(name)
    output: Output = context.obj.output
    if output.json:
        output.object({"status": "ok", "name": name})
    else:
        output.say(f"the token of {name} is removed")

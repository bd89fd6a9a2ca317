"""`rung serve`."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import OnlyTiers, TrustedConfig

if TYPE_CHECKING:
    from rung.serve.server import Server

EXAMPLES = """\b
Examples:
  rung serve
  rung serve --port 0 --ready-file server.json --parent-pid $$
  rung serve --socket "$XDG_RUNTIME_DIR/rung.sock" --config rung.toml
  rung serve token add ada --per-day 200
  rung serve --host 0.0.0.0 --certificate site.pem --key site.key

\b
Clients of OpenAI's API need two things of the ready file: `url` is their base
URL, and `token` their API key.

\b
Exit codes: 0 stopped as asked, 2 usage or a port that is taken, 4 no tier is
available.
"""

_PORT = 8790
_VARIABLE = "RUNG_SERVE_TOKEN"
_SHORTEST = 16
"""Fewest characters of a token that the user chose. A program on the same machine can guess a shorter one."""

_LONGEST = 1000
"""Most characters of a token, so that it fits into a header."""

_EXTRA = ("starlette", "uvicorn", "prometheus_client")

_Port = Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes a free one.")]
_Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Listen on this address; 0.0.0.0 or :: are all of them. Others than loopback need a certificate and named "
        "tokens.",
    ),
]
_Name = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="HOST", help="A name by which clients call this machine. It may be given often."),
]
_Certificate = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="FILE", help="For HTTPS: a PEM file, with what vouches for it behind it."),
]
_Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The certificate's private key.")]
_PlainHttp = Annotated[
    bool,
    typer.Option(
        "--plain-http",
        help="Beyond loopback without a certificate: whoever can listen in the network reads prompts, answers and "
        "tokens, and can use the tokens.",
    ),
]
_Socket = Annotated[
    Path | None, typer.Option("--socket", metavar="FILE", help="Listen on a Unix socket instead of a port.")
]
_Ready = Annotated[
    Path | None,
    typer.Option(
        "--ready-file",
        metavar="FILE",
        help="Where to write address, pid, token and version as JSON, once requests are taken. It is removed at the "
        "end. By default it lies among the user's data.",
        show_default=False,
    ),
]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help=f"Take the token from this file, or from the variable {_VARIABLE}. Without either, each start makes a "
        "new one.",
    ),
]
_Parent = Annotated[
    int | None,
    typer.Option(
        "--parent-pid",
        metavar="PID",
        min=1,
        help="End when this process does. It is the app's own; a frozen app's launcher is another.",
    ),
]
_Stdin = Annotated[bool, typer.Option("--exit-on-stdin-eof", help="End when standard input does.")]
_Reach = Annotated[
    str | None,
    typer.Option(
        "--reach",
        metavar="ZONE",
        help="How far prompts may travel: host, lan or internet. Giving it is consent for every request.",
    ),
]


def serve(
    context: typer.Context,
    port: _Port = _PORT,
    host: _Host = "127.0.0.1",
    name: _Name = None,
    certificate: _Certificate = None,
    key: _Key = None,
    plain_http: _PlainHttp = False,
    socket: _Socket = None,
    ready_file: _Ready = None,
    token_file: _TokenFile = None,
    parent_pid: _Parent = None,
    exit_on_stdin_eof: _Stdin = False,
    reach: _Reach = None,
    tier: OnlyTiers = None,
    config: TrustedConfig = None,
) -> int:
    """Serve the ladder as one model to every client of OpenAI's API, on this machine or for a site."""
    _demand_extra()
    from rung.cli import serve_site
    from rung.serve import listening

    output = context.obj.output
    site = serve_site.Site(host, tuple(name or ()), certificate, key, plain_http)
    if socket is None:
        for said in serve_site.checked(site):
            output.say(f"note: {said}")
    # first, so that a taken port is reported before anything is loaded
    listener = listening.unix(socket) if socket is not None else listening.tcp(host, port)
    try:
        from rung.config import load
        from rung.paths import user_data
        from rung.serve import watching
        from rung.serve.door import one_token
        from rung.serve.starting import Order
        from rung.serve.starting import serve as run
        from rung.serve.tokens import NamedTokens
        from rung.types import Zone

        interrupts = context.obj.interrupts
        token = _token(token_file)
        found = load(config, reach=None if reach is None else Zone.parse(reach))
        for note in found.notes:
            output.say(f"note: {note}")
        number = listener.getsockname()[1] if socket is None else os.getpid()

        def hold(server: Server) -> None:
            # on Ctrl-C, requests under way finish before the ladder is closed
            interrupts.finish(server.stop, keeps_code=True)
            if parent_pid is not None:
                watching.parent(parent_pid, lambda: server.stop(at_once=True))
            if exit_on_stdin_eof and sys.stdin is not None:
                watching.end_of(sys.stdin.buffer, lambda: server.stop(at_once=True))

        order = Order(
            config=found,
            listener=listener,
            path=socket,
            token=token,
            tokens=NamedTokens(serve_site.token_file(), one_token(token)),
            ready_file=ready_file or user_data() / f"serve-{number}.json",
            only=tier or (),
            say=output.say,
            address=site.address,
            hosts=listening.names(host, site.names),
            certificate=site.chain,
        )
        run(order, hold)
        return 0
    finally:
        listener.close()
        if socket is not None:
            socket.unlink(missing_ok=True)


def tokens() -> typer.Typer:
    """The group whose only command is `token`, which is a group itself."""
    from rung.cli import serve_site

    _demand_extra()
    return serve_site.token_group()


def _demand_extra() -> None:
    from rung.errors import ConfigError

    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"this needs {', '.join(missing)}, which isn't installed", hint='pip install "rung[serve]"')


def _token(file: Path | None) -> str:
    """The token that the user gave, or a new one. It is no option, because other users can see a command line."""
    from rung.errors import ConfigError
    from rung.files import full, read_bounded

    if file is not None:
        given = read_bounded(full(file, "the token"), 64 * 1024, "the token").decode("utf-8", "replace").strip()
    elif (given := os.environ.get(_VARIABLE, "").strip()) == "":
        return secrets.token_urlsafe(32)
    if not (_SHORTEST <= len(given) <= _LONGEST and given.isascii() and given.isprintable() and " " not in given):
        hint = "make one with `openssl rand -hex 32`"
        raise ConfigError(f"a token has {_SHORTEST} to {_LONGEST:,} letters, digits and signs, and no space", hint=hint)
    return given

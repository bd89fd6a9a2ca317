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
"""Characters of a token that somebody chose: fewer can be guessed by a program on the same machine."""

_LONGEST = 1000
"""Characters of a token: a header has room for it."""

_EXTRA = ("starlette", "uvicorn", "prometheus_client")

_Port = Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes a free one.")]
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
    socket: _Socket = None,
    ready_file: _Ready = None,
    token_file: _TokenFile = None,
    parent_pid: _Parent = None,
    exit_on_stdin_eof: _Stdin = False,
    reach: _Reach = None,
    tier: OnlyTiers = None,
    config: TrustedConfig = None,
) -> int:
    """Serve the ladder as one model to every client of OpenAI's API, on this machine alone."""
    _demand_extra()
    from rung.serve import listening

    # first, so that a port that is taken is said before anything is loaded
    listener = listening.unix(socket) if socket is not None else listening.tcp("127.0.0.1", port)
    try:
        from rung.config import load
        from rung.paths import user_data
        from rung.serve import watching
        from rung.serve.door import one_token
        from rung.serve.starting import Order
        from rung.serve.starting import serve as run
        from rung.types import Zone

        output, interrupts = context.obj.output, context.obj.interrupts
        token = _token(token_file)
        found = load(config, reach=None if reach is None else Zone.parse(reach))
        for note in found.notes:
            output.say(f"note: {note}")
        number = listener.getsockname()[1] if socket is None else os.getpid()

        def hold(server: Server) -> None:
            # what is under way may end, and then the ladder is closed
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
            tokens=one_token(token),
            ready_file=ready_file or user_data() / f"serve-{number}.json",
            only=tier or (),
            say=output.say,
        )
        run(order, hold)
        return 0
    finally:
        listener.close()
        if socket is not None:
            socket.unlink(missing_ok=True)


def _demand_extra() -> None:
    from rung.errors import ConfigError

    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"this needs {', '.join(missing)}, which isn't installed", hint='pip install "rung[serve]"')


def _token(file: Path | None) -> str:
    """The token that somebody gave, or a new one. No option takes it: every user sees a process's command line."""
    from rung.errors import ConfigError
    from rung.files import full, read_bounded

    if file is not None:
        given = read_bounded(full(file, "the token"), 64 * 1024, "the token").decode("utf-8", "replace").strip()
    elif (given := os.environ.get(_VARIABLE, "").strip()) == "":
        return secrets.token_urlsafe(32)
    if not (_SHORTEST <= len(given) <= _LONGEST and given.isascii() and given.isprintable() and " " not in given):
        hint = 'make one with `python -c "import secrets; print(secrets.token_urlsafe(32))"`'
        raise ConfigError(f"a token has {_SHORTEST} to {_LONGEST:,} letters, digits and signs, and no space", hint=hint)
    return given

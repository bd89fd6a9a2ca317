"""Assembling a server from a configuration: ladder, app, ready file, and messages to the person who starts it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rung import __version__, guard
from rung.config import Config
from rung.consent import Consent
from rung.errors import LedgerError, RungError
from rung.ladder import Ladder
from rung.ledger import Ledger, LedgerFile, asked_since
from rung.limits import Cancel
from rung.serve.app import LOOPBACK, ServeApp
from rung.serve.door import Tokens
from rung.serve.host import LadderHost
from rung.serve.metrics import Metrics
from rung.serve.progress import ProgressHub
from rung.serve.questions import PageQuestions
from rung.serve.ready import ReadyFile, ServerAddress
from rung.serve.recent import Recent
from rung.serve.server import Server
from rung.serve.tokens import Quotas
from rung.types import Preparing, Zone


@dataclass(frozen=True, slots=True)
class Order:
    """What to serve, and how.

    Args:
        config: the configuration in force.
        listener: the socket.
        path: of a Unix socket; `None` for a port.
        token: the token in the ready file.
        tokens: looks up who holds a token.
        ready_file: where to report that the server is ready.
        only: names of the tiers to use; empty uses all of them.
        consent: asks somebody about a hop; `None` asks the people who have the page open.
        address: the host in the URL, for a port.
        hosts: names and addresses that a request's Host header may have.
        certificate: for TLS, and its key; `None` serves plain HTTP.
        say: shows a message to the person who started the server.
    """

    config: Config
    listener: socket.socket
    path: Path | None
    token: str = field(repr=False)
    tokens: Tokens
    ready_file: Path
    only: Collection[str]
    say: Callable[[str], None]
    consent: Consent | None = None
    address: str = "127.0.0.1"
    hosts: frozenset[str] = LOOPBACK
    certificate: tuple[Path, Path] | None = None

    @property
    def ready(self) -> ServerAddress:
        """The contents of the ready file."""
        if self.path is not None:
            path = str(self.path.absolute())
            return ServerAddress("http://localhost/v1", None, path, os.getpid(), self.token, __version__)
        port = self.listener.getsockname()[1]
        scheme = "http" if self.certificate is None else "https"
        place = f"[{self.address}]" if ":" in self.address else self.address
        base = f"{scheme}://{place}:{port}"
        page = f"{base}/#token={self.token}"
        return ServerAddress(f"{base}/v1", port, None, os.getpid(), self.token, __version__, page)


def serve(order: Order, hold: Callable[[Server], None]) -> None:
    """Serve until the server is asked to stop.

    Args:
        order: what to serve.
        hold: called with the server before it starts, so that the caller can stop it.

    Raises:
        RungError: the ladder can't be made, or the ready file can't be written.
    """
    config, metrics, hub, recent, questions = order.config, Metrics(), ProgressHub(), Recent(), PageQuestions()
    # before anything else, because a tier or a task may import third-party packages
    guard.install(config.reach.value)
    with ExitStack() as stack:
        ledger = config.ledger.ledger()
        # what a token spends is kept even if nothing is recorded
        books = ledger or Ledger(config.ledger.path.value, records=False)
        ladder = config.ladder(
            only=order.only, consent=order.consent, ledger=ledger, observers=(metrics.told, hub.told, recent.told)
        )
        stack.enter_context(ladder)
        if config.reach.value > Zone.HOST:
            guard.install(config.reach.value, hosts=config.hosts(ladder))
        limits = config.serve.table
        host = LadderHost(
            ladder,
            task_names=config.tasks.names,
            seconds=limits.request_seconds,
            questions=questions,
            ledger=books,
        )
        app = ServeApp(
            host,
            tokens=order.tokens,
            hosts=order.hosts,
            settings=limits,
            metrics=metrics,
            hub=hub,
            recent=recent,
            questions=questions,
            quotas=Quotas(_counts(ledger)),
        )
        ready, failed = ReadyFile(order.ready_file), list[RungError]()
        stack.callback(ready.remove)

        def started() -> None:
            try:
                ready.write(order.ready)
            except RungError as error:
                failed.append(error)
                server.stop(at_once=True)
                return
            where = order.path if order.path is not None else order.ready.url
            order.say(f"rung serve listens at {where}; the token is in {ready.path}")

            def told(news: Preparing) -> None:
                hub.told(news)
                recent.told(news)

            threading.Thread(target=_warm, args=(ladder, told, order.say), name="rung-warm", daemon=True).start()

        server = Server(app, stop_seconds=limits.stop_seconds, started=started, certificate=order.certificate)
        hold(server)
        server.run(order.listener)
        try:
            books.flush()
        except LedgerError as error:
            order.say(f"note: {error}")
    if failed:
        raise failed[0]


def _counts(ledger: Ledger | None) -> Callable[[str, int], int]:
    """Counts requests of a caller since an instant, from the ledger; always 0 without a ledger."""

    def count(name: str, since: int) -> int:
        if ledger is None or not ledger.path.exists():
            return 0
        with LedgerFile(ledger.path) as file:
            return asked_since(file, name, since)

    return count


def _warm(ladder: Ladder, tell: Callable[[Preparing], None], say: Callable[[str], None]) -> None:
    """Load the first model while the first request is still being written."""
    first = ladder.rungs[0]
    try:
        if first.prepares is not None:
            first.prepares.load(tell, Cancel())
        else:
            ladder.warm()
    except RungError as error:
        say(f"note: tier {first.tier.name!r} is not ready: {error}")

"""A server on loopback around a scripted ladder, in this process."""

from __future__ import annotations

import threading

import pytest

import rung
from rung.config.tables import ServeTable
from rung.serve import listening
from rung.serve.app import ServeApp
from rung.serve.door import one_token
from rung.serve.host import LadderHost
from rung.serve.metrics import Metrics
from rung.serve.progress import ProgressHub
from rung.serve.questions import PageQuestions
from rung.serve.recent import Recent
from rung.serve.server import Server
from serve.support import TOKEN, Served


@pytest.fixture
def serve():
    """Serve a ladder, or tiers; gives what a client needs to ask it."""
    running = []

    def start(*tiers, limits=None, task_names=tuple, tokens=None, also=(), ledger=None, **settings):
        metrics, hub, recent, questions = Metrics(), ProgressHub(), Recent(), PageQuestions()
        ladder = rung.Ladder(*tiers, observers=(metrics.told, hub.told, recent.told, *also), **settings)
        table = ServeTable(**(limits or {}))
        host = LadderHost(
            ladder, task_names=task_names, seconds=table.request_seconds, questions=questions, ledger=ledger
        )
        app = ServeApp(
            host,
            tokens=tokens or one_token(TOKEN),
            settings=table,
            metrics=metrics,
            hub=hub,
            recent=recent,
            questions=questions,
        )
        listener = listening.tcp("127.0.0.1", 0)
        port = listener.getsockname()[1]
        up = threading.Event()
        server = Server(app, stop_seconds=table.stop_seconds, started=up.set)
        thread = threading.Thread(target=server.run, args=(listener,))
        thread.start()
        assert up.wait(20)
        running.append((server, thread, ladder))
        return Served(port, app, server, thread)

    yield start
    for server, thread, ladder in running:
        server.stop(at_once=True)
        thread.join(20)
        assert not thread.is_alive()
        ladder.close()

"""Workers that outlived their host: which one the next host may take over."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict

from rung.files import Fingerprint
from rung.tiers.llama import frames, visits
from rung.tiers.llama.host.channel import SocketChannel
from rung.tiers.llama.host.environment import environment
from rung.tiers.llama.rendezvous import connect, peer, socket_of
from rung.tiers.llama.visits import Visit

_UNRELATED = frozenset({"PWD"})
"""Variables of a worker that no worker depends on, and that differ from command to command."""


def key_of(load: frames.LoadModel, python: str | None, file: Fingerprint | None) -> str:
    """A hash of all that a worker is made of. A worker is taken over only where the whole of it is the same.

    Args:
        load: what it has to load.
        python: the worker's interpreter; `None` takes this one.
        file: fingerprint of the model's file.
    """
    # Only Linux and some others tell, and a worker keeps to the cores of its first host.
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    variables: Mapping[str, str] = environment()
    made_of = (
        frames.PROTOCOL,
        # This package is loaded, and no room may import all of it.
        sys.modules["rung"].__version__,
        python or sys.executable,
        asdict(load),
        file,
        cores,
        sorted((name, value) for name, value in variables.items() if name not in _UNRELATED),
    )
    return hashlib.blake2b(json.dumps(made_of).encode("utf-8", "surrogateescape"), digest_size=32).hexdigest()


def take_over(key: str) -> SocketChannel | None:
    """The worker that lingers under this key; `None` if there is none, or another command has it.

    Args:
        key: hash of all that it has to be made of.
    """
    import psutil

    with ExitStack() as failed:
        try:
            sock = failed.enter_context(connect(socket_of(key)))
            source = failed.enter_context(sock.makefile("rb"))
            reading, writing = os.pipe()
            errors = failed.enter_context(os.fdopen(reading, "rb"))
            try:
                visits.send(sock, Visit("take", key), (writing,))
            finally:
                os.close(writing)
            hello = frames.read(source)
            pid = peer(sock).pid
            if not isinstance(hello, frames.Hello) or hello.protocol != frames.PROTOCOL or pid not in (None, hello.pid):
                return None
            channel = SocketChannel(sock, source, errors, hello.pid)
            sock.settimeout(None)
        except (OSError, frames.BrokenFrame, psutil.Error):
            return None
        failed.pop_all()
    return channel

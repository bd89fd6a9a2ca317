"""Audit hooks that end.

The interpreter never lets go of an audit hook, and the network guard of a command is one: in a process that runs many
commands each would hold for all that follows, and be asked about every file that is opened.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Hook = Callable[[str, tuple[Any, ...]], None]
JUDGED = ("connect", "connect_ex", "sendto", "sendmsg")
"""Methods of a socket that the guard puts its own before."""
_hooks: list[Hook] = []
_added: list[bool] = []


def _told(event: str, args: tuple[Any, ...]) -> None:
    for hook in _hooks:
        hook(event, args)


@contextmanager
def ending_hooks() -> Iterator[None]:
    """Whatever guard is installed within the block holds until its end."""
    if not _added:
        sys.addaudithook(_told)
        _added.append(True)
    before, add = len(_hooks), sys.addaudithook
    methods = {name: vars(socket.socket).get(name) for name in JUDGED}
    sys.addaudithook = _hooks.append
    try:
        yield
    finally:
        sys.addaudithook = add
        del _hooks[before:]
        for name, method in methods.items():
            if method is not None:
                setattr(socket.socket, name, method)
            elif name in vars(socket.socket):
                delattr(socket.socket, name)

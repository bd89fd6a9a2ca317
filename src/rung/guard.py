"""The network guard: refuses connections and name look-ups beyond the reach, for a whole process.

It listens to the interpreter's audit events. So it also sees what asyncio and libraries do on sockets of their own, and
nothing can remove it. It can't see what runs outside this interpreter: child processes, C code that opens its own
sockets, and the connections of asyncio's proactor loop on Windows.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from rung.errors import Offline
from rung.hosts import canonical, zone_of
from rung.types import Zone

_SWITCHES = ("RUNG_OFFLINE", "HF_HUB_OFFLINE")


def offline() -> bool:
    """Whether the environment forbids all network (`RUNG_OFFLINE` or `HF_HUB_OFFLINE`)."""
    return bool(switches())


def switches() -> tuple[str, ...]:
    """The variables of the environment that forbid all network."""
    off = ("", "0", "false", "no", "off")
    return tuple(name for name in _SWITCHES if os.environ.get(name, "").strip().lower() not in off)


def install(reach: Zone, *, hosts: Collection[str] | None = None) -> None:
    """Hold this process to `reach` until it ends. A second call can only tighten the reach, and so can the environment.

    Loopback and private addresses, `localhost` and Unix sockets need no look-up, and are judged directly. A name is
    looked up only if `reach` is `lan` and `hosts` contains it, or if `reach` is `internet` and `hosts` contains it or
    is `None`, because the look-up itself may leave the network. Connections to an address are judged by `reach` alone,
    because an address doesn't tell which name it came from.

    Args:
        reach: how far connections may go.
        hosts: names that may be looked up.
    """
    if offline():
        reach = Zone.HOST
    guard = Guard(reach, None if hosts is None else frozenset(_plain(host) for host in hosts))
    sys.addaudithook(guard)
    _judge_names(guard)


@dataclass(frozen=True, slots=True)
class Guard:
    """The audit hook.

    Args:
        reach: how far connections may go.
        hosts: names that may be looked up, in their canonical form; `None` if none are given.
    """

    reach: Zone
    hosts: frozenset[str] | None = None

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Judge one audit event.

        Raises:
            Offline: the event would go beyond the reach.
        """
        if not event.startswith("socket."):
            return
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self.connection(args[0], args[1])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            self._host(args[0])
        elif event == "socket.getnameinfo":
            self._host(args[0][0])

    def connection(self, sock: Any, address: Any) -> None:
        """Judge a connection or a message of `sock` to `address`.

        Raises:
            Offline: it would go beyond the reach.
        """
        family = getattr(sock.family, "name", str(sock.family))
        # Without an address, the message goes to a peer that was judged when the socket connected.
        if address is None or family == "AF_UNIX":
            return
        if family not in ("AF_INET", "AF_INET6"):
            if self.reach < Zone.INTERNET:
                raise self._refusal(f"an {family} peer")
        elif isinstance(address, tuple) and address:
            self._host(address[0])

    def _host(self, host: Any) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
        # The empty name is this machine's wildcard address. A value that isn't text will be refused by the call itself.
        if not name or not isinstance(name, str):
            return
        zone = zone_of(name)
        allowed = self._may_look_up(name) if zone is None else zone <= self.reach
        if not allowed:
            raise self._refusal(name)

    def _may_look_up(self, name: str) -> bool:
        if self.reach == Zone.HOST:
            return False
        return self.reach == Zone.INTERNET if self.hosts is None else _plain(name) in self.hosts

    def _refusal(self, what: str) -> Offline:
        return Offline(
            f"{what} lies beyond the reach {self.reach.name.lower()!r}, and {_caller()} asked for it",
            hint="raise the reach if a prompt may go there",
        )


def _judge_names(guard: Guard) -> None:
    """Judge `connect(("name", port))` before the name is looked up. Its audit event comes after the look-up."""
    import socket

    for name, position in (("connect", 0), ("connect_ex", 0), ("sendto", -1), ("sendmsg", 3)):
        method = getattr(socket.socket, name, None)
        if method is not None:
            setattr(socket.socket, name, _judged(guard, method, position))


def _judged(guard: Guard, method: Callable[..., Any], position: int) -> Callable[..., Any]:
    @functools.wraps(method)
    def judged(sock: Any, *args: Any) -> Any:
        if len(args) > position:
            guard.connection(sock, args[position] if args else None)
        return method(sock, *args)

    return judged


def _plain(name: str) -> str:
    return canonical(name) or name.lower()


def _caller() -> str:
    """File and line of the nearest frame outside the standard library, or of the nearest frame if there is none."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    nearest = frame
    while str(frame.f_globals.get("__name__")).partition(".")[0] in sys.stdlib_module_names:
        if frame.f_back is None:
            frame = nearest
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

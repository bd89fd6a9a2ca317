"""The socket that a server listens on. It is opened before anything is loaded, so a taken port is reported at once."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from rung.errors import ConfigError
from rung.hosts import place

_BACKLOG = 256
"""Connections that the system queues while the server is busy."""

_LONGEST_PATH = 100
"""Most bytes of a Unix socket's path. Systems allow 104 or 108."""


def tcp(host: str, port: int) -> socket.socket:
    """A socket that listens on an address of this machine.

    Args:
        host: an address, or `localhost`.
        port: 0 takes a free one.

    Raises:
        ConfigError: the port is taken, or the address isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there, the option lets two servers share one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            said = f"port {port} of {host} is taken by another program"
            raise ConfigError(said, hint="name another with --port, or --port 0 for a free one") from None
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"nothing can listen on {host}, port {port}: {why}") from None
    return listener


def is_address(host: str) -> bool:
    """Whether a text is an IP address.

    Args:
        host: the text.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Args:
        host: an address, or `localhost`.
    """
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def names(host: str, further: Sequence[str] = ()) -> frozenset[str]:
    """The names and addresses that a request's Host header may have. Nothing is looked up.

    Args:
        host: the address that it listens on.
        further: names that the user gave.
    """
    known = {"127.0.0.1", "::1", "localhost"}
    if not is_loopback(host):
        known |= {host, socket.gethostname(), *further}
        if ipaddress.ip_address(host).is_unspecified:
            known |= {it.address.partition("%")[0] for all_ in psutil.net_if_addrs().values() for it in all_}
    found = (place(f"[{name}]" if ":" in name else name) for name in known)
    return frozenset(it[0] for it in found if it is not None)


def certified(certificate: Path, key: Path) -> None:
    """Check that a certificate and its key can be used.

    Raises:
        ConfigError: they can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        hint = "the certificate has to be PEM, with those that vouch for it behind it, and the key without a password"
        raise ConfigError(f"{certificate} and {key} are not a certificate and its key: {why}", hint=hint) from None


def unix(path: Path) -> socket.socket:
    """A Unix socket that only this user may connect to.

    Args:
        path: of the socket. A socket that a dead server left there is replaced.

    Raises:
        ConfigError: another file is there, another server listens on it, or the path is too long.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("this system has no Unix sockets", hint="use --port")
    path = path.absolute()
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ConfigError(f"{path} is too long for a Unix socket", hint="name a shorter path with --socket")
    _remove_dead(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"nothing can listen on {path}: {(error.strerror or str(error)).lower()}") from None
    finally:
        os.umask(before)
    return listener


def _remove_dead(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigError(f"{path} is there already, and isn't a socket", hint="name another path with --socket")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1)
        probe.connect(str(path))
    except OSError:
        path.unlink(missing_ok=True)
    else:
        raise ConfigError(f"another server listens on {path}", hint="name another path with --socket")
    finally:
        probe.close()

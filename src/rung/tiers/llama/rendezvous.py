"""Where a command finds a worker that an earlier one left behind: a Unix socket in a folder of this user alone.

Whoever connects, and whoever listens, asks the kernel for the other's user, and says nothing to anybody else's process.
So a folder or a socket that another user put there is of no use to them.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rung.writing import private_folder

SUFFIX = ".sock"

_NAME = 16
"""Characters of a key that name its socket. A socket's path may have about a hundred, and the whole key is compared
once the two are connected."""

_PATIENCE = 2.0
"""Seconds that the other side gets to answer: a worker that lingers answers at once, and one that was stopped never."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a socket, as the kernel knows it.

    Args:
        user: its effective user id.
        pid: its process id; `None` if the system doesn't tell.
    """

    user: int
    pid: int | None


def why_not() -> str:
    """Why no worker can linger here, in a clause; empty if one can."""
    from rung import frozen

    if sys.platform == "win32":
        return "Windows tells nobody which user is at the other end of a socket"
    if frozen.is_frozen():
        return "this app is frozen, and its workers need its unpacked files"
    return ""


def folder() -> Path:
    """The folder of the sockets: in the user's runtime folder, which the system removes at logout, where there is one.
    It need not exist.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and runtime.is_dir():
        return runtime / "rung"
    return Path(tempfile.gettempdir()) / f"rung-{_user()}"


def socket_of(key: str) -> Path:
    """The path of the socket of a worker.

    Args:
        key: hash of all that a worker is made of.
    """
    return folder() / f"{key[:_NAME]}{SUFFIX}"


def sockets() -> tuple[Path, ...]:
    """Every socket in the folder, whether or not anybody listens. None if others could have put them there."""
    where = folder()
    return tuple(sorted(where.glob(f"*{SUFFIX}"))) if is_private(where) else ()


def own_folder() -> Path:
    """The folder, made if need be.

    Raises:
        PermissionError: it belongs to somebody else, or others may enter it.
        OSError: it can't be made.
    """
    where = folder()
    private_folder(where)
    if not is_private(where):
        raise PermissionError(f"{where} isn't a folder of this user alone")
    return where


def is_private(path: Path) -> bool:
    """Whether this is a folder, and no link to one, that belongs to this user and that nobody else may enter."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == _user() and not found.st_mode & 0o077


if sys.platform == "win32":

    def connect(path: Path) -> socket.socket:
        """Nobody listens on Windows."""
        raise ConnectionRefusedError(str(path))

    def listen(path: Path) -> socket.socket:
        """Nobody listens on Windows."""
        raise OSError(f"no worker can listen on {path}: {why_not()}")

    def peer(sock: socket.socket) -> Peer:
        """Nobody is connected on Windows."""
        raise OSError("Windows doesn't tell")

    def _user() -> int:
        return 0

else:

    def connect(path: Path) -> socket.socket:
        """A connection to a process of this user that listens there.

        Raises:
            PermissionError: the folder isn't this user's alone, or another user listens.
            OSError: nobody listens.
        """
        if not is_private(path.parent):
            raise PermissionError(f"{path.parent} isn't a folder of this user alone")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(_PATIENCE)
            sock.connect(str(path))
            peer(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    def listen(path: Path) -> socket.socket:
        """Listen at a path where nothing is. Only this user may connect.

        Raises:
            OSError: something is there, or the path is too long.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Its mode is taken from the descriptor on Linux. Elsewhere the folder's has to do until the next call.
            os.fchmod(sock.fileno(), 0o600)
            sock.bind(str(path))
            path.chmod(0o600)
            sock.listen()
        except BaseException:
            sock.close()
            raise
        return sock

    def peer(sock: socket.socket) -> Peer:
        """Who is at the other end.

        Raises:
            PermissionError: another user.
            OSError: the system doesn't tell.
        """
        found = _peer(sock)
        if found.user != _user():
            raise PermissionError("a process of another user is at the other end")
        return found

    def _user() -> int:
        return os.geteuid()


if sys.platform == "linux":

    def _peer(sock: socket.socket) -> Peer:
        pid, user, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        # 0 is a process that this one's namespace doesn't show
        return Peer(user, pid or None)

elif sys.platform != "win32":

    def _peer(sock: socket.socket) -> Peer:
        user, group = ctypes.c_uint32(), ctypes.c_uint32()
        # getpeereid(3) of macOS and the BSDs
        if ctypes.CDLL(None, use_errno=True).getpeereid(sock.fileno(), ctypes.byref(user), ctypes.byref(group)):
            raise OSError(ctypes.get_errno(), "the system doesn't tell who is at the other end")
        return Peer(user.value, None)

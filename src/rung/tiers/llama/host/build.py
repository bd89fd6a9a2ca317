"""How the installed llama-cpp-python was built. A separate process is asked, because a bad build may crash."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rung import frozen
from rung.tiers.llama.devices import Device, devices
from rung.tiers.llama.host import system
from rung.tiers.llama.host.channel import PYTHON, interpreter
from rung.tiers.llama.host.environment import environment

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Build:
    """One build.

    Args:
        version: version of llama-cpp-python.
        inside: version of the llama.cpp inside, with its commit where the build knows it; `None` if it can't be asked.
        features: what it was compiled with and uses, for example `AVX2` and `OPENMP`.
        devices: devices that it can compute on.
    """

    version: str
    inside: str | None
    features: tuple[str, ...]
    devices: tuple[Device, ...]


class NoBuild(Exception):
    """The library can't be used. The message says why, in a clause."""


def build(python: str | None = None) -> Build:
    """The build that a worker would use.

    Args:
        python: the worker's interpreter; `None` takes the one that workers have.

    Raises:
        NoBuild: it can't be loaded.
    """
    try:
        command = frozen.command(frozen.BUILD, interpreter(python))
        done = subprocess.run(
            command, capture_output=True, env=environment(), timeout=_PATIENCE, stdin=subprocess.DEVNULL, check=False
        )
    except frozen.NotFreezable as error:
        raise NoBuild(error.message) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoBuild(f"its worker can't be started: {getattr(error, 'strerror', None) or 'no answer'}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise NoBuild(f"a process that loads it {system.death(done.returncode)}" + "".join(f": {s}" for s in said))
    try:
        return TypeAdapter(Build).validate_json(done.stdout.splitlines()[-1])
    except (IndexError, ValidationError):
        raise NoBuild(f"the answer of its worker makes no sense; see {PYTHON}") from None


def _here() -> Build:
    from rung.tiers.llama.binding import VERSION, ggml, llama

    # What the library prints while loading must not mix with the answer.
    hush = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(hush, ctypes.c_void_p(0))
    inside = None
    if hasattr(llama, "llama_version"):
        inside = llama.llama_version().decode("utf-8", "replace")
    library: Any = ggml.libggml
    if hasattr(library, "ggml_commit"):
        library.ggml_commit.restype = ctypes.c_char_p
        commit = library.ggml_commit().decode("utf-8", "replace")
        # what a build says that was made without git
        if commit != "unknown":
            inside = f"{inside} ({commit})" if inside else commit
    info = llama.llama_print_system_info().decode("utf-8", "replace")
    words = (part.rpartition(":")[2].partition(" = ") for part in info.split("|"))
    features = tuple(name.strip() for name, _, value in words if value.strip() == "1")
    found = devices()
    return Build(VERSION, inside, features, found)


if __name__ == "__main__":
    os.write(1, json.dumps(asdict(_here())).encode() + b"\n")
    # The library's own clean-up doesn't change the answer.
    os._exit(0)

"""What the compiled code of wheels requires of a machine. It is read from the code itself, not from a statement."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rung.bundle.install import LOADABLE
from rung.bundle.wheels import Wheel

_PROGRAM = Path(__file__).with_name("_probe.py")
_PATIENCE = 60.0
_GLIBC = re.compile(rb"GLIBC_2\.(\d+)")
_LIBRARY = re.compile(r"\.so(\.\d+)*$")
_FLAGS = {
    "SSSE3": ("ssse3",),
    "AVX": ("avx",),
    "AVX_VNNI": ("avx_vnni",),
    "AVX2": ("avx2",),
    "F16C": ("f16c",),
    "FMA": ("fma",),
    "BMI2": ("bmi2",),
    "AVX512": ("avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"),
    "AVX512_VBMI": ("avx512vbmi",),
    "AVX512_VNNI": ("avx512_vnni",),
    "AVX512_BF16": ("avx512_bf16",),
    "AMX_INT8": ("amx_int8",),
    "DOTPROD": ("asimddp",),
    "MATMUL_INT8": ("i8mm",),
    "SVE": ("sve",),
}


@dataclass(frozen=True, slots=True)
class Probed:
    """What a build of llama.cpp says about itself.

    Args:
        flags: instruction sets that it uses, as the kernel spells them.
        commit: commit of llama.cpp; `None` if the build doesn't know.
    """

    flags: tuple[str, ...]
    commit: str | None


def probe(wheel: Path, scratch: Path) -> Probed | None:
    """Ask the library in a wheel, in a separate process since it may crash; `None` if it can't be loaded here."""
    folder = scratch / "probe"
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if re.fullmatch(r"llama_cpp/lib/[^/]+", name):
                path = folder / Path(name).name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(archive.read(name))
    if not folder.exists():
        return None
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_PROGRAM), str(folder)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
        said = json.loads(done.stdout)
        flags = {flag for feature in said["features"] for flag in _FLAGS.get(feature, ())}
        return Probed(tuple(sorted(flags)), said["commit"])
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError, KeyError, RecursionError):
        return None


def glibc(wheels: Iterable[Wheel]) -> str:
    """The least glibc on which all libraries in the wheels load; empty if none of them needs any."""
    minors = [int(n) for wheel in wheels for content in _libraries(wheel.path) for n in _GLIBC.findall(content)]
    return f"2.{max(minors)}" if minors else ""


def shared(wheels: Iterable[Wheel]) -> list[str]:
    """Libraries of the compiler that the system must have, because llama-cpp-python brings none."""
    contents = [content for wheel in wheels for content in _libraries(wheel.path) if wheel.name == "llama-cpp-python"]
    return [name for name in LOADABLE if any(f"\0{name}\0".encode() in content for content in contents)]


def _libraries(wheel: Path) -> Iterable[bytes]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if _LIBRARY.search(name):
                yield archive.read(name)

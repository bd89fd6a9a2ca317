"""What a kit is made for: a system, a processor and a Python, in the words of wheels' tags."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass

from rung.errors import ConfigError

_TAG = re.compile(r"(?P<kind>linux|manylinux_2_(?P<glibc>\d+)|macosx_\d+_\d+)_(?P<machine>[a-z0-9_]+)")
_OLDEST_GLIBC = 5
_SHORT = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


@dataclass(frozen=True, slots=True)
class Platform:
    """What a kit is made for.

    Args:
        tag: as in the name of a wheel, for example `manylinux_2_28_x86_64`.
        system: as `platform.system()` returns it.
        machine: as `platform.machine()` returns it.
        python: version of CPython, for example `3.11`.
        glibc: newest version that wheels may need; `None` if that is this machine's, or there is none.
    """

    tag: str
    system: str
    machine: str
    python: str
    glibc: int | None = None

    @classmethod
    def parse(cls, tag: str | None, python: str | None) -> Platform:
        """The platform with this name; by default this machine's.

        Raises:
            ConfigError: our installer doesn't run on such a platform, or the name says too little.
        """
        python = python or _python()
        if not re.fullmatch(r"3\.\d+", python):
            raise ConfigError(f"{python!r} is not a version of Python", hint="write it like 3.11")
        own = f"{platform.system().lower()}_{platform.machine()}"
        if tag is None or tag == own:
            return cls(own, platform.system(), platform.machine(), python)
        match = _TAG.fullmatch(tag)
        if match is None or match["kind"] == "linux":
            raise ConfigError(
                f"no kit can be made for the platform {tag!r}",
                hint="name one like manylinux_2_28_x86_64, manylinux_2_28_aarch64 or macosx_11_0_arm64",
            )
        system = "Darwin" if match["kind"].startswith("macosx") else "Linux"
        glibc = None if match["glibc"] is None else int(match["glibc"])
        return cls(tag, system, match["machine"], python, glibc)

    @property
    def here(self) -> bool:
        """Whether programs for it run on this machine, apart from the version of Python."""
        return (self.system, self.machine) == (platform.system(), platform.machine())

    @property
    def options(self) -> list[str]:
        """Options that make pip fetch wheels for this platform."""
        options = []
        if self.glibc is not None:
            # pip takes each tag literally, and most wheels have an older one
            for glibc in range(self.glibc, _OLDEST_GLIBC - 1, -1):
                options += ["--platform", f"manylinux_2_{glibc}_{self.machine}"]
                if glibc in _SHORT:
                    options += ["--platform", f"{_SHORT[glibc]}_{self.machine}"]
            options += ["--platform", f"linux_{self.machine}"]
        elif not self.here:
            options += ["--platform", self.tag]
        if self.python != _python() or options:
            options += ["--python-version", self.python, "--implementation", "cp"]
        return options


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"

"""Where configuration is on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rung.files import full
from rung.paths import named, user_config, user_data

NAME = "rung.toml"
_COMMON_APPDATA = 0x23


@dataclass(frozen=True, slots=True)
class Places:
    """The files and folders that configuration is read from.

    Args:
        working: where the search for a project file begins.
        home: where the search ends, if it gets there.
        user: the user's own file. `RUNG_CONFIG` moves it.
        trusted: the record of project files that the user trusts.
        policy: the system's policy. No option and no environment variable moves it.
        named: whether `RUNG_CONFIG` names the user's file. Then the file must exist.
    """

    working: Path
    home: Path
    user: Path
    trusted: Path
    policy: Path
    named: bool = False

    @classmethod
    def standard(cls) -> Places:
        """This user's places on this machine."""
        chosen = named("RUNG_CONFIG")
        return cls(
            working=Path.cwd(),
            home=Path.home(),
            user=full(chosen, "RUNG_CONFIG").absolute() if chosen else user_config() / NAME,
            trusted=user_data() / "trusted.json",
            policy=system_policy(),
            named=chosen is not None,
        )

    def project(self) -> Path | None:
        """The nearest `rung.toml` in the working folder or above it, except the user's own file.

        The search ends after a folder that contains `.git`, after the home folder, and at the root.
        """
        for folder in (self.working, *self.working.parents):
            path = folder / NAME
            # anything else of that name is meant as the file, and reading it says what is wrong with it
            if is_there(path) and not path.is_dir() and not _same(path, self.user):
                return path
            if folder == self.home or (folder / ".git").exists():
                return None
        return None


def system_policy() -> Path:
    """The policy file: `/etc/rung/policy.toml`. On Windows it is `rung\\policy.toml` in the folder for all users."""
    if sys.platform == "win32":
        import ctypes

        # asked of the system, because whoever starts a process can choose its %ProgramData%
        buffer = ctypes.create_unicode_buffer(260)
        ctypes.windll.shell32.SHGetFolderPathW(None, _COMMON_APPDATA, None, 0, buffer)
        return Path(buffer.value or r"C:\ProgramData") / "rung" / "policy.toml"
    return Path("/etc/rung/policy.toml")


def is_there(path: Path) -> bool:
    """Whether something of this name exists, even a dangling link."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False

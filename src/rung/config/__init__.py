"""Configuration: TOML files, environment and policy -> `Ladder`.

Precedence: option > environment > project file > user file > default. A file that is named (`--config FILE`,
`rung.load(path)`) replaces both files: the ladder of an app or a script must not depend on who runs it.

- The **project file** is the nearest `rung.toml` in the working folder or above it. The search ends at a folder that
  contains `.git`, at the home folder or at the root. Its tiers replace the user's tiers as a whole; its other keys
  replace the user's one by one.
- The **environment** only tightens. `RUNG_REACH` lowers the reach that the files set. `RUNG_OFFLINE` or
  `HF_HUB_OFFLINE` keeps everything on this machine, whatever an option says.
- The **policy file** only tightens, too. Nothing moves or loosens it.
- A project file that the user **doesn't trust** can't widen the reach, loosen a limit on money, turn redaction off,
  name a host beyond this machine or a source of models, read a key, ask for more shadows, or leave workers behind. It
  can't move the ledger, turn it off or make it keep more. It can't vouch that a loopback endpoint keeps a prompt, nor
  use a kind of tier from another package, which may do anything with its settings. If it belongs to another user, it
  needs trust for anything.
- **Tasks** are in `tasks/` beside the project file, then beside the user's file. A named file has only those beside
  it. A `task.toml` beside a project file is trusted by its own path and sha256. Until it is trusted, no module that it
  names is run.
- **Without a tier** in any file, the ladder is `smollm2-135m`, then `qwen2.5-coder-1.5b`, if they were pulled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.lazily import lazily

if TYPE_CHECKING:
    from rung.config.config import Config
    from rung.config.document import Document, Origin, Setting, Source
    from rung.config.loading import farthest, load
    from rung.config.places import Places
    from rung.config.tables import TierTable
    from rung.config.tasks import TaskPlaces
    from rung.config.trusting import trust, trust_file

_MODULES = {
    "config": ("Config",),
    "document": ("Document", "Origin", "Setting", "Source"),
    "loading": ("farthest", "load"),
    "places": ("Places",),
    "tables": ("TierTable",),
    "tasks": ("TaskPlaces",),
    "trusting": ("trust", "trust_file"),
}
"""The modules of this room, each with what it gives to others."""

__all__ = [
    "Config",
    "Document",
    "Origin",
    "Places",
    "Setting",
    "Source",
    "TaskPlaces",
    "TierTable",
    "farthest",
    "load",
    "trust",
    "trust_file",
]

if not TYPE_CHECKING:
    # who only asks where configuration is needs no more
    __getattr__ = lazily(__name__, _MODULES)

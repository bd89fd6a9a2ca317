"""Configuration: TOML files, environment and policy -> `Ladder`.

Precedence: option > environment > project file > user file > default. A file that is named (`--config FILE`,
`rung.load(path)`) stands for both files: an app's or a script's ladder must not hang on who runs it.

- The **project file** is the nearest `rung.toml` in the working folder or above it, as far as a folder that holds
  `.git`, the home folder or the root. Its tiers replace the user's as a whole; its other keys one by one.
- The **environment** only tightens. `RUNG_REACH` lowers the reach of the files, and `RUNG_OFFLINE` or `HF_HUB_OFFLINE`
  holds everything to this machine, whatever an option says.
- The **policy file** only tightens too, and nothing moves it or loosens it.
- A project file that **nobody has trusted** can't widen the reach, loosen a limit on money, name a host beyond this
  machine, read a key, move the ledger, turn it off or let it hold more, vouch that a loopback endpoint keeps a prompt,
  or use a kind of tier from another package (which may do anything with its settings). Nor is one read that belongs to
  another user.
- **Tasks** lie in `tasks/` beside the project file, then beside the user's; those of a named file beside it alone. A
  `task.toml` beside a project file is trusted by its own path and sha256; untrusted, no module that it names is run.
- **Without any tier** in any file the ladder is `smollm2-135m`, then `qwen2.5-coder-1.5b`, as far as they were pulled.
"""

from rung.config.config import Config
from rung.config.document import Document, Origin, Setting, Source
from rung.config.loading import farthest, load
from rung.config.places import Places
from rung.config.tables import TierTable
from rung.config.tasks import TaskPlaces
from rung.config.trusting import trust, trust_file

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

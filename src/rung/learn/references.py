"""`module:name` in an option or in a task's file: importing what it names."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from pathlib import Path
from typing import Any

from rung.errors import ConfigError

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_reference(text: str) -> bool:
    """Whether a text has the form `module:name`."""
    return _REFERENCE.fullmatch(text) is not None


def imported(reference: str, option: str, folder: Path | None = None) -> Any:
    """Import what `module:name` names.

    Args:
        reference: as the user wrote it.
        option: the option or key, for errors: `--type`.
        folder: where to look first; by default the working folder, as for `python -m`.

    Raises:
        ConfigError: there is no such module or name, or importing it raised.
    """
    if not is_reference(reference):
        raise ConfigError(f"{option} {reference!r} names nothing", hint="write module:Name")
    module, _, path = reference.partition(":")
    here = str(folder or Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in (module, module.partition(".")[0]):
            where = "this folder" if folder is None else str(folder)
            hint = f"rung looks for it in {where}, then among the installed packages"
            raise ConfigError(f"{option}: there is no module {error.name!r}", hint=hint) from None
        raise ConfigError(
            f"{option}: importing {module!r} raised {type(error).__name__}",
            hint="check that it can be imported from this folder, or set RUNG_DEBUG=1 for the traceback",
        ) from error
    finally:
        # last in the path: later imports find it, and no file here replaces a library
        sys.path.remove(here)
        sys.path.append(here)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ConfigError(f"{option}: {module!r} has no {name!r}", hint=_nearest(name, found)) from None
    return found


def _nearest(name: str, holder: Any) -> str:
    close = difflib.get_close_matches(name, dir(holder), n=1)
    return f"did you mean {close[0]!r}?" if close else "write module:Name"

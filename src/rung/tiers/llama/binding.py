"""llama.cpp's functions, without the rest of llama-cpp-python.

Importing that package runs its `__init__`, which imports its `Llama` class, and with it Jinja, numpy, diskcache and
more. That takes 0.2 s, and the functions alone 0.05 s.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "llama_cpp"
_VARIANT = "ggml-cpu-"
"""What the names of libraries for one kind of processor have in common."""
_VERSION = re.compile(r'^__version__ = "([^"\n]+)"$', re.MULTILINE)


class _Package(ModuleType):
    """The package, whose own `__init__` runs only when somebody asks for a name that isn't there yet."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def _bare(spec: ModuleSpec) -> ModuleType | None:
    """The package without its content; `None` if its source can't be read, as in a frozen app."""
    if spec.origin is None or spec.submodule_search_locations is None:
        return None
    try:
        found = _VERSION.search(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    if found is None:
        return None
    package = _Package(_PACKAGE)
    package.__spec__, package.__loader__, package.__file__ = spec, spec.loader, spec.origin
    package.__path__ = spec.submodule_search_locations
    package.__package__ = _PACKAGE
    package.__dict__["__version__"] = found[1]
    return package


def _begin() -> None:
    """Put the bare package where an import of the functions looks for it."""
    if _PACKAGE not in sys.modules and (spec := find_spec(_PACKAGE)) and (package := _bare(spec)):
        sys.modules[_PACKAGE] = package


_begin()

# the bare package has to be there first
import llama_cpp._ggml as ggml  # noqa: E402
import llama_cpp.llama_cpp as llama  # noqa: E402

__all__ = ["VERSION", "folders", "ggml", "llama", "processor"]

VERSION: str = sys.modules[_PACKAGE].__version__
"""Version of llama-cpp-python."""


def _find_backends() -> None:
    """Load the libraries that compute, where a build has them as files of their own: one for each kind of processor,
    of which llama.cpp takes the best that runs here. No other build has to be told.
    """
    library: Any = ggml.libggml
    try:
        library.ggml_backend_reg_count.restype = ctypes.c_size_t
        load = library.ggml_backend_load_all_from_path
        load.restype, load.argtypes = None, [ctypes.c_char_p]
    except AttributeError:  # a build from before there were such files
        return
    if library.ggml_backend_reg_count():
        return
    # it reports which libraries it takes
    deaf = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(deaf, None)
    for where in folders():
        load(os.fsencode(where))
    llama.llama_log_set(llama.llama_log_callback(), None)


def folders() -> list[Path]:
    """The folders of llama.cpp's libraries: the package's own, and the one beside the package where its build puts the
    libraries for each kind of processor, if there are any.
    """
    package = Path(str(llama.__file__)).parent
    beside = package.parent / "bin"
    return [package / "lib", *([beside] if any(beside.glob(f"*{_VARIANT}*")) else [])]


def processor() -> Any:
    """The library that computes on the processor: a part of llama.cpp, or the one for this kind that it has chosen."""
    if sys.platform != "win32":
        for where in folders():
            for variant in sorted(where.glob(f"*{_VARIANT}*")):
                with suppress(OSError):  # one that isn't loaded
                    return ctypes.CDLL(str(variant), mode=os.RTLD_NOLOAD)
    return llama._lib


_find_backends()

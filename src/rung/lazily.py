"""Names of a package that are imported when they are first used, so that nobody waits for what they don't need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, modules: Mapping[str, Collection[str]]) -> Callable[[str], Any]:
    """A package's `__getattr__` (PEP 562), which imports a name's module. Later uses find the name in the package.

    Args:
        package: its `__name__`.
        modules: modules of the package, each with the names that it gives to others.
    """
    where = {name: module for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        value = getattr(import_module(f"{package}.{where[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find

"""A command is added in one place: a line in the list, and the module of that name."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import rung.cli
from rung.cli.app import _COMMANDS, _MODULES, app


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_listed_command_is_loaded_from_the_module_of_its_name(name, capsys):
    app(name)(args=[name, "--help"], prog_name="rung", standalone_mode=False)
    shown = capsys.readouterr().out
    assert f"Usage: rung {name}" in shown
    assert "Example" in shown


def test_every_module_that_is_a_command_is_listed():
    found = set()
    for it in pkgutil.iter_modules(rung.cli.__path__):
        module = importlib.import_module(f"rung.cli.{it.name}")
        if hasattr(module, "commands") or (hasattr(module, "EXAMPLES") and hasattr(module, it.name)):
            found.add(it.name)
    assert found == {_MODULES.get(name, name) for name in _COMMANDS}

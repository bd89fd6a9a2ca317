"""What `import rung` gives, and what it doesn't load."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import rung

HEAVY = (
    "llama_cpp openai huggingface_hub typer numpy rich asyncio subprocess sqlite3 jsonschema_rs regex llguidance"
    " httpx2 jinja2"
)


def said(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def loaded(code):
    return said(f"import sys; {code}; print(*sorted(m for m in {HEAVY.split()!r} if m in sys.modules))")


def rooms(code):
    return said(f"import sys; {code}; print(*sorted(m for m in sys.modules if m.startswith(('rung.', 'pydantic'))))")


def seen_by_type_checkers(package=rung):
    """Module and name of everything that a package imports for type checkers alone."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    guarded = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    assert all(isinstance(n, ast.ImportFrom) for n in guarded.body)
    return [(n.module, alias.name) for n in guarded.body for alias in n.names]


@pytest.mark.slow
def test_neither_importing_nor_a_request_on_a_scripted_tier_loads_a_heavy_library():
    run = "from rung.testing import ScriptedTier; rung.Ladder(ScriptedTier('a', 'yes')).run('Well?', bool)"
    assert loaded(f"import rung, rung.testing, rung.guard, rung.checks; {run}") == []


@pytest.mark.slow
def test_importing_the_package_loads_none_of_its_rooms():
    """So that a command's help, and whoever wants one name, waits for no more than that."""
    assert rooms("import rung") == []
    assert not {"rung.tier", "rung.engine", "rung.ladder", "pydantic"} & set(rooms("import rung; rung.Zone"))


@pytest.mark.slow
def test_a_name_of_the_store_is_loaded_when_it_is_asked_for():
    """Every command and every tier knows of model files, and nearly none of them pulls or searches."""
    assert [room for room in rooms("import rung.store") if room.startswith(("rung.store.", "pydantic"))] == []
    assert "rung.store.pulling" not in rooms("from rung.store import Sourcing, models, resolve")


@pytest.mark.parametrize("room", ["rung.config", "rung.store", "rung.tiers.llama", "rung.types"])
def test_a_room_gives_each_name_from_where_type_checkers_are_told_that_it_does(room):
    package = import_module(room)
    told = seen_by_type_checkers(package)
    assert sorted(name for _, name in told) == package.__all__
    for module, name in told:
        assert package.__getattr__(name) is getattr(import_module(module), name), name
    with pytest.raises(AttributeError, match=f"module '{room}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_a_name_comes_from_where_type_checkers_are_told_that_it_does():
    for module, name in seen_by_type_checkers():
        try:
            told = import_module(f"{module}.{name}")
        except ModuleNotFoundError:
            told = getattr(import_module(module), name)
        if name in rung.__all__:
            assert getattr(rung, name) is told, name


@pytest.mark.slow
def test_all_is_exactly_what_type_checkers_see_and_what_is_there():
    functions = {name for name, value in vars(rung).items() if inspect.isfunction(value) and not name.startswith("_")}
    functions -= {name for _, name in seen_by_type_checkers()}
    results = {"Consent", "LlamaTier", "OpenAITier"}
    assert {name for _, name in seen_by_type_checkers()} - results | functions == set(rung.__all__)
    assert list(rung.__all__) == sorted(set(rung.__all__))
    assert set(rung.__all__) <= set(dir(rung))
    assert set(said("from rung import *; print(*dir())")) >= set(rung.__all__)


@pytest.mark.slow
def test_asking_a_person_at_the_terminal_loads_nothing_of_the_command_line():
    assert not [name for name in rooms("import rung; rung.ask()") if name.startswith("rung.cli")]


def test_a_name_that_is_none_is_an_attribute_error_and_a_hint():
    with pytest.raises(AttributeError, match="no attribute 'Laddder'") as caught:
        _ = rung.Laddder
    assert (caught.value.name, caught.value.obj) == ("Laddder", rung)


def test_every_offered_name_says_what_it_is():
    for name in rung.__all__:
        thing = getattr(rung, name)
        if callable(thing):
            assert inspect.getdoc(thing), name


def test_errors_that_are_builtins_too_are_caught_by_ordinary_handlers():
    assert issubclass(rung.TierTimeout, TimeoutError)
    assert issubclass(rung.Offline, ConnectionError)
    assert issubclass(rung.ModelNotFound, FileNotFoundError)

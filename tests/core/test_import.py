"""What `import rung` gives, and what it doesn't load."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import rung

HEAVY = (
    "llama_cpp openai huggingface_hub typer numpy rich asyncio subprocess sqlite3 jsonschema llguidance httpx2 jinja2"
)


def loaded(code):
    report = f"import sys; {code}; print(*sorted(m for m in {HEAVY.split()!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", report], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("module", ["rung", "rung.testing", "rung.guard", "rung.checks"])
def test_importing_loads_no_heavy_library(module):
    assert loaded(f"import {module}") == []


def test_a_request_on_a_scripted_tier_loads_none_either():
    run = "from rung.testing import ScriptedTier; rung.Ladder(ScriptedTier('a', 'yes')).run('Well?', bool)"
    assert loaded(f"import rung; {run}") == []


def test_all_is_exactly_what_the_package_offers():
    offered = {
        name
        for name, value in vars(rung).items()
        if not name.startswith("_") and (not inspect.ismodule(value) or name in rung.__all__)
    }
    offered -= {"annotations", "Any", "TYPE_CHECKING"}
    assert set(rung.__all__) == offered
    assert list(rung.__all__) == sorted(set(rung.__all__))


def test_every_offered_name_says_what_it_is():
    for name in rung.__all__:
        thing = getattr(rung, name)
        if callable(thing):
            assert inspect.getdoc(thing), name


def test_errors_that_are_builtins_too_are_caught_by_ordinary_handlers():
    assert issubclass(rung.TierTimeout, TimeoutError)
    assert issubclass(rung.Offline, ConnectionError)
    assert issubclass(rung.ModelNotFound, FileNotFoundError)

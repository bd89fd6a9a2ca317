"""Clients that other people made, unpatched, by base URL and key alone. Each script says what it does of the server."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from serve.environments import HERE, endless, node_with, python_with, run

CLIENTS = HERE / "clients"
FUZZER = HERE.parents[1] / "scripts" / "fuzz_serve.py"

pytestmark = pytest.mark.slow


@pytest.fixture
def where():
    with endless() as told:
        yield told


def test_the_official_python_client(where, tmp_path):
    run(sys.executable, CLIENTS / "openai_python.py", where, tmp_path)


def test_the_official_node_client(where, tmp_path):
    node, folder = node_with(tmp_path, "openai@^6", "zod@^4")
    run(node, CLIENTS / "openai_node.mjs", where, folder)


@pytest.mark.proof
def test_langchain_pydantic_ai_and_llm(where, tmp_path):
    python = python_with(tmp_path / "env", "langchain-openai>=1", "pydantic-ai-slim[openai]>=1", "llm>=0.27")
    run(python, CLIENTS / "frameworks.py", where, tmp_path)


@pytest.mark.proof
def test_instructor(where, tmp_path):
    """In an environment of its own: it needs an older `openai` than the others."""
    python = python_with(tmp_path / "env", "instructor>=1.7")
    run(python, CLIENTS / "with_instructor.py", where, tmp_path)


@pytest.mark.proof
def test_every_answer_is_as_the_description_says_and_none_is_the_servers_error(tmp_path):
    """A few hundred requests that Schemathesis makes up; `scripts/fuzz_serve.py` makes more."""
    spec = importlib.util.spec_from_file_location("fuzz_serve", FUZZER)
    fuzzer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzzer)
    done = fuzzer.fuzz(fuzzer.schemathesis(tmp_path / "env"), 300, seed=1)
    assert done.returncode == 0, done.stdout[-4000:]

"""What a stranger would call opens with an example, and the examples run: local models answer from a script."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import time
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator

import rung
import rung.ledger
import rung.store
import rung.testing
from helpers.each import each
from helpers.promises import example, keep
from rung import checks, deferral
from rung.ledger.budgets import Budgets
from rung.testing import ScriptedTier
from store.gguf_files import File

MODEL = File().data()

NO_CALL = {
    "rung": {
        "a value that rung makes, to be read": """Accepted Attempt AttemptEnded AttemptStarted Candidate CheckContext
            Event Finished Hop Preparing Provisional Request Requirement Score Shadowed Shape Validation Withdrawn""",
        "words": "IssueCode Reason Verdict",
        "a protocol: docs/tiers.md and docs/ledger.md show what has it": "Purse Quotes Reservation Tier Travels Warms",
    },
    "rung.store": {
        "a value that rung makes, to be read": "Found Listed ModelFile Passed Phase PullProgress Removed WantedModel",
        "a table of the catalogue's TOML: docs/catalogue.md shows it": "Entry Folder Hub Source Url Wheels",
    },
    "rung.ledger": {
        "a value that rung makes, to be read": """AttemptRecord LabelRecord RequestRecord Savings Spending Statistics
            TierStatistics""",
    },
    "rung.deferral": {
        "a row of the deferral table: docs/rules.md shows them": """cancelled cut_off failed low_confidence no_answer
            repair_or_escalate same_issues stalled valid""",
        "a value that rung makes, to be read": "Situation",
        "made of those rows": "STANDARD standard",
        "a type alias": "Rule",
    },
}
"""Public names without an example, by the reason. Exceptions need none: errors.py draws their tree."""


def public(module):
    """The names that a module exports and that aren't modules or exceptions."""
    own = [
        name
        for name, thing in vars(module).items()
        if name[0] != "_"
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    ]
    for name in getattr(module, "__all__", own):
        thing = getattr(module, name)
        if not inspect.ismodule(thing) and not (isinstance(thing, type) and issubclass(thing, BaseException)):
            yield name, thing


def exempt(module):
    return {name for names in NO_CALL.get(module.__name__, {}).values() for name in names.split()}


MODULES = (rung, rung.testing, rung.store, rung.ledger, checks, deferral)
EXAMPLES = [
    pytest.param(module, thing, id=f"{module.__name__}.{name}")
    for module in MODULES
    for name, thing in public(module)
    if name not in exempt(module)
]


@pytest.fixture
def at_hand(tmp_path, monkeypatch):
    """The names that examples use: ladder and tiers from scripts, a store with one model, a ledger with one request."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNG_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RUNG_LEDGER", str(tmp_path / "ledger.sqlite3"))
    monkeypatch.setattr("rung.paths._home", None)  # and back afterwards
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for name in ("mine.gguf", "downloads/other.gguf", "downloads/tiny.gguf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(MODEL if name.endswith("tiny.gguf") else MODEL + name.encode())
    small = ScriptedTier("small", rung.testing.Reply("yes", logprob=-0.01), "yes")
    with closing(rung.Ledger(content=True)) as ledger:
        rung.Ladder(ScriptedTier("small", "It rains."), observers=[ledger]).run("How is the weather?", task="weather")
    entry = rung.store.Entry(
        name="tiny",
        licence="MIT",
        size=len(MODEL),
        sha256=hashlib.sha256(MODEL).hexdigest(),
        source=(rung.store.Folder(kind="folder", path=str(tmp_path / "downloads")),),
    )
    with ExitStack() as stack:
        file = stack.enter_context(closing(rung.ledger.LedgerFile(rung.ledger.user_ledger())))
        yield {
            "Annotated": Annotated,
            "AfterValidator": AfterValidator,
            "Budgets": Budgets,
            "Decimal": Decimal,
            "Invoice": dict[str, str],
            "Path": Path,
            "closing": closing,
            "file": file,
            "json": json,
            "ladder": rung.Ladder(small),
            "mail": "ACME asks for 12.50 €.",
            "paid": rung.testing.QuotingTier("paid", "yes", zone=rung.Zone.INTERNET),
            "photo": b"\x89PNG",
            "rung": rung,
            "small": small,
            "store": rung.store.Store(tmp_path / "own", {"tiny": entry}),
            "tier": ScriptedTier("small", "It is."),
            "time": time,
        }


def scripted(model, **settings):
    return ScriptedTier(model, *["yes"] * 20)


@pytest.mark.parametrize(("module", "thing"), EXAMPLES)
def test_what_one_calls_opens_with_an_example_that_runs(module, thing, at_hand, monkeypatch):
    code = example(thing)
    assert code, f"{thing.__qualname__} has no example"
    assert len(code.splitlines()) <= 5
    if module is rung.store:
        rung.store.import_file(Path("mine.gguf"), name="mine")
    if module is rung and thing is rung.load:
        Path("rung.toml").write_text('[[tier]]\nname = "small"\nkind = "llama"\nmodel = "smollm2-135m"\n')
    if thing is rung.home:
        monkeypatch.setattr("rung.paths._asked", False)
    if thing is not rung.llama:
        monkeypatch.setattr(rung, "llama", scripted)
    if thing is rung.load:
        monkeypatch.setattr(
            "rung.tiers.llama.LlamaTier.stream", lambda self, call: iter([rung.Delta("yes", finish="stop")])
        )
    names = {name: getattr(module, name) for name, _ in public(module)} if module is not rung else vars(rung.testing)
    keep(code, thing.__qualname__, {"__name__": "example", **at_hand, **names, "rung": rung})


@each("module", MODULES, ids=lambda module: module.__name__)
def test_no_name_is_exempt_that_has_an_example_or_is_gone(module):
    there = dict(public(module))
    assert exempt(module) <= there.keys()
    assert not [name for name in exempt(module) if example(there[name])]

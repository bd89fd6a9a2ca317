"""What an app asks and sees before the first answer: what a ladder takes, what is fetched, how far a load is."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest

import rung
from llama.played import ANSWER, GREETING, LOADS
from rung.errors import ModelNotFound, StoreError
from rung.store import Sourcing, layout
from rung.testing import ScriptedTier
from rung.types import Preparing
from store.gguf_files import File

DATA = File().data()
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """A store of its own, whose catalogue has one model in a folder that a pull may use."""
    from rung.store import Entry, Folder

    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "tiny.gguf").write_bytes(DATA)
    entry = Entry(
        name="tiny",
        licence="LicenseRef-Strict",
        licence_text="https://licences.example/strict",
        size=len(DATA),
        sha256=SHA,
        source=(Folder(kind="folder", path=str(shelf)),),
    )
    monkeypatch.setenv("RUNG_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(layout, "user_catalogue", lambda: {"tiny": entry})
    return entry


def accept(name="tiny"):
    [model] = [it.model for it in rung.store.models() if it.model.name == name]
    rung.store.accept(model)


def test_what_a_ladder_takes_is_told_before_anything_is_fetched(catalogue):
    ladder = rung.Ladder(rung.llama("tiny"), ScriptedTier("other", "yes"))
    [it] = ladder.requirements()
    assert (it.tier, it.path, it.size, it.missing) == ("tiny", None, len(DATA), len(DATA))
    assert (it.licence, it.licence_address, it.asks) == (catalogue.licence, catalogue.licence_text, True)
    assert it.memory > it.size
    accept()
    ladder.prepare(load="none")
    [it] = ladder.requirements()
    assert it.path.read_bytes() == DATA
    assert (it.missing, it.asks) == (0, False)


def test_preparing_fetches_what_is_missing_and_tells_bytes_done_and_to_do(catalogue):
    accept()
    told: list[Preparing] = []
    rung.Ladder(rung.llama("tiny", name="small")).prepare(told.append, load="none")
    assert {it.tier for it in told} == {"small"}
    assert [it.phase for it in told if it.done][-1] == "checking"
    assert told[0].phase == "fetching"
    assert (told[-1].done, told[-1].total, told[-1].share) == (len(DATA), len(DATA), 1.0)


def test_a_damaged_file_is_replaced_when_it_is_checked(catalogue):
    accept()
    ladder = rung.Ladder(rung.llama("tiny"))
    ladder.prepare(load="none")
    [it] = ladder.requirements()
    it.path.unlink()  # it may be a link to the folder's own file
    it.path.write_bytes(DATA[:-1] + b"?")
    ladder.prepare(load="none", verify=False)
    assert it.path.read_bytes() != DATA
    ladder.prepare(load="none")
    assert it.path.read_bytes() == DATA


def test_nothing_is_fetched_without_the_licence_or_by_a_request(catalogue):
    ladder = rung.Ladder(rung.llama("tiny"))
    with pytest.raises(rung.LicenceNotAccepted):
        ladder.prepare()
    accept()
    outcome = ladder.run("Well?")
    assert isinstance(outcome.attempts[0].error, rung.TierUnavailable)
    assert "rung models pull tiny" in outcome.attempts[0].error.hint
    assert ladder.requirements()[0].path is None


def test_a_cancelled_preparation_ends_and_the_next_goes_on(catalogue):
    accept()
    ladder, stop = rung.Ladder(rung.llama("tiny")), rung.Cancel()
    with pytest.raises(rung.Cancelled):
        ladder.prepare(lambda _: stop.set(), cancel=stop)
    ladder.prepare(load="none")


def test_a_tier_fetches_from_where_its_app_says_and_from_nowhere_else(catalogue, tmp_path):
    accept()
    policy = Sourcing(allowed=frozenset({"hub"}), held_by="the policy")
    with pytest.raises(StoreError, match="the policy doesn't allow it"):
        rung.Ladder(rung.llama("tiny", sourcing=policy)).prepare()


def test_a_ladder_of_a_file_fetches_from_where_the_file_and_the_policy_allow(tmp_path):
    file = tmp_path / "rung.toml"
    file.write_text('[models]\nfrom = ["/media/stick"]\n[[tier]]\nname = "a"\nkind = "llama"\nmodel = "smollm2-135m"\n')
    with rung.load(file) as ladder:
        assert ladder.rungs[0].prepares.sourcing.places == ("/media/stick",)


def test_a_file_of_ones_own_is_only_looked_for(tmp_path):
    with pytest.raises(ModelNotFound):
        rung.Ladder(rung.llama(str(tmp_path / "none.gguf"))).prepare()


def test_a_tier_that_is_no_file_is_warmed_and_takes_nothing():
    tier = ScriptedTier("a", "yes")
    tier.warm = lambda: tier.__dict__.__setitem__("warmed", True)
    ladder = rung.Ladder(tier)
    ladder.prepare()
    assert (ladder.requirements(), tier.warmed) == ((), True)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a script with a first line stands for the interpreter")
def test_a_load_is_told_in_bytes_by_prepare_and_in_a_stream(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" * 30_000_000)
    worker = tmp_path / "python"
    worker.write_text(GREETING + LOADS[: LOADS.index("12")] + "4" + LOADS[LOADS.index("12") + 2 :] + ANSWER)
    worker.chmod(0o755)
    with rung.Ladder(rung.llama(str(tmp_path / "m.gguf"), python=str(worker))) as ladder:
        events = list(ladder.stream("Well?", timeout=60))
    loads = [it for it in events if isinstance(it, rung.Preparing)]
    assert loads
    assert [it.done for it in loads] == sorted(it.done for it in loads)
    assert all(it.phase == "loading" and 0 < it.done <= it.total == 120_000_000 for it in loads)
    assert isinstance(events[-1], rung.Finished)


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_and_the_next_try_works(catalogue, monkeypatch):
    accept()
    ladder = rung.Ladder(rung.llama("tiny"))
    with monkeypatch.context() as full:
        full.setattr("rung.store.pulling.rename", no_room)
        with pytest.raises(StoreError, match="no space left for the model store") as caught:
            ladder.prepare(load="none")
    assert "free some space" in caught.value.hint
    ladder.prepare(load="none")
    assert ladder.requirements()[0].missing == 0

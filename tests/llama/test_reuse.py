"""What is evaluated once needn't be again, and changes no answer."""

from __future__ import annotations

import os
import stat
import time

import pytest

from llama.conftest import call, text
from rung.types import Message, Shape

pytestmark = pytest.mark.weights

MANUAL = "The parts of a pump are the casing, the impeller, the shaft, the seal and the motor. " * 15
PEOPLE = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def ask(tier, *messages, **more):
    return list(tier.stream(call(messages, **more)))


def first_token(tier, question: str, manual: str = MANUAL, **more) -> float:
    """Seconds to the first text after a long system turn, model load left out."""
    began, loading = time.perf_counter(), 0.0
    for delta in tier.stream(call((Message("system", manual, **more), Message("user", question)), max_tokens=4)):
        loading += delta.load_seconds
        if delta.text:
            return time.perf_counter() - began - loading
    raise AssertionError("no text")


@pytest.mark.parametrize("shape", [None, Shape("json", PEOPLE)], ids=["text", "shape"])
def test_a_prompt_that_begins_like_an_earlier_one_gets_the_answer_that_it_would_get_alone(make, shape):
    system = Message("system", MANUAL)
    questions = [Message("user", q) for q in ("Ann is 31. Who is it?", "Bob is 47. Who is it?")]
    alone = [text(ask(make(), system, q, shape=shape)) for q in questions]
    shared = make()
    assert [text(ask(shared, system, q, shape=shape)) for q in questions] == alone


@pytest.mark.cpu
def test_a_shared_beginning_is_not_evaluated_twice(make):
    tier = make()
    tier.warm()
    long = MANUAL * 3
    cold = first_token(tier, "Name one part.", long)
    assert min(first_token(tier, f"Name part {n}.", long) for n in range(3)) < cold / 2


@pytest.mark.cpu
def test_a_marked_beginning_survives_a_restart_on_disk_and_nothing_else_does(make, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tier = make(prefix_mib=64)
    tier.warm()
    cold = first_token(tier, "Name one part.", reusable=True)
    first_token(tier, "Name another.")
    system, question = (
        Message("system", MANUAL, reusable=True),
        Message("user", "Say this once more: red, green, blue."),
    )
    expected = text(ask(tier, system, question))
    tier.close()
    files = list((tmp_path / "rung" / "prefixes").iterdir())
    assert len(files) == 1, "only what was marked"
    if os.name == "posix":
        assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
        assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    tier.warm()
    assert first_token(tier, "Name one part.", reusable=True) < cold / 2
    assert text(ask(tier, system, question)) == expected


@pytest.mark.parametrize("harm", ["cut", "flip", "gone"])
def test_a_damaged_prefix_on_disk_costs_time_and_no_answer(make, tmp_path, monkeypatch, harm):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tier = make(prefix_mib=64)
    messages = (Message("system", MANUAL, reusable=True), Message("user", "Name one part."))
    expected = text(ask(tier, *messages))
    tier.close()
    (file,) = (tmp_path / "rung" / "prefixes").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-9] if harm == "cut" else content)
    assert text(ask(tier, *messages)) == expected


def test_prefixes_on_disk_are_bounded_and_the_oldest_go_first(tmp_path):
    from rung.tiers.llama.worker.memory import Saved
    from rung.tiers.llama.worker.snapshots import Snapshots

    snapshots = Snapshots(tmp_path, 4000, "key")
    for n in range(5):
        snapshots.put(Saved((n,), bytes(1000)))
        os.utime(snapshots._path((n,)), (n + 1, n + 1))
    assert snapshots.find((0,)) is None
    assert snapshots.find((4,)) is not None
    snapshots.put(Saved((9,), bytes(9000)))
    assert snapshots.find((9,)) is None
    assert Snapshots(tmp_path, 4000, "another model").find((4,)) is None


def test_a_draft_changes_no_answer_whether_it_is_right_nearly_right_or_wrong(small):
    """Where the model is sure. llama.cpp multiplies several tokens by other kernels than one, so a near tie can
    turn out otherwise; that the loop itself changes nothing is shown on exact logits in `test_loop.py`."""
    more = {"shape": Shape("json", PEOPLE), "max_tokens": 40}
    question = Message("user", "Say this once more: Ann is aged 31, and Bob is aged 32.")
    expected = text(ask(small, question, **more))
    for draft in (expected, expected.replace("a", "o", 1), expected[len(expected) // 2 :], "no, no, no, " * 9):
        assert text(ask(small, question, rejected=draft, **more)) == expected

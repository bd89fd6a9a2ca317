"""Each tier by itself and then the ladder: the real engine, on tiers that record and replay."""

from __future__ import annotations

import os
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rung import Budget, Cancel, Ladder, Message, Price, Rung, Zone
from rung.errors import Cancelled, ConfigError, ContractError, PromptTooLong, TierCrashed, TierUnavailable
from rung.learn.cassette import Cassette
from rung.learn.evaluating import EvalProgress, Work, evaluate, recorders
from rung.learn.grading import Grade, grade
from rung.learn.recording import TierRecorder
from rung.learn.results import LADDER
from rung.learn.rows import Row
from rung.money import MemoryPurse
from rung.testing import QuotingTier, Reply, ScriptedTier
from rung.types import Call, Shape, Threshold, Usage

from .support import asked, lines, right, rows, run, tier, wrong


def even_right(number: int) -> Reply:
    return right(number) if number % 2 == 0 else wrong(number)


def is_even(value: str) -> bool:
    return int(value) % 2 == 0


def test_each_tier_is_asked_by_itself_and_the_ladder_by_its_rules() -> None:
    small, big = tier("small", even_right), tier("big", right)
    found = run(Ladder(Rung(small, min_confidence=0.5), big), rows(6))
    assert [found[n, "small"].right for n in range(1, 7)] == [False, True] * 3
    assert all(found[n, "big"].right for n in range(1, 7))
    assert [found[n, LADDER].answered_by for n in range(1, 7)] == ["big", "small"] * 3
    assert all(found[n, LADDER].right for n in range(1, 7))


def test_by_itself_a_tier_has_no_threshold_so_that_its_own_answers_are_seen() -> None:
    found = run(Ladder(Rung(tier("small", wrong), min_confidence=0.9), tier("big", right)), rows(3))
    assert found[1, "small"].valid
    assert found[1, "small"].features["minimum"] == pytest.approx(-2.0)


def test_nothing_is_asked_twice_though_the_ladder_asks_what_the_tiers_were_asked() -> None:
    small, big = tier("small", even_right), tier("big", right)
    run(Ladder(Rung(small, min_confidence=0.5), big), rows(20))
    assert len(small.calls) == 20
    assert len(big.calls) == 20


def test_what_the_ladder_asks_behind_a_rejected_answer_is_another_call() -> None:
    small, big = tier("small", even_right), tier("big", right)
    found = run(Ladder(Rung(small, repairs=0), big), rows(4), validators=[is_even])
    assert len(small.calls) == 4
    assert len(big.calls) == 4 + 2
    assert [found[n, LADDER].calls for n in range(1, 5)] == [2, 1, 2, 1]


def test_a_tier_by_itself_keeps_its_repairs() -> None:
    answers = {1: iter(["odd 3", "2"])}
    small = ScriptedTier("small", *[lambda call: next(answers[1])] * 2)
    found = run(Ladder(small), rows(1), validators=[lambda value: not value.startswith("odd")])
    assert found[1, "small"].right
    assert found[1, "small"].calls == 2


def test_two_rows_that_ask_the_same_are_asked_once_even_at_the_same_time() -> None:
    small = tier("small", lambda number: Reply(str(2 * number), seconds=0.05))
    same = [Row(n, "key", (Message("user", "double 1"),), True, "2") for n in range(1, 9)]
    found = run(Ladder(small), same, together=8)
    assert len(small.calls) == 1
    assert all(found[n, "small"].right for n in range(1, 9))


def test_one_model_is_loaded_at_a_time() -> None:
    open_now: list[str] = []
    most = 0

    class Loading(ScriptedTier):
        def warm(self) -> None:
            nonlocal most
            open_now.append(self.name)
            most = max(most, len(open_now))

        def close(self) -> None:
            super().close()
            if self.name in open_now:
                open_now.remove(self.name)

    small, mid, big = (Loading(name, *[lambda call: right(asked(call))] * 99) for name in ("small", "mid", "big"))
    run(Ladder(Rung(small, min_confidence=1), Rung(mid, min_confidence=1), big), rows(5))
    assert most == 1
    assert not open_now


def test_a_replay_asks_no_model_and_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    ladder = Ladder(Rung(tier("small", even_right), min_confidence=0.5), tier("big", right))
    with Cassette(path) as cassette:
        first = run(ladder, rows(10), cassette)
    nobody = Ladder(Rung(ScriptedTier("small"), min_confidence=0.5), ScriptedTier("big"))
    with Cassette(path, writes=False) as cassette:
        again = run(nobody, rows(10), cassette, asks=False)
    assert again == first


def test_another_threshold_can_be_tried_on_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Cassette(path) as cassette:
        run(Ladder(tier("small", even_right), tier("big", right)), rows(10), cassette)
    stricter = Ladder(Rung(ScriptedTier("small"), min_confidence=0.5), ScriptedTier("big"))
    with Cassette(path, writes=False) as cassette:
        found = run(stricter, rows(10), cassette, asks=False)
    assert sum(found[n, LADDER].answered_by == "big" for n in range(1, 11)) == 5


def test_a_default_threshold_is_replayed_as_it_was_when_the_answer_came(tmp_path: Path) -> None:
    class Thresholded(ScriptedTier):
        told: Threshold | None = None

        def default_threshold(self, shape: Shape) -> Threshold | None:
            return self.told

    shape = Shape("choice", {"type": "object"}, choices=("yes", "no"))
    call = Call((Message("user", "double 1"),), shape)
    told = Threshold(-0.5, {"minimum": 1.0}, origin="public data", curve=((-1.0, 0.5), (0.0, 0.9)))
    live, nobody = Thresholded("small", "yes"), Thresholded("small")
    live.told = told
    for source in (live, nobody):
        with Cassette(tmp_path / "calls.jsonl") as cassette:
            stands = recorders(Ladder(source), cassette, {"small": "x"})["small"].tier([], asks=True)
            assert stands.default_threshold(shape) is None
            assert "".join(delta.text for delta in stands.stream(call)) == "yes"
            assert stands.default_threshold(shape) == told
    assert not hasattr(
        TierRecorder(Rung(ScriptedTier("plain")), Cassette(), "x").tier([], asks=True), "default_threshold"
    )


def test_a_missing_call_of_a_replay_names_its_row_and_what_records_it(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Cassette(path) as cassette:
        run(Ladder(tier("small", right)), rows(3), cassette)
    with Cassette(path, writes=False) as cassette, pytest.raises(ConfigError, match="row 4: tier 'small'") as error:
        run(Ladder(ScriptedTier("small")), rows(4), cassette, asks=False, together=1)
    assert "--record" in error.value.hint


def test_a_recording_is_its_owners_and_holds_no_prompt(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Cassette(path) as cassette:
        run(Ladder(tier("small", right)), rows(3), cassette)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"double" not in path.read_bytes()


def test_what_a_tier_streamed_is_replayed_whole(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    said = Reply("one two three", logprob=-0.25, usage=Usage(7, 3), constraint="enforced", notes=("a note",))
    outcomes = []
    for source in (ScriptedTier("small", said), ScriptedTier("small")):
        with Cassette(path) as cassette:
            ladder = Ladder(source)
            recorder = recorders(ladder, cassette, {"small": "x"})["small"]
            outcomes.append(Ladder(recorder.tier([], asks=True)).run("anything"))
    first, again = (outcome.attempts[0] for outcome in outcomes)
    assert again.candidate == first.candidate
    assert again.notes == first.notes


def test_a_cut_off_line_is_left_out_with_a_word_and_its_call_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Cassette(path) as cassette:
        run(Ladder(tier("small", right)), rows(3), cassette, together=1)
    whole = path.read_bytes()
    for cut in (1, 2, 50, len(lines(path)[-1]) - 1):
        path.write_bytes(whole[:-cut])
        with Cassette(path) as cassette:
            assert len(cassette) == 2
            assert "cut off" in cassette.notes[0]
    path.write_bytes(whole[:-10])
    again = tier("small", right)
    with Cassette(path) as cassette:
        run(Ladder(again), rows(3), cassette)
    assert [asked(call) for call in again.calls] == [3]
    assert path.read_bytes().count(b"\n") == whole.count(b"\n")


@pytest.mark.parametrize("content", [b"{}\n", b"prompt,expected\na,b\n", b"\x00\x01", b'{"rung": "recording", "ver'])
def test_a_file_that_is_something_else_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    if content.startswith(b'{"rung'):  # the very first line, cut off by a kill
        with Cassette(path) as cassette:
            assert not len(cassette)
        return
    with pytest.raises(ConfigError, match="is not a recording"):
        Cassette(path)
    assert path.read_bytes() == content


def test_two_processes_do_not_record_into_one_file(tmp_path: Path) -> None:
    with Cassette(tmp_path / "calls.jsonl"), pytest.raises(ConfigError, match="another process records"):
        Cassette(tmp_path / "calls.jsonl")


def test_a_record_that_somebody_changed_is_an_error_and_not_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Cassette(path) as cassette:
        run(Ladder(tier("small", right)), rows(1), cassette)
    path.write_bytes(path.read_bytes().replace(b'"candidates"', b'"candidate"'))
    with Cassette(path, writes=False) as cassette, pytest.raises(ConfigError, match="record"):
        run(Ladder(ScriptedTier("small")), rows(1), cassette, asks=False)


def test_the_tiers_seconds_add_up_to_the_time_in_which_it_was_busy() -> None:
    small = tier("small", lambda number: Reply(str(2 * number), seconds=0.05))
    found = run(Ladder(small), rows(8), together=4)
    busy, waited = (sum(getattr(found[n, "small"], name) for n in range(1, 9)) for name in ("seconds", "latency"))
    assert waited >= 8 * 0.05
    assert busy < waited / 2


def test_without_labels_answers_are_held_against_the_next_tiers() -> None:
    ladder = Ladder(Rung(tier("small", even_right), min_confidence=0.5), tier("big", right))
    found = run(ladder, rows(4, labelled=False))
    assert [found[n, "small"].agrees for n in range(1, 5)] == [False, True, False, True]
    assert [found[n, "big"].agrees for n in range(1, 5)] == [None] * 4
    assert all(found[n, LADDER].agrees for n in range(1, 5))
    assert all(result.right is None for result in found.values())


def test_an_answer_that_is_not_valid_is_not_right_and_does_not_agree() -> None:
    ladder = Ladder(Rung(tier("small", wrong), repairs=0), tier("big", right))
    found = run(ladder, rows(2), validators=[is_even])
    assert not found[1, "small"].valid
    assert found[1, "small"].right is False
    assert found[1, "small"].agrees is False


def test_a_tier_that_can_not_be_asked_ends_it_and_keeps_what_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    ladder = Ladder(tier("small", right), ScriptedTier("big", TierUnavailable("the file is missing", hint="pull it")))
    with Cassette(path) as cassette, pytest.raises(TierUnavailable, match="tier 'big' can't be asked: the file is"):
        run(ladder, rows(3), cassette, together=1)
    small = tier("small", right)
    with Cassette(path) as cassette:
        found = run(Ladder(small, tier("big", right)), rows(3), cassette)
    assert not small.calls
    assert found[3, LADDER].right


def test_a_row_that_a_tier_can_not_take_counts_against_it_and_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    small = ScriptedTier("small", PromptTooLong(9000, 4096), "4")
    with Cassette(path) as cassette:
        first = run(Ladder(small), rows(2), cassette, together=1)
    assert first[1, "small"].right is False
    assert first[1, "small"].reason == "PromptTooLong"
    with Cassette(path, writes=False) as cassette:
        assert run(Ladder(ScriptedTier("small")), rows(2), cassette, asks=False) == first


def test_a_crash_counts_against_the_tier_and_is_asked_again_next_time(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Cassette(path) as cassette:
        first = run(Ladder(ScriptedTier("small", TierCrashed("died"), "4")), rows(2), cassette, together=1)
    assert first[1, "small"].reason == "TierCrashed"
    again = tier("small", right)
    with Cassette(path) as cassette:
        run(Ladder(again), rows(2), cassette)
    assert [asked(call) for call in again.calls] == [1]


@pytest.mark.slow
def test_cancelling_keeps_what_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    cancel = Cancel()

    def until_five(number: int) -> Reply:
        if number == 5:
            cancel.set()
        return right(number)

    with Cassette(path) as cassette, pytest.raises(Cancelled):
        run(Ladder(tier("small", until_five)), rows(50), cassette, together=1, cancel=cancel)
    again = tier("small", right)
    with Cassette(path) as cassette:
        assert len(cassette) >= 4
        run(Ladder(again), rows(50), cassette)
    assert len(again.calls) <= 46


def paid(*script: Any) -> QuotingTier:
    return QuotingTier("cloud", *script, zone=Zone.INTERNET, price=Price(1000, 1000), input_tokens=10, max_tokens=10)


def test_money_is_spent_once_and_a_replay_spends_none(tmp_path: Path) -> None:
    path, purse = tmp_path / "calls.jsonl", MemoryPurse(Decimal(10))
    ladder = Ladder(paid(*[lambda call: right(asked(call))] * 9), reach=Zone.INTERNET, purse=purse)
    with Cassette(path) as cassette:
        first = run(ladder, rows(3), cassette)
    spent = purse.spent
    assert spent == Decimal("0.036")
    with Cassette(path) as cassette:
        assert run(ladder, rows(3), cassette) == first
    assert purse.spent == spent
    assert first[1, "cloud"].cost == "0.012"


def test_a_tier_beyond_the_reach_is_not_asked() -> None:
    cloud = paid("never")
    found = run(Ladder(tier("small", wrong), cloud), rows(2))
    assert not cloud.calls
    assert {name for _, name in found} == {"small", LADDER}


def test_without_consent_a_tier_is_not_asked_and_nothing_is_said_of_its_answers() -> None:
    cloud = paid("never")
    ladder = Ladder(tier("small", right), cloud, reach=Zone.INTERNET, consent=lambda hop: False)
    found = run(ladder, rows(2))
    assert not cloud.calls
    assert found[1, "cloud"].right is None
    assert not found[1, "cloud"].asked
    assert found[1, "cloud"].reason == "consent_refused"
    assert found[1, "small"].agrees is None


def test_a_budget_holds_for_each_row_as_ever() -> None:
    cloud = paid(*[lambda call: right(asked(call))] * 9)
    found = run(Ladder(cloud, reach=Zone.INTERNET, budget=Budget(money=Decimal("0.001"))), rows(2))
    assert not cloud.calls
    assert found[1, "cloud"].reason == "over_budget"


def test_a_check_that_can_grade_nothing_ends_it_soon_and_repeats_no_answer() -> None:
    def broken(value: Any, expected: Any) -> bool:
        raise KeyError(value)

    small = tier("small", right)
    with pytest.raises(ConfigError, match="none of the first 3 answers can be graded: the check raised") as error:
        run(Ladder(small), rows(50), grade=lambda row, value: grade(broken, value, row.expected), together=1)
    assert len(small.calls) < 10
    assert error.value.message.endswith("the check raised KeyError")


def test_an_answer_that_can_not_be_graded_is_neither_right_nor_wrong() -> None:
    def picky(row: Row, value: Any) -> Grade:
        return Grade(None, "no idea") if row.number == 2 else Grade(True)

    found = run(Ladder(tier("small", right)), rows(3), grade=picky, together=1)
    assert found[2, "small"].right is None
    assert found[2, "small"].problem == "no idea"


def test_money_of_the_whole_evaluation_has_a_limit_of_its_own_beside_the_ledgers() -> None:
    ledger, limit = MemoryPurse(Decimal(10)), MemoryPurse(Decimal("0.03"))
    cloud = paid(*[lambda call: right(asked(call))] * 9)
    found = run(Ladder(cloud, reach=Zone.INTERNET, purse=ledger), rows(5), purse=limit, together=1)
    assert [found[n, "cloud"].asked for n in range(1, 6)] == [True, False, False, False, False]
    assert ledger.spent == limit.spent == Decimal("0.012")


def test_a_row_may_have_a_schema_of_its_own() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    row = Row(1, "k", (Message("user", "double 1"),), True, {"n": 2}, schema)
    found = run(Ladder(tier("small", lambda number: '{"n": 2}')), [row])
    assert found[1, "small"].right
    bad = Row(7, "k", (Message("user", "double 1"),), True, {"n": 2}, {"type": 3})
    with pytest.raises(ContractError, match="row 7: this is not a JSON Schema"):
        run(Ladder(tier("small", lambda number: '{"n": 2}')), [bad])


def test_progress_tells_who_is_asked_and_what_is_left() -> None:
    ladder = Ladder(tier("small", right), tier("big", right))
    identities = {"small": "s", "big": "b"}
    work = Work(ladder, recorders(ladder, Cassette(), identities), lambda: rows(5), together=1)
    seen = [event for event in evaluate(work) if not isinstance(event, list)]
    assert [(p.tier, p.whole) for p in seen if p.done == 5] == [("small", False), ("big", False), ("big", True)]
    assert seen[-1].asked == 10


def test_the_time_left_goes_by_what_was_really_asked_and_not_by_what_is_replayed() -> None:
    progress = EvalProgress("small", whole=False, done=110, fresh=10, asked=10, seconds=20.0)
    assert progress.left(200) == pytest.approx(90 * 2.0)
    assert EvalProgress("small", whole=False, done=0, fresh=0, asked=0, seconds=3.0).left(200) is None

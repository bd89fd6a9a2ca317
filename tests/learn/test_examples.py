"""Examples: which are the most similar, which may be shown, and what is read of their file."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rung import Message
from rung.contract import compile_output
from rung.errors import ConfigError
from rung.learn.escalations import admission
from rung.learn.examples import ExampleEntry, Examples, ExampleTable, admissible, asked_in, read_examples
from rung.learn.forms import FormTable, LearnedForm, TaskForms, in_force
from rung.learn.learned import Learned, read_learned
from rung.learn.similarity import SimilarTexts
from rung.learn.tuning_tiers import fixed_of
from rung.types import Conditions, Example, PromptForm, Sampling

TEXTS = ["send money to my sister", "my card was stolen", "what is my balance", "stealing is wrong", "pay my sister"]
HASH = "a" * 64


def entry(asked, answer="x", **more):
    return ExampleEntry.of(Example(asked, answer), **{"source": "data", "date": "2026-11-26", **more})


def examples(**more):
    return Examples([entry(text, **more) for text in TEXTS])


def test_the_most_similar_texts_come_first_and_other_forms_of_a_word_count():
    table = SimilarTexts(TEXTS)
    assert set(table.nearest("I want to send my sister some money", 2)) == {0, 4}
    assert table.nearest("cards", 5, without={1})[0] != 1
    assert table.nearest("sister", 2, without={0, 4}) == [1, 2]


IN_A_PROCESS = """
import random
from rung.learn.similarity import SimilarTexts
dice = random.Random(7)
words = [f"w{number}" for number in range(12)]
table = SimilarTexts([" ".join(dice.sample(words, 6)) for _ in range(60)])
print([table.nearest(" ".join(dice.sample(words, 8)), 6) for _ in range(60)])
"""


@pytest.mark.slow
def test_the_same_texts_are_the_most_similar_ones_in_every_process():
    """Else a recording couldn't be replayed, and the same prompt would be answered otherwise tomorrow."""
    said = {
        subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(said) == 1


@pytest.mark.parametrize("texts", [[], [""], ["", "a"]])
def test_a_table_of_nothing_has_no_similar_texts_and_breaks_nothing(texts):
    assert len(SimilarTexts(texts).nearest("anything", 4)) == len(texts)


def test_what_is_asked_itself_is_never_an_example_for_it():
    picked = examples().pick("similar", "Send money, to my SISTER!")
    assert TEXTS[0] not in [example.asked for example in picked]
    assert picked[-1].asked == TEXTS[4]


def test_examples_that_wait_are_not_shown():
    waiting = examples(waiting=True)
    assert waiting.pick("similar", "send money") == ()
    assert waiting.has("My card was stolen.")
    assert waiting.sha256 == Examples().sha256
    assert len(waiting.admitted().shown) == len(TEXTS)


def test_a_form_with_other_examples_is_another_form():
    form = PromptForm(examples="similar")
    assert in_force(form, examples()).sha256 != in_force(form, Examples(examples().entries[1:])).sha256
    bare = PromptForm(place="after")
    assert in_force(bare, examples()).sha256 == in_force(bare, Examples()).sha256


def test_a_form_whose_examples_are_gone_says_so():
    assert "there are none" in in_force(PromptForm(examples="fixed"), Examples()).notes[0]


def test_contradictions_and_long_ones_are_left_out():
    found = [Example("a", 1), Example("A.", 2), Example("b", 1), Example("B", 1), Example("c" * 2000, 1)]
    kept, contradictory, long = admissible(found)
    assert [example.asked for example in kept] == ["b"]
    assert (contradictory, long) == (2, 1)


def test_fixed_examples_differ_in_what_they_answer():
    found = [Example(f"{n:02}", n % 3) for n in range(12)]
    assert len({example.answer for example in fixed_of(found)}) == 3
    assert len(fixed_of(found)) == 4


@pytest.mark.parametrize("content", ["", "[]", '{"version": 2}', '{"tiers": {"small": [{"id": "x"}]}}', "{"])
def test_a_file_of_examples_that_something_else_changed_is_a_sentence(tmp_path, content):
    (tmp_path / "examples.json").write_text(content)
    with pytest.raises(ConfigError):
        read_examples(tmp_path)


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = ExampleTable().having("small", [entry("hello", {"a": [1, None]}, source="ledger", request="r1")])
    table.write(tmp_path)
    assert read_examples(tmp_path) == table
    table.without([table.of("small").entries[0].id]).write(tmp_path)
    assert read_examples(tmp_path).tiers == {}


def test_a_form_is_used_with_its_own_prompt_and_contract_alone(tmp_path):
    learned = LearnedForm(
        form=FormTable(place="after"), prompt=HASH, contract=HASH, rows=9, date="2026-11-26", rung="0.1"
    )
    Learned(forms={"small": learned}).write(tmp_path)
    forms = TaskForms(read_learned(tmp_path).forms, ExampleTable())
    assert forms("small", HASH, HASH).form.place == "after"
    assert forms("small", "b" * 64, HASH) is None
    assert forms("small", HASH, "b" * 64) is None
    assert forms("mid", HASH, HASH) is None


@pytest.mark.parametrize(("weights", "notes"), [("a", 0), ("b", 1), (None, 0)])
def test_a_form_that_was_tuned_with_other_weights_says_so(weights, notes):
    table = {"form": FormTable(place="after"), "prompt": HASH, "contract": HASH, "rows": 9, "date": "2026-11-26"}
    learned = Learned(forms={"small": LearnedForm(**table, weights="a" * 64, rung="0.1")})
    now = Conditions(
        tier="small",
        weights=weights and weights * 64,
        others={},
        prompt=HASH,
        contract=HASH,
        sampling=Sampling(),
        max_tokens=None,
        repairs=1,
        feedback="issues",
        form=HASH,
    )
    assert len(learned.standing(now).notes) == notes


def test_examples_that_are_admitted_turn_on_a_form_that_shows_them_and_keep_the_rest_of_it():
    learned = LearnedForm(
        form=FormTable(place="after"), prompt=HASH, contract=HASH, rows=9, date="2026-11-26", rung="0.1"
    )
    table = ExampleTable().having("small", [entry("hello", waiting=True)])
    found = admission({"small": learned}, table, prompt=HASH, contract=HASH, date="2026-11-27", rung="0.1")
    assert found.forms["small"].form == FormTable(place="after", examples="similar")
    assert found.examples.of("small").shown
    assert found.admitted == {"small": 1}
    nothing = admission({"small": learned}, ExampleTable(), prompt=HASH, contract=HASH, date="2026-11-27", rung="0.1")
    assert (nothing.forms, nothing.admitted) == ({"small": learned}, {})


def test_only_a_single_turn_can_be_an_example():
    assert asked_in([Message("system", "s"), Message("user", "hello")]) == "hello"
    assert asked_in([Message("user", "a"), Message("assistant", "b"), Message("user", "c")]) is None


def test_an_examples_answer_is_one_that_the_contract_accepts():
    from rung.learn.tuning_tiers import value_of

    contract = compile_output(["pay", "call"])
    turns = (Message("user", "hello"),)
    assert value_of(contract, turns, "pay") == ("pay",)
    assert value_of(contract, turns, "other") is None

"""What the local tier answers, with real weights."""

from __future__ import annotations

import json
import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama.conftest import call, text
from rung.errors import PromptTooLong, Unsupported
from rung.testing import check_tier
from rung.types import Image, Message, Sampling, Shape, Text, Zone

pytestmark = pytest.mark.weights

CLOSED = {"additionalProperties": False}

INVOICE = {
    "type": "object",
    "properties": {
        "vendor": {"type": "string", "maxLength": 40},
        "total": {"type": "number", "minimum": 0},
        "paid": {"type": "boolean"},
    },
    "required": ["vendor", "total", "paid"],
    **CLOSED,
}


def ask(tier, *args, **more):
    return list(tier.stream(call(*args, **more)))


def test_it_keeps_to_the_protocol_of_tiers(small, make):
    check_tier(make)


def test_it_stays_on_this_machine(small):
    assert (small.zone, small.destination, small.stays_here) == (Zone.HOST, "this machine", True)


def test_an_answer_comes_piece_by_piece_and_ends_with_its_bill(small):
    deltas = ask(small, max_tokens=40)
    tokens = [t for d in deltas for t in d.tokens]
    last = deltas[-1]
    assert len(deltas) >= 5
    assert "".join(t.text for t in tokens) == text(deltas)
    assert (last.finish, last.usage.output_tokens) == ("length", 40)
    assert last.usage.input_tokens == small.quote(call()).input_tokens
    assert last.model.lower().startswith("smollm2")
    assert [d.finish for d in deltas[:-1]] == [None] * (len(deltas) - 1)


def test_the_first_call_says_how_long_the_model_took_to_load(make):
    tier = make()
    first, second = ask(tier, max_tokens=2), ask(tier, max_tokens=2)
    assert sum(d.load_seconds for d in first) > 0.05
    assert sum(d.load_seconds for d in second) == 0.0


def test_greedy_answers_repeat_and_so_do_seeded_ones(small):
    hot = Sampling(temperature=1.2, seed=11, top_p=0.95)
    other = Sampling(temperature=1.2, seed=12, top_p=0.95)
    assert text(ask(small)) == text(ask(small))
    assert text(ask(small, sampling=hot)) == text(ask(small, sampling=hot))
    assert text(ask(small, sampling=hot)) != text(ask(small, sampling=other))


def test_chosen_tokens_carry_the_models_own_confidence(small):
    tokens = [t for d in ask(small) for t in d.tokens]
    assert all(t.logprob <= 0 for t in tokens)
    assert all(t.margin >= 0 for t in tokens), "a greedy choice is the likeliest"
    assert not any(t.forced for t in tokens)


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(small):
    whole = text(ask(small, max_tokens=40))
    stop = whole[12:15]
    deltas = ask(small, max_tokens=40, sampling=Sampling(stop=(stop,)))
    assert text(deltas) == whole[: whole.index(stop)]
    assert deltas[-1].finish == "stop"
    assert "".join(t.text for d in deltas for t in d.tokens) == text(deltas)


def test_a_schema_is_enforced(small):
    deltas = ask(small, "Invoice: Acme, 12.50 EUR, paid.", shape=Shape("json", INVOICE), max_tokens=80)
    value = json.loads(text(deltas))
    assert list(value) == ["vendor", "total", "paid"]
    assert (deltas[-1].constraint, deltas[-1].finish, deltas[-1].notes) == ("enforced", "stop", ())
    assert '", "' in text(deltas)
    assert any(t.forced for d in deltas for t in d.tokens)


def test_a_tagged_union_is_enforced_though_it_says_one_of(small):
    """pydantic writes `oneOf` for every tagged union."""
    kinds = [{"type": "object", "properties": {"k": {"const": k}}, "required": ["k"], **CLOSED} for k in ("cat", "dog")]
    shape = Shape("json", {"type": "object", "properties": {"pet": {"oneOf": kinds}}, "required": ["pet"], **CLOSED})
    deltas = ask(small, shape=shape)
    assert json.loads(text(deltas))["pet"]["k"] in ("cat", "dog")
    assert deltas[-1].constraint == "enforced"


def test_a_shape_that_leaves_no_choice_needs_no_model(small):
    deltas = ask(small, shape=Shape("json", {"type": "object", "const": {"a": 1}}))
    assert text(deltas) == '{"a": 1}'
    assert all(t.forced and t.logprob is None for d in deltas for t in d.tokens)


def test_what_of_a_schema_can_not_be_enforced_is_named_and_the_rest_is_enforced(small):
    deltas = ask(small, shape=Shape("json", {"type": "object", "not": {"required": ["a"]}}))
    assert deltas[-1].constraint == "enforced"
    assert any("not enforced while decoding" in note and "not" in note.split(": ")[1] for note in deltas[-1].notes)
    assert text(deltas).startswith("{")


def test_a_schema_can_not_change_how_it_is_enforced(small):
    plain = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a", "b"]}
    hinted = {"x-guidance": {"lenient": True, "whitespace_flexible": True, "item_separator": "  ,  "}, **plain}
    assert text(ask(small, shape=Shape("json", hinted))) == text(ask(small, shape=Shape("json", plain)))
    named = {"type": "object", "properties": {"x-guidance": {"const": 1}}, "required": ["x-guidance"]}
    assert json.loads(text(ask(small, shape=Shape("json", named))))["x-guidance"] == 1


@pytest.mark.parametrize("pattern", [r"\d{3}-\d{4}", r"(yes|no), [A-Z][a-z]+\.", r"[^\x00-\x7f]{2}", r"^a{5}$"])
def test_a_regular_expression_is_enforced(small, pattern):
    deltas = ask(small, shape=Shape("regex", {}, pattern=pattern))
    assert re.fullmatch(pattern, text(deltas))
    assert deltas[-1].constraint == "enforced"


@pytest.mark.parametrize("pattern", ["[", r"(a)\1", "(" * 5000])
def test_a_pattern_that_can_not_be_enforced_is_a_note_and_never_a_crash(small, pattern):
    deltas = ask(small, shape=Shape("regex", {}, pattern=pattern), max_tokens=4)
    assert deltas[-1].constraint == "none"
    assert deltas[-1].notes


@pytest.mark.parametrize(("pattern", "answer"), [(r"(?=a)a", "a"), (r"\bword\b", "word")])
def test_of_a_pattern_with_look_around_the_rest_is_enforced_and_a_note_says_so(small, pattern, answer):
    deltas = ask(small, shape=Shape("regex", {}, pattern=pattern), max_tokens=4)
    assert (text(deltas), deltas[-1].constraint) == (answer, "enforced")
    assert any("look-around" in note for note in deltas[-1].notes)


# The vocabulary of SmolLM2 has not every byte: some rare planes of Unicode it can't write at all.
WRITABLE = st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"])

NATIVE_KILLERS = [
    {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^\d+$"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"enum": ['say "hi"', "\\"]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "string", "maxLength": 20000}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/nowhere"}}},
    {"type": 5},
]


@pytest.mark.parametrize("schema", NATIVE_KILLERS, ids=range(len(NATIVE_KILLERS)))
def test_schemas_that_kill_other_engines_do_not_kill_this_one(small, schema):
    before = small.worker_pid
    assert ask(small, shape=Shape("json", schema), max_tokens=8)[-1].finish is not None
    assert small.worker_pid == before


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(WRITABLE, min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
def test_an_answer_of_several_choices_is_one_of_them_whatever_they_hold(small, choices):
    deltas = ask(small, shape=Shape("choice", {}, choices=tuple(choices)), max_tokens=64)
    assert deltas[-1].constraint == "enforced"
    assert text(deltas) in choices


def test_a_hot_constrained_answer_still_fits(small):
    shape = Shape("json", INVOICE)
    for seed in range(5):
        deltas = ask(small, shape=shape, sampling=Sampling(temperature=1.5, seed=seed), max_tokens=200)
        if deltas[-1].finish == "stop":
            assert list(json.loads(text(deltas))) == ["vendor", "total", "paid"]


def test_many_calls_at_once_each_get_their_own_answer(small):
    """More calls than slots, each with a shape that only its own answer fits."""
    answers = {}

    def one(n: int) -> None:
        shape = Shape("regex", {}, pattern=f"call {n}: [a-z ]{{20}}")
        answers[n] = text(ask(small, f"Say something about {n}.", shape=shape, max_tokens=60))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: a[: a.index(":")] for n, a in answers.items()} == {n: f"call {n}" for n in range(10)}


def test_calls_that_outgrow_the_context_together_still_all_end(make):
    """Four answers share 256 tokens of memory: some have to give theirs back and start over."""
    tier = make(context=256)
    alone = [text(ask(tier, f"Tell me a story about the number {n}.", max_tokens=70)) for n in range(4)]
    together: dict[int, str] = {}

    def one(n: int) -> None:
        together[n] = text(ask(tier, f"Tell me a story about the number {n}.", max_tokens=70))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A batch may round differently in the last bit, so an answer may part from its twin, but not at once.
    assert all(together[n][:20] == alone[n][:20] for n in range(4))


def test_a_prompt_that_leaves_no_room_says_both_counts(make):
    tier = make(context=300)
    with pytest.raises(PromptTooLong) as caught:
        ask(tier, "word " * 1000)
    assert caught.value.context == 512
    assert caught.value.input_tokens > 1000
    assert tier.quote(call("word " * 1000)).input_tokens == caught.value.input_tokens


def test_an_answer_that_fills_the_context_is_cut_off(make):
    endless = Shape("regex", {}, pattern="[a-z ]{2000}")
    deltas = ask(make(context=256), "word " * 180, shape=endless, max_tokens=None)
    usage = deltas[-1].usage
    assert deltas[-1].finish == "length"
    assert usage.input_tokens + usage.output_tokens == 256


def test_a_character_that_the_vocabulary_can_not_write_is_a_note(small):
    deltas = ask(small, shape=Shape("choice", {}, choices=("\U00040000",)), max_tokens=4)
    assert deltas[-1].constraint == "none"
    assert deltas[-1].notes


def test_text_that_spells_control_tokens_yields_none(small):
    """As plain text `<|im_end|>` is several tokens; as a control token it is one."""
    spelled = small.quote(call("<|im_end|>\n<|im_start|>system" * 4)).input_tokens
    lookalike = small.quote(call("<|im_emd|>\n<|im_stort|>system" * 4)).input_tokens
    empty = small.quote(call("x")).input_tokens
    assert spelled - empty > 4 * 6
    assert abs(spelled - lookalike) < 4 * 6


def test_half_a_surrogate_pair_is_refused_before_it_is_sent(small):
    with pytest.raises(Unsupported, match="surrogate"):
        ask(small, "\ud800")


def test_pictures_are_refused(small):
    picture = Message("user", (Text("What is this?"), Image(b"GIF89a", "image/gif")))
    with pytest.raises(Unsupported, match="images"):
        ask(small, (picture,))


def test_several_candidates_come_of_one_prompt_and_each_has_random_numbers_of_its_own(small):
    hot = Sampling(temperature=1.0, seed=11)
    deltas = ask(small, candidates=3, sampling=hot)
    texts = [text([d for d in deltas if d.index == n]) for n in range(3)]
    assert len(set(texts)) > 1
    assert sorted(d.index for d in deltas if d.finish) == [0, 1, 2]
    bills = [d.usage for d in deltas if d.usage is not None]
    assert len(bills) == 1, "one bill, with the last candidate"
    assert bills[0].output_tokens > 24


def test_parts_that_are_text_are_joined(small):
    parts = Message("user", (Text("Name three "), Text("colours.")))
    assert text(ask(small, (parts,))) == text(ask(small))


def test_a_template_of_ones_own_takes_the_place_of_the_files(make, tmp_path):
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (tmp_path / "t.jinja").write_text(source, encoding="utf-8")
    inline, file = make(chat_template=source), make(chat_template=str(tmp_path / "t.jinja"))
    assert inline.quote(call()).input_tokens == file.quote(call()).input_tokens < 8

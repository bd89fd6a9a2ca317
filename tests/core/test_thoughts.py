"""A thought is no part of the answer, whoever streams it, and however the stream is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.each import each
from helpers.thorough import times
from rung import Delta, Ladder, Rung
from rung.testing import Reply, ScriptedTier
from rung.thoughts import Splitter, apart
from rung.types import Provisional, Token

A = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
HARMONY = "<|channel|>analysis<|message|>The capital.<|end|><|start|>assistant<|channel|>final<|message|>Paris."

THOUGHTS = {
    "think": "<think>The capital.</think>Paris.",
    "think, on lines of its own": "<think>\nThe capital.\n</think>\n\nParis.",
    "white space before": "\n <think>The capital.</think> Paris.",
    "thinking": "<thinking>The capital.</thinking>\nParis.",
    "thought": "<thought>The capital.</thought>\nParis.",
    "reasoning": "<reasoning>The capital.</reasoning>\nParis.",
    "Mistral": "[THINK]The capital.[/THINK]Paris.",
    "Kimi": "◁think▷The capital.◁/think▷Paris.",
    "Cohere": "<|START_THINKING|>The capital.<|END_THINKING|><|START_RESPONSE|>Paris.<|END_RESPONSE|>",
    "ByteDance": "<seed:think>The capital.</seed:think>Paris.",
    "OpenThinker": "<|begin_of_thought|>The capital.<|end_of_thought|>"
    "\n\n<|begin_of_solution|>Paris.<|end_of_solution|>",
    "gpt-oss": HARMONY,
    "gpt-oss with its end": HARMONY + "<|return|>",
    "Gemma": "<|channel>thought\nThe capital.<channel|>Paris.",
    "an answer in tags": "<think>The capital.</think>\n<answer>Paris.</answer>\n",
    "a response in tags": "<think>The capital.</think><response>\nParis.\n</response>",
    "two thoughts": "<think>The</think>\n<think> capital.</think>Paris.",
    "an empty thought before one": "<think></think><think>The capital.</think>Paris.",
    "opened by the prompt": "The capital.</think>Paris.",
    "opened by the prompt, on lines": "The capital.\n</think>\n\nParis.",
    "opened by the prompt, Mistral": "The capital.[/THINK]Paris.",
}


def run(text, output=None, prompt="What is the capital of France, please?"):
    return Ladder(Rung(ScriptedTier("small", text), repairs=0)).run(prompt, output)


@each("kind", THOUGHTS)
def test_a_thought_is_reasoning_and_the_rest_is_the_answer(kind):
    outcome = run(THOUGHTS[kind])
    assert outcome.value == "Paris."
    assert "The capital." in outcome.attempts[0].candidate.reasoning.replace("\n", "")
    assert "Paris" not in outcome.attempts[0].candidate.reasoning


@each("kind", THOUGHTS)
def test_a_shape_is_read_behind_the_thought(kind):
    outcome = run(THOUGHTS[kind].replace("Paris.", '{"a": 1}'), A)
    assert outcome.value == {"a": 1}
    assert outcome.text.strip() == '{"a": 1}'


@settings(max_examples=times(80), derandomize=True, deadline=None, database=None)
@given(kind=st.sampled_from(sorted(THOUGHTS)), cuts=st.lists(st.integers(0, 120), max_size=12))
def test_how_a_stream_is_cut_changes_nothing(kind, cuts):
    """Each piece is a token of its own; those of the answer join to it."""
    text = THOUGHTS[kind]
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(edges)]

    class Pieces(ScriptedTier):
        def stream(self, call):
            for piece in pieces:
                yield Delta(piece, tokens=(Token(piece, -0.5),))
            yield Delta(finish="stop")

    outcome = Ladder(Rung(Pieces("small"), repairs=0)).run("What is the capital of France, please?")
    candidate = outcome.attempts[0].candidate
    assert outcome.value == "Paris."
    assert "".join(token.text for token in candidate.tokens) == candidate.text
    assert "The" in candidate.reasoning


@settings(max_examples=times(200), derandomize=True, deadline=None, database=None)
@given(st.lists(st.sampled_from(["<", "think>", "</think>", "a", " ", "<th", "[", "{", "|>", "\n", "◁"]), max_size=12))
def test_no_character_is_lost_or_told_twice(pieces):
    splitter = Splitter()
    parts = [part for piece in pieces for part in splitter.push(piece)] + splitter.finish()
    assert "".join(text for _, text in parts) == "".join(pieces)


@each(
    ("text", "prompt"),
    [
        ("The tag </think> closes a thought.", "What does </think> mean?"),
        ("Use `<think>` and `</think>` around it.", "How do I mark a thought?"),
        ("```html\n<think>a</think>\n```", "Show me the tags that mark a thought."),
        ("Thoughts stand in <think> tags.", "Where do thoughts stand in a stream?"),
        ("a < b and b <th c", "Write something with less-than signs."),
        ("<", "What is the sign for less than?"),
    ],
)
def test_tags_that_an_answer_is_about_stay_in_it(text, prompt):
    assert run(text, prompt=prompt).value == text


def test_in_data_a_tag_is_data():
    text = '{"a": 1, "b": "</think>"}'
    assert run(text, A).value == {"a": 1, "b": "</think>"}


def test_a_thought_without_an_end_is_no_answer():
    outcome = run(Reply("<think>The capital of", finish="stop"))
    assert not outcome.accepted
    assert [str(i.code) for i in outcome.attempts[0].issues] == ["empty"]
    assert outcome.attempts[0].candidate.reasoning == "The capital of"


def test_a_draft_shows_no_thought():
    events = list(Ladder(ScriptedTier("small", HARMONY)).stream("What is the capital?", provisional=True))
    assert "".join(e.text for e in events if isinstance(e, Provisional)) == "Paris."


def test_what_has_no_thought_passes_as_it_came():
    deltas = [Delta("Par", tokens=(Token("Par"),)), Delta("is."), Delta(finish="stop"), Delta("b", index=1)]
    assert list(apart(deltas)) == deltas

"""Models that think aloud: a thought is no part of the answer, and no shape holds for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llama.conftest import call, text
from rung.tiers.llama.worker.answer import Answer, DecodeOrder
from rung.tiers.llama.worker.prompt import ChatTemplate
from rung.tiers.llama.worker.sampling import LogitsRow, Sampler
from rung.tiers.llama.worker.text import Assembler
from rung.types import Message, Sampling, Shape

PIECES = [b"", b"<think>", b"hm, ", b"</thi", b"nk>", b"\n", b"yes"]
END = 0


class Vocabulary:
    ends = frozenset({END})

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return PIECES[token]


def decode(script: list[int], thinking, limit: int = 50):
    order = DecodeOrder(1, (9,), limit, Sampler(Sampling()), None, Assembler(), thinking=thinking)
    answer = Answer(order, Vocabulary(), "m")
    deltas = [answer.begin()]
    for token in script:
        logits = np.zeros(len(PIECES), np.float32)
        logits[token] = 5
        deltas.append(answer.advance(LogitsRow(logits)))
        if deltas[-1].finish:
            break
    return deltas


@pytest.mark.parametrize(
    ("script", "thinking"),
    [([1, 2, 2, 3, 4, 6, END], "possible"), ([2, 2, 3, 4, 6, END], "begun")],
    ids=["opened by the model", "opened by the prompt"],
)
def test_a_thought_is_kept_out_of_the_answer_and_counted(script, thinking):
    deltas = decode(script, thinking)
    assert text(deltas) == "yes"
    assert "".join(d.reasoning for d in deltas).removeprefix("<think>") == "hm, hm, "
    assert deltas[-1].finish == "stop"
    assert deltas[-1].usage.output_tokens == len(script) - 1
    assert any("tokens of thinking" in note for note in deltas[-1].notes)


def test_a_model_that_may_think_but_does_not_is_just_answered():
    deltas = decode([6, END], "possible")
    assert text(deltas) == "yes"
    assert not deltas[-1].notes


def test_a_thought_that_never_ends_is_an_answer_cut_off():
    deltas = decode([1] + [2] * 20, "possible", limit=8)
    assert text(deltas) == ""
    assert deltas[-1].finish == "length"


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_a_template_with_a_switch_is_told_not_to_think_unless_somebody_wants_it(name):
    source = "{{ messages[0].content }}{% if NAME %}<think>{% endif %}".replace("NAME", name)
    quiet, loud = ChatTemplate(source, model="m"), ChatTemplate(source, model="m", thinking=True)
    assert quiet.switches_thinking
    assert "<think>" not in "".join(s.text for s in quiet.render([Message("user", "hi")]))
    assert "<think>" in "".join(s.text for s in loud.render([Message("user", "hi")]))


@pytest.mark.weights
def test_the_shape_begins_after_the_thought(make):
    """The template opens a thought and has the model repeat what closes it."""
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\na b </think> yes a b </think> yes a b </think> yes <think>a b"
    )
    source = source.replace("<think>a b", "a b <think>")
    properties = {"ok": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": ["ok"], "additionalProperties": False}
    deltas = list(make(chat_template=source).stream(call(shape=Shape("json", schema), max_tokens=120)))
    assert "</think>" not in text(deltas)
    if deltas[-1].finish == "stop":
        assert set(json.loads(text(deltas))) == {"ok"}
    assert any(d.reasoning for d in deltas)


def test_a_request_turns_thinking_on_and_off_whatever_the_tier_says():
    source = "{{ messages[0].content }}{% if enable_thinking %}<think>{{ reasoning_effort }}{% endif %}"
    for tier in (False, True):
        template = ChatTemplate(source, model="m", thinking=tier)

        def said(effort, template=template):
            return "".join(s.text for s in template.render([Message("user", "Hi")], effort=effort))

        assert said("none") == "Hi"
        assert said("xhigh") == "Hi<think>high"
        assert said("minimal") == "Hi<think>low"
        assert said(None) == ("Hi<think>" if tier else "Hi")

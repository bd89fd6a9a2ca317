"""Plain text is checked for what is wrong whatever was asked, and for nothing else."""

from __future__ import annotations

import pytest

from helpers.each import each
from rung import Delta, Ladder, Message, Rung
from rung.testing import Reply, ScriptedTier

PROMPT = "Please tell me in one sentence what the capital of France is."


def codes(text, prompt=PROMPT):
    reply = text if isinstance(text, Reply) else Reply(text)
    outcome = Ladder(Rung(ScriptedTier("small", reply), repairs=0)).run(prompt)
    return [issue.code for issue in outcome.attempts[0].issues]


@each(
    ("text", "code"),
    [
        ("  \n\t", "empty"),
        (Reply("The capital of", finish="length"), "cut_off"),
        ("It is Paris. " * 40, "looping"),
        ("well " + "ha" * 200, "looping"),
        ("x" * 400, "looping"),
        (PROMPT, "echo"),
        (f"  {PROMPT.upper()}\n", "echo"),
        ("Paris.<|im_end|>", "control_tokens"),
        ("Paris.<|im_start|>user\nAnd of Spain?", "control_tokens"),
        ("Paris.</s>", "control_tokens"),
        ("<s> Paris.", "control_tokens"),
        ("[INST] Paris [/INST]", "control_tokens"),
        ("<start_of_turn>model\nParis.", "control_tokens"),
        ("Paris.\n</s>", "control_tokens"),
        ("Paris. <|im_end|>", "control_tokens"),
        (
            "Paris.<|im_end|>\n<|im_start|>user\nAnd of Spain?<|im_end|>\n<|im_start|>assistant\nMadrid.",
            "control_tokens",
        ),
        ("Paris.\n<|im_start|>user\nAnd of Spain?", "control_tokens"),
        ("<|im_start|>assistant\nParis.<|im_end|>", "control_tokens"),
        ("<|im_end|>", "control_tokens"),
        ("Paris.<｜end▁of▁sentence｜>", "control_tokens"),
    ],
)
def test_broken_text_is_rejected(text, code):
    assert codes(text) == [code]


REFRAIN = "Row, row, row your boat, gently down the stream,\nmerrily, merrily, merrily, life is but a dream.\n"
TURNS = (("system", "You are helpful."), ("user", "Hi"), ("assistant", "Hello!"))
CHATML = "\n".join(f"<|im_start|>{role}\n{text}<|im_end|>" for role, text in TURNS)
TABLE = "| city | country |\n|------|---------|\n" + "".join(f"| city {i} | land {i % 3} |\n" for i in range(40))
CODE = """```python
def add(a: int, b: int) -> int:
    return a + b


for i in range(10):
    print(i)
    print(i)
    print(i)
```"""


@each(
    "text",
    [
        CODE,
        TABLE,
        "=" * 400,
        "- " * 200,
        "Paris",
        "yes yes yes yes",
        "[" + "0, " * 200 + "0]",
        "<p>It was <s>Lyon</s>, now Paris.</p>",
        "let f x = x |> g <| h",
        "if a < s and s > b: pass",
        "Please tell me more.",
        "The capital of France is Paris.",
        REFRAIN * 5,
        "Verse one.\n\n" + REFRAIN * 4 + "\nThe end.\n\n" + REFRAIN * 4,
        f"{PROMPT}\n\nParis.",
        "<s>Lyon</s> Paris, of course.",
        "The old price was <s>9 EUR</s>",
        "<s>old</s>",
        "ChatML opens a turn with <|im_start|> and closes it with <|im_end|>.",
        "In ChatML a turn ends with <|im_end|>",
        f"For example:\n{CHATML}",
        f"For example:\n\n```\n{CHATML}\n```",
        CHATML,
        CHATML.removesuffix("Hello!<|im_end|>"),
        "Llama 2 writes [INST] before what the user says, and [/INST] after it.",
        "Special tokens: `<|endoftext|>`, `</s>`",
        "In HTML you cross a word out with <s>word</s>, and in Markdown with ~~word~~.",
    ],
    ids=lambda text: text[:20],
)
def test_code_tables_rulers_and_pieces_of_the_prompt_are_left_alone(text):
    assert codes(text) == []


def test_a_short_prompt_may_be_the_whole_answer():
    assert codes("Say cheese", prompt="Say cheese") == []


def test_control_tokens_that_the_user_wrote_may_be_answered_with_and_others_not():
    prompt = "What does <|im_end|> mean in a chat template?"
    assert codes("<|im_end|> ends a turn.", prompt) == []
    assert codes("<|im_end|> ends a turn.<|endoftext|>", prompt) == ["control_tokens"]


def test_text_that_goes_round_in_circles_is_not_waited_for_and_not_repaired():
    far = []

    class Endless(ScriptedTier):
        def stream(self, call):
            for i in range(100_000):
                far.append(i)
                yield Delta("It is Paris. ")

    outcome = Ladder(Endless("small"), ScriptedTier("mid", "Paris.")).run(PROMPT)
    assert [(str(a.verdict), a.reason) for a in outcome.attempts] == [("escalate", "looping"), ("accept", "valid")]
    assert len(far) < 1000


@pytest.mark.parametrize(
    ("messages", "answer"),
    [
        ("Correct the spelling: The train leaves at nine.", "The train leaves at nine."),
        ([Message("system", "Correct the spelling."), Message("user", "The train leaves at nine.")], None),
        ([Message("user", "Correct what I write."), Message("assistant", "Gladly."), Message("user", PROMPT)], None),
    ],
)
def test_a_text_that_needed_no_correction_may_be_the_answer(messages, answer):
    answer = answer or messages[-1].text
    assert Ladder(Rung(ScriptedTier("small", answer), repairs=0)).run(messages).value == answer


@pytest.mark.parametrize("text", ["ha" * 600, PROMPT, "Paris.<|im_end|>"])
def test_the_checks_of_plain_text_can_be_turned_off(text):
    assert not Ladder(Rung(ScriptedTier("small", text), repairs=0)).run(PROMPT).accepted
    assert Ladder(ScriptedTier("small", text)).run(PROMPT, text_checks=False).value == text
    assert not Ladder(Rung(ScriptedTier("small", " "), repairs=0)).run(PROMPT, text_checks=False).accepted


ITEMS = {"type": "object", "properties": {"items": {"type": "array"}}, "required": ["items"]}


@each("element", ['"McX", ', '{"name": "McX", "n": 1}, ', '["a", 1], ', "0, ", "null, "])
def test_a_list_that_never_ends_is_cut_short_and_sent_up(element):
    far = []

    class Endless(ScriptedTier):
        def stream(self, call):
            yield Delta('{"items": [')
            for i in range(100_000):
                far.append(i)
                yield Delta(element)

    outcome = Ladder(Endless("small"), ScriptedTier("mid", '{"items": []}')).run(PROMPT, ITEMS)
    assert [(str(a.verdict), a.reason) for a in outcome.attempts] == [("escalate", "looping"), ("accept", "valid")]
    assert len(far) * len(element) < 10_000


@each("element", ['"McX"', '{"name": "McX"}', "0", "[0, 0, 0, 0]", '"a"'])
@each("times", [3, 39])
def test_a_list_that_repeats_a_little_is_left_alone(element, times):
    text = '{"items": [' + ", ".join([element] * times) + "]}"

    class Pieces(ScriptedTier):
        def stream(self, call):
            yield from (Delta(text[i : i + 7]) for i in range(0, len(text), 7))
            yield Delta(finish="stop")

    outcome = Ladder(Pieces("small")).run(PROMPT, ITEMS)
    assert len(outcome.value["items"]) == times


def test_a_picture_of_zeros_is_left_alone():
    text = '{"items": [' + ", ".join(["0"] * 28 * 28) + "]}"
    assert len(Ladder(ScriptedTier("small", text)).run(PROMPT, ITEMS).value["items"]) == 784


def test_broken_text_is_repaired_like_any_other_fault():
    tier = ScriptedTier("small", "Paris.<|im_end|>", "Paris.")
    outcome = Ladder(tier).run(PROMPT)
    assert [a.reason for a in outcome.attempts] == ["control_tokens", "valid"]
    assert outcome.value == "Paris."

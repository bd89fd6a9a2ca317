"""Plain text is checked for what is wrong whatever was asked, and for nothing else."""

from __future__ import annotations

import pytest

from rung import Delta, Ladder, Rung
from rung.testing import Reply, ScriptedTier

PROMPT = "Please tell me in one sentence what the capital of France is."


def codes(text, prompt=PROMPT):
    reply = text if isinstance(text, Reply) else Reply(text)
    outcome = Ladder(Rung(ScriptedTier("small", reply), repairs=0)).run(prompt)
    return [issue.code for issue in outcome.attempts[0].issues]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("  \n\t", "empty"),
        (Reply("The capital of", finish="length"), "cut_off"),
        ("It is Paris. " * 40, "looping"),
        ("well " + "ha" * 200, "looping"),
        ("x" * 400, "looping"),
        (PROMPT, "echo"),
        (f"  {PROMPT.upper()}\n\nParis.", "echo"),
        ("Paris.<|im_end|>", "control_tokens"),
        ("Paris.<|im_start|>user\nAnd of Spain?", "control_tokens"),
        ("Paris.</s>", "control_tokens"),
        ("<s> Paris.", "control_tokens"),
        ("[INST] Paris [/INST]", "control_tokens"),
        ("<start_of_turn>model\nParis.", "control_tokens"),
        ("<think>France...</think>Paris.", "control_tokens"),
        ("Paris.<｜end▁of▁sentence｜>", "control_tokens"),
    ],
)
def test_broken_text_is_rejected(text, code):
    assert codes(text) == [code]


TABLE = "| city | country |\n|------|---------|\n" + "".join(f"| city {i} | land {i % 3} |\n" for i in range(40))
CODE = """```python
def add(a: int, b: int) -> int:
    return a + b


for i in range(10):
    print(i)
    print(i)
    print(i)
```"""


@pytest.mark.parametrize(
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


def test_broken_text_is_repaired_like_any_other_fault():
    tier = ScriptedTier("small", "Paris.<|im_end|>", "Paris.")
    outcome = Ladder(tier).run(PROMPT)
    assert [a.reason for a in outcome.attempts] == ["control_tokens", "valid"]
    assert outcome.value == "Paris."

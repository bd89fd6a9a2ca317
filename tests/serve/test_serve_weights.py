"""The server with real weights: the official client, and what is kept of a conversation's beginning."""

from __future__ import annotations

import sys

import pytest

import rung
from serve.environments import HERE, run
from serve.support import TOKEN

pytestmark = pytest.mark.weights

RULES = "\n".join(f"Rule {n}: a question about topic {n} is answered with the word topic{n}." for n in range(1, 25))


def small():
    return rung.llama("smollm2-135m", name="small")


def test_the_official_client_gets_real_answers(serve, tmp_path):
    served = serve(small())
    where = {"url": served.url.removesuffix("/v1"), "token": TOKEN}
    run(sys.executable, HERE / "clients" / "openai_python.py", where, tmp_path)


@pytest.mark.parametrize("line", [None, "x-session: {}"])
def test_from_the_second_turn_all_but_the_end_of_the_prompt_is_what_was_kept(serve, line):
    """Also where a line at the front changes with each request, if the setting names it. The end is what is new, and
    what the engine evaluates again before it: less than a hundred tokens, however long the prompt is.
    """
    served = serve(small(), limits={"drop_system_lines": ("x-session:",)})
    talk, figures = [], []
    for turn in range(3):
        head = [] if line is None else [line.format(turn * 7919)]
        talk.append({"role": "user", "content": f"Topic {turn + 1}?"})
        system = {"role": "system", "content": "\n".join([*head, RULES])}
        answer = served.chat([system, *talk], max_tokens=8)
        assert answer.status == 200, answer.body
        talk.append({"role": "assistant", "content": answer.text})
        usage = answer.json["usage"]
        figures.append((usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]))
        assert any("drop_system_lines" in note for note in answer.json["x_rung"]["notes"]) == (line is not None)
    assert figures[0][1] == 0
    assert all(0 < prompt - kept < 140 and kept > 400 for prompt, kept in figures[1:]), figures

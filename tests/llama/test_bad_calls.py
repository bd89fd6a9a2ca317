"""One bad call is its own failure: the worker lives, and another caller's running answer goes on to its end.

| kind | tests |
|---|---|
| values of a wrong kind or range | `core/test_values.py`; here `test_a_bad_value_...` for what only this tier bounds |
| texts: surrogates, NUL, control characters, prompts of many megabytes | `test_a_bad_text_...`, `test_a_prompt_...` |
| shapes that break what compiles them | `test_a_shape_...` |
| a frame that is wrong; one that can't be read | `test_frames.py`, `test_wrong_frames.py` |
| a bug or a panic in preparing or in decoding one answer | `test_whatever_breaks_...` |
| a template that computes for ever, or makes a huge value | `test_a_template_...`, `test_lanes.py`, `test_prompt.py` |
| a template's file that isn't one | `core/test_files.py`, `test_a_template_file_...` |
| a worker that is stopped, silent or stuck | `test_wedged_workers.py` |
| keys in the environment | `test_worker_environment.py` |
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from helpers.each import each
from llama.conftest import call, text
from rung.errors import ConfigError, PromptTooLong, RungError, TierError, TierTimeout, TierUnavailable, Unsupported
from rung.limits import Cancel, Deadline
from rung.tiers.llama import LlamaTier
from rung.types import Message, Sampling, Shape, ToolCall

SOON = 10.0
"""Seconds; far less than these inputs took, and far more than a busy machine needs."""


@contextmanager
def company(tier: LlamaTier) -> Iterator[None]:
    """Another caller's answer that is under way all the while, and must end well, on the same worker."""
    tier.warm()
    pid = tier.worker_pid
    got: list[str] = []
    begun = threading.Event()

    def ask() -> None:
        try:
            for delta in tier.stream(call("Count to a hundred.", max_tokens=40)):
                got.append(delta.text)
                begun.set()
        except RungError as error:
            got[:] = [f"{type(error).__name__}: {error}"]
        begun.set()

    thread = threading.Thread(target=ask)
    thread.start()
    begun.wait(60)
    yield
    thread.join(120)
    assert not thread.is_alive()
    assert len("".join(got)) > 40, got
    assert tier.worker_pid == pid


def outcome(tier: LlamaTier, asked) -> str:
    """What came of a call: its answer, or its error in words."""
    try:
        return text(list(tier.stream(asked)))
    except RungError as error:
        return str(error)


TOOL = ToolCall("1", "f", "{}")
TEXTS = {
    "half a surrogate pair": call("\ud800"),
    "half a surrogate pair in a tool call": call(
        [Message("user", "x"), Message("assistant", "", (ToolCall("\udfff", "f", "{}"),))]
    ),
    "half a surrogate pair as a stop string": call(sampling=Sampling(stop=("\ud800",))),
    "half a surrogate pair as a choice": call(shape=Shape("choice", {"type": "object"}, choices=("\ud800", "b"))),
    "half a surrogate pair in a schema": call(shape=Shape("json", {"type": "object", "properties": {"\ud800": {}}})),
    "half a surrogate pair in a rejected answer": call(rejected="\ud800"),
    "NUL": call("a\0b"),
    "only NUL": call("\0\0\0"),
    "every control character": call("".join(map(chr, range(32)))),
    "noncharacters": call("\ufffe\uffff\U0010ffff"),
    "private characters": call("".join(map(chr, range(0xF0000, 0xF0008)))),
    "arguments that are no JSON": call([Message("user", "x"), Message("assistant", "", (ToolCall("1", "f", "{{{"),))]),
    "arguments nested deep": call(
        [Message("user", "x"), Message("assistant", "", (ToolCall("1", "f", "[" * 5000 + "]" * 5000),))]
    ),
    "arguments nested too deep": call(
        [Message("user", "x"), Message("assistant", "", (ToolCall("1", "f", "[" * 200_000),))]
    ),
    "an answer to no call": call([Message("user", "x"), Message("tool", "y", (), "nobody")]),
    "no user": call([Message("assistant", "x")]),
    "no message": call([]),
    "empty messages": call([Message("user", ""), Message("assistant", ""), Message("user", "")]),
    "ten turns": call([Message("user", "x"), Message("assistant", "y")] * 5),
}


@pytest.mark.weights
def test_a_bad_text_harms_no_other_call(small):
    with company(small):
        came = {name: outcome(small, replace(asked, max_tokens=2)) for name, asked in TEXTS.items()}
    assert {n for n in came if "surrogate pair, which" in came[n]} == {
        n for n in TEXTS if n.startswith("half") and "rejected" not in n
    }


SHAPES = {
    "a pattern that nothing matches": Shape("regex", {"type": "object"}, pattern="a^b$c[]"),
    "a pattern that is none": Shape("regex", {"type": "object"}, pattern="((("),
    "a pattern of many repetitions": Shape("regex", {"type": "object"}, pattern="((a{1,999}){1,999}){1,999}"),
    "a pattern that looks around": Shape("regex", {"type": "object"}, pattern="(?<=a)b"),
    "no value": Shape("json", {"type": "object", "properties": {"a": False}, "required": ["a"]}),
    "an endless reference": Shape("json", {"$ref": "#"}),
    "a reference to nothing": Shape("json", {"$ref": "#/nowhere"}),
    "a reference to the network": Shape("json", {"$ref": "http://127.0.0.1:9/x.json"}),
    "types that aren't": Shape("json", {"type": ["x", 5, None]}),
    "bounds that aren't": Shape("json", {"type": "integer", "minimum": float("nan"), "maximum": float("inf")}),
    "a huge number": Shape("json", {"type": "integer", "maximum": 10**400}),
    "nesting": Shape("json", json.loads('{"not":' * 150 + "{}" + "}" * 150)),
    "references that double": Shape(
        "json",
        {
            "$defs": {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(24)} | {"d24": {}},
            "$ref": "#/$defs/d0",
        },
    ),
    "many choices": Shape("choice", {"type": "object"}, choices=tuple(f"choice {n}" for n in range(1000))),
}


@pytest.mark.weights
def test_a_shape_that_can_not_be_held_harms_no_other_call(small):
    with company(small):
        for shape in SHAPES.values():
            outcome(small, call(shape=shape, max_tokens=2))


@pytest.mark.weights
def test_a_bad_value_that_only_this_tier_bounds_is_refused_before_it_is_sent(small):
    with company(small):
        for stop in (tuple(map(str, range(5000))), ("x" * 10_000,)):
            assert "stop strings" in outcome(small, call(sampling=Sampling(stop=stop)))
        for sampling in (
            Sampling(temperature=1e-300),
            Sampling(seed=-(2**63)),
            Sampling(10.0, 1e-12, 0.999999, 2**64 - 1),
        ):
            outcome(small, call(sampling=sampling, max_tokens=8))
        outcome(small, call(max_tokens=2**63 - 1, deadline=Deadline(), sampling=Sampling(stop=("e",))))
        outcome(small, call(candidates=20, max_tokens=2))


@pytest.mark.weights
@pytest.mark.parametrize(
    "prompt", ["word " * 14_000_000, "x" * 5_000_000, "城" * 3_000_000], ids=["70 MB", "5 MB", "9 MB"]
)
def test_a_prompt_that_no_context_could_hold_is_refused_before_it_is_sent(small, prompt):
    with company(small):
        began = time.monotonic()
        with pytest.raises(PromptTooLong, match="at least") as caught:
            list(small.stream(call(prompt)))
        with pytest.raises(PromptTooLong):
            small.quote(call(prompt))
        assert time.monotonic() - began < SOON
    assert caught.value.input_tokens > caught.value.context


@pytest.mark.weights
def test_what_is_refused_by_its_bytes_could_never_have_fitted(small):
    """No token of the vocabulary stands for more bytes of text than was reckoned with."""
    from rung.store.gguf import read_header

    small.warm()
    header = read_header(small._file().path)
    longest = header.longest_token
    widest = "\n" + " " * 400
    for n in (1, 7, 50):
        prompt = "x" + widest * n + "x"
        assert small.quote(call(prompt)).input_tokens >= len(prompt.encode()) // longest


@pytest.mark.weights
def test_a_long_prompt_that_was_dropped_holds_up_no_other_call(small):
    long = "word " * 230_000
    with company(small):
        for ending in ({"deadline": Deadline.after(0.5)}, {"deadline": Deadline.after(0.7)}):
            with pytest.raises((TierTimeout, PromptTooLong)):
                list(small.stream(call(long, **ending)))
        began = time.monotonic()
        assert text(small.stream(call(max_tokens=2)))
        assert time.monotonic() - began < SOON


@pytest.mark.weights
def test_a_call_that_was_dropped_while_it_waited_is_never_prepared(make):
    """The model is still being loaded: what was given up by then is not even sent."""
    tier = make()
    for _ in range(20):
        with pytest.raises(TierTimeout):
            list(tier.stream(call("word " * 200_000, deadline=Deadline.after(0.01))))
    began = time.monotonic()
    assert text(tier.stream(call(max_tokens=2)))
    assert time.monotonic() - began < 3 * SOON


@pytest.fixture
def spoilt(tmp_path, weights):
    """Makes a tier whose worker is spoilt by some lines of Python, where a call's text says so."""
    tiers = []

    def new(lines: str, **settings) -> LlamaTier:
        worker = tmp_path / "python"
        worker.write_text(
            f"#!{sys.executable}\n"
            "import sys\n"
            "sys.argv = [sys.argv[0], *sys.argv[4:]]\n"
            "from rung.tiers.llama import worker\n"
            f"{lines}\n"
            "worker.main()\n"
        )
        worker.chmod(0o755)
        tiers.append(LlamaTier(weights("smollm2-135m"), name="small", python=str(worker), **settings))
        return tiers[-1]

    yield new
    for tier in tiers:
        tier.close()


SPOILT = {
    "rendering": """
from rung.tiers.llama.worker import prompt
real = prompt.ChatTemplate.render
def render(self, messages, errand=None, **settings):
    if "SPOIL" in messages[-1].text: raise KeyError(messages[-1].text)
    return real(self, messages, errand, **settings)
prompt.ChatTemplate.render = render
""",
    "memory": """
from rung.tiers.llama.worker import native
real = native.Vocabulary.tokenize
def tokenize(self, text, *, special):
    if "SPOIL" in text: raise MemoryError
    return real(self, text, special=special)
native.Vocabulary.tokenize = tokenize
""",
    "decoding": """
from rung.tiers.llama.worker import answer
real = answer.Answer.advance
def advance(self, logits):
    if self._order.limit == 7 and len(self.tokens) > len(self._order.prompt) + 2: raise ZeroDivisionError("SPOIL")
    return real(self, logits)
answer.Answer.advance = advance
""",
    "a panic": """
from rung.tiers.llama.worker import answer
real = answer.Answer.advance
class PanicException(BaseException): pass
def advance(self, logits):
    if self._order.limit == 7: raise PanicException("SPOIL")
    return real(self, logits)
answer.Answer.advance = advance
""",
    "saving": """
from rung.tiers.llama.worker import loop
real = loop.Loop._save_reusable
def save(self, answer, held):
    if answer._order.limit == 7: raise OSError("SPOIL")
    return real(self, answer, held)
loop.Loop._save_reusable = save
""",
}


@pytest.mark.weights
@pytest.mark.skipif(os.name == "nt", reason="a script as an interpreter")
@pytest.mark.parametrize("lines", SPOILT.values(), ids=SPOILT.keys())
def test_whatever_breaks_in_one_call_is_that_calls_failure_alone(spoilt, lines):
    tier = spoilt(lines)
    with company(tier):
        for _ in range(3):
            with pytest.raises(TierError, match="failed at this call") as caught:
                list(tier.stream(call("Say SPOIL.", max_tokens=7)))
            assert "SPOIL" not in str(caught.value)
        assert text(tier.stream(call(max_tokens=6)))
    assert text(tier.stream(call(max_tokens=6)))


LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
ONCE = "{% if messages | length > 1 %}" + LOOP + "{% endif %}" + CHATML
"""Computes for ever where a conversation has several turns."""


@pytest.mark.weights
def test_a_template_that_computes_for_ever_is_cut_and_holds_up_nobody(make):
    tier = make(chat_template=ONCE)
    turns = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    with company(tier):
        with pytest.raises(Unsupported, match="takes more than"):
            list(tier.stream(call(turns)))
        began = time.monotonic()
        with pytest.raises(TierTimeout):
            list(tier.stream(call(turns, deadline=Deadline.after(0.3))))
        assert text(tier.stream(call(max_tokens=2)))
        assert time.monotonic() - began < SOON
        cancel = Cancel()
        threading.Timer(0.2, cancel.set).start()
        with pytest.raises(RungError):
            list(tier.stream(call(turns, cancel=cancel)))


@pytest.mark.skipif(os.name == "nt", reason="POSIX kinds of files")
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "sparse", "not UTF-8", "missing"])
def test_a_template_file_that_is_none_is_a_sentence_in_time(tmp_path, kind):
    path = tmp_path / "template"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "sparse":
            path.touch()
            os.truncate(path, 1 << 40)
        case "not UTF-8":
            path.write_bytes(b"\xff\xfe{{")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    tier = LlamaTier(tmp_path / "m.gguf", chat_template=str(path))
    began = time.monotonic()
    with pytest.raises(TierUnavailable, match="chat template") as caught:
        list(tier.stream(call(deadline=Deadline.after(5))))
    assert time.monotonic() - began < 5
    assert caught.value.hint
    assert tier.worker_pid is None
    tier.close()


@each(
    "settings",
    [
        {"context": "5"},
        {"context": 1.5},
        {"threads": True},
        {"slots": 2**70},
        {"gpu_layers": -1},
        {"prefix_mib": None, "context": [1]},
        {"thinking": 1},
        {"top_p": 0},
        {"min_p": "x"},
        {"chat_template": 5},
        {"chat_template": "{{ '\ud800' }}"},
        {"python": 5},
        {"name": 5},
        {"model": None},
        {"model": ""},
        {"model": b"x"},
    ],
    ids=str,
)
def test_a_setting_of_a_wrong_kind_is_a_sentence(settings):
    with pytest.raises(ConfigError):
        LlamaTier(**{"model": "smollm2-135m", **settings})


@pytest.mark.slow
def test_a_module_of_the_worker_that_is_not_asked_for_is_not_loaded():
    code = "import sys; import rung.tiers.llama.host.tier; print('psutil' in sys.modules, 'jinja2' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]

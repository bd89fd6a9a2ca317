"""What a device says of the logits that it computes is what the CPU says of them. Here the CPU is the device, too."""

from __future__ import annotations

import numpy as np
import pytest

from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker import device_survey
from rung.tiers.llama.worker.answer import Answer, DecodeOrder
from rung.tiers.llama.worker.batch import Run
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.constraint import Grammars
from rung.tiers.llama.worker.device_survey import FEWEST, DeviceSurvey
from rung.tiers.llama.worker.exponentials import survey
from rung.tiers.llama.worker.log import Log
from rung.tiers.llama.worker.loop import Loop
from rung.tiers.llama.worker.native import Context, Model
from rung.tiers.llama.worker.sampling import Sampler
from rung.tiers.llama.worker.text import Assembler
from rung.types import Sampling, Shape

pytestmark = pytest.mark.weights

SLOTS = 8
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model(weights):
    return Model(str(weights("smollm2-135m")), Log())


@pytest.fixture(scope="module")
def grammars(model):
    return Grammars(model.vocabulary)


def context(model, *, surveyed=True, cells=1024) -> Context:
    return Context(
        model,
        cells=cells,
        sequences=SLOTS + 1,
        outputs=SLOTS + 15,
        threads=Fixed(2),
        batch=256,
        log=Log(),
        surveyed=surveyed,
    )


@pytest.fixture
def copied(monkeypatch):
    """How many whole rows came over from the device."""
    rows, read = [], device_survey._ggml().backend_tensor_get

    def get(tensor, into, start, size):
        if size > 4 * 1000:
            rows.append(start)
        read(tensor, into, start, size)

    monkeypatch.setattr(device_survey._ggml(), "backend_tensor_get", get)
    return rows


def prompts(model, count: int) -> list[Run]:
    words = model.vocabulary.tokenize("A pump has a casing, an impeller, a shaft, a seal and a motor.", special=False)
    return [Run(i, 0, words[: 3 + i], 1) for i in range(count)]


def ends(runs) -> list[int]:
    """Index in a step of the last token of each run."""
    return [int(end) - 1 for end in np.cumsum([len(run.tokens) for run in runs])]


def assert_alike(row, logits) -> None:
    found, exact = row.look(), survey(logits)
    assert logits[found.first] == found.top == exact.top
    assert logits[found.second] == found.runner_up == exact.runner_up
    assert found.first != found.second
    assert np.log(found.mass) == pytest.approx(np.log(exact.mass), abs=1e-5)


def test_each_row_is_surveyed_as_the_cpu_would_in_prompts_and_in_steps(model):
    plain, surveyed = context(model, surveyed=False), context(model)
    assert (plain.surveyed, surveyed.surveyed) == (False, True)
    runs = prompts(model, SLOTS)
    for _ in range(6):
        rows = []
        for one in (plain, surveyed):
            assert one.decode(runs)
            rows.append([one.row(index) for index in ends(runs)])
        for theirs, ours in zip(*rows, strict=True):
            assert_alike(ours, theirs.logits)
            assert (ours.logits == theirs.logits).all()
        runs = [
            Run(r.sequence, r.start + len(r.tokens), [theirs.token], 1) for r, theirs in zip(runs, rows[0], strict=True)
        ]


def test_drafted_tokens_have_rows_too_and_prompts_that_go_on_have_none(model):
    plain, surveyed = context(model, surveyed=False), context(model)
    (first, second, third) = prompts(model, 3)
    runs = [Run(0, 0, first.tokens, 0), Run(1, 0, second.tokens, 4), Run(2, 0, third.tokens, 2)]
    wanted = [len(first.tokens) + i for i in range(len(second.tokens))][-4:]
    wanted += [len(first.tokens) + len(second.tokens) + i for i in range(len(third.tokens))][-2:]
    assert plain.decode(runs)
    assert surveyed.decode(runs)
    for index in reversed(wanted):
        assert_alike(surveyed.row(index), plain.logits(index))


def test_few_rows_are_left_to_the_cpu(model, copied):
    one = context(model)
    runs = prompts(model, FEWEST - 1)
    assert one.decode(runs)
    rows = [one.row(index) for index in ends(runs)]
    assert not copied
    assert [row.token for row in rows] == [int(row.logits.argmax()) for row in rows]
    assert len(copied) == len(rows)


def test_no_row_comes_over_for_the_likeliest_token_and_how_sure_the_model_was(model, copied):
    one = context(model)
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    one.row(ends(runs)[0])
    assert len(copied) == SLOTS, "the first rows are compared with what the CPU says of them"
    copied.clear()
    for _ in range(3):
        runs = [Run(run.sequence, run.start + len(run.tokens), [5], 1) for run in runs]
        assert one.decode(runs)
        for index in ends(runs):
            row = one.row(index)
            assert row.logit(row.token) == row.look().top
    assert not copied
    assert one.row(2).logits is one.row(2).logits
    assert len(copied) == 1, "and one that is asked for comes once"


def test_a_context_that_is_made_larger_goes_on_surveying(model):
    one = context(model, cells=256)
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    assert one.resize(512)
    assert one.surveyed
    runs = [Run(run.sequence, len(run.tokens), [5], 1) for run in runs]
    assert one.decode(runs)
    for index in ends(runs):
        assert_alike(one.row(index), one.logits(index))


def test_a_device_that_says_something_else_than_the_cpu_is_not_believed(model, monkeypatch):
    added = DeviceSurvey._added

    def wrong(self, *facts):
        found = added(self, *facts)
        return device_survey._Graph(found.logits, found.second, found.first, found.numbers)

    monkeypatch.setattr(DeviceSurvey, "_added", wrong)
    one = context(model)
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    for index in ends(runs):
        row = one.row(index)
        assert row.token == int(one.logits(index).argmax())
        assert_alike(row, one.logits(index))


@pytest.mark.parametrize("lacking", ["functions", "name of the logits"])
def test_a_build_that_cannot_do_it_computes_without(model, monkeypatch, lacking):
    if lacking == "functions":
        monkeypatch.setattr(device_survey, "_ggml", lambda: None)
    else:
        monkeypatch.setattr(device_survey, "_LOGITS", b"nothing has this name")
    one = context(model)
    assert not one.surveyed
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    assert_alike(one.row(ends(runs)[-1]), one.logits(ends(runs)[-1]))


def answers(model, grammars, one: Context):
    """What a model says and how sure it was, of answers of all kinds at once."""
    calls, said = Calls(), {}
    loop = Loop(one, calls, lambda of, delta: said.setdefault(of, []).append(delta), cells=one.cells, slots=SLOTS)
    for number in range(SLOTS):
        prompt = model.vocabulary.tokenize(f"Person {number}: ", special=False)
        sampler = Sampler(Sampling(temperature=0.8 if number % 4 == 1 else 0.0, seed=number))
        constraint = grammars.constrain(Shape("json", PERSON)) if number % 2 else None
        order = DecodeOrder(number + 1, tuple(prompt), 30, sampler, constraint, Assembler(), shaped=bool(constraint))
        calls.add(number + 1)
        loop.submit(Answer(order, model.vocabulary, "m"))
    while len([d for deltas in said.values() for d in deltas if d.finish]) < SLOTS:
        loop.step()
    text = {of: "".join(delta.text for delta in deltas) for of, deltas in said.items()}
    tokens = {of: [token for delta in deltas for token in delta.tokens] for of, deltas in said.items()}
    return text, tokens


def test_answers_are_the_same_and_the_model_as_sure_of_them(model, grammars):
    expected, sure = answers(model, grammars, context(model, surveyed=False))
    text, found = answers(model, grammars, context(model))
    assert text == expected
    for of, tokens in found.items():
        for ours, theirs in zip(tokens, sure[of], strict=True):
            assert (ours.text, ours.forced) == (theirs.text, theirs.forced)
            for name in ("logprob", "margin", "allowed_logprob", "allowed_margin"):
                assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-4)

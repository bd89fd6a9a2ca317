"""What a device says of the logits that it computes is what the CPU says of them. Without a GPU the CPU is the device,
too.
"""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest

from llama.conftest import EVERY_LAYER
from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker import device_survey
from rung.tiers.llama.worker.answer import Answer, DecodeOrder
from rung.tiers.llama.worker.batch import Run
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.constraint import Grammars
from rung.tiers.llama.worker.crew import Crew
from rung.tiers.llama.worker.device_survey import FEWEST
from rung.tiers.llama.worker.exponentials import survey
from rung.tiers.llama.worker.faults import DecodeError, LoadError
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
    return Model(str(weights("smollm2-135m")), Log(), gpu_layers=EVERY_LAYER)


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


def assert_alike(row, logits, copied=None) -> None:
    """Checks what a row says against its logits, and that the device said it, if copies are counted."""
    before = len(copied or ())
    found, exact = row.look(), survey(logits)
    assert len(copied or ()) == before, "the device said it"
    assert logits[found.first] == found.top == exact.top
    assert logits[found.second] == found.runner_up == exact.runner_up
    assert found.first != found.second
    assert np.log(found.mass) == pytest.approx(np.log(exact.mass), abs=1e-5)


def assert_surveyed(one, indices, copied) -> None:
    """Checks what the device says of rows, once it is believed, and that it says it without a copy of any."""
    one.row(indices[0])
    assert one._survey.believed, "or a row would fall back to what was copied for the comparison"
    copied.clear()
    rows = [one.row(index) for index in indices]
    assert [row.look().first for row in rows] == [row.token for row in rows]
    assert not copied
    for row, index in zip(rows, indices, strict=True):
        assert_alike(row, one.logits(index))


def test_each_row_is_surveyed_as_the_cpu_would_in_prompts_and_in_steps(model, copied):
    plain, surveyed = context(model, surveyed=False), context(model)
    assert (plain.surveyed, surveyed.surveyed) == (False, True)
    runs = prompts(model, SLOTS)
    for _ in range(6):
        rows = []
        for one in (plain, surveyed):
            assert one.decode(runs)
            rows.append([one.row(index) for index in ends(runs)])
        for theirs, ours in zip(*rows, strict=True):
            assert_alike(ours, theirs.logits, copied)
            assert (ours.logits == theirs.logits).all()
        runs = [
            Run(r.sequence, r.start + len(r.tokens), [theirs.token], 1) for r, theirs in zip(runs, rows[0], strict=True)
        ]


def test_drafted_tokens_have_rows_too_and_prompts_that_go_on_have_none(model, copied):
    plain, surveyed = context(model, surveyed=False), context(model)
    (first, second, third) = prompts(model, 3)
    runs = [Run(0, 0, first.tokens, 0), Run(1, 0, second.tokens, 4), Run(2, 0, third.tokens, 2)]
    wanted = [len(first.tokens) + i for i in range(len(second.tokens))][-4:]
    wanted += [len(first.tokens) + len(second.tokens) + i for i in range(len(third.tokens))][-2:]
    assert plain.decode(runs)
    assert surveyed.decode(runs)
    for index in reversed(wanted):
        assert_alike(surveyed.row(index), plain.logits(index), copied)
    for index in (0, 10**6):
        with pytest.raises(DecodeError, match=f"no logits at {index}"):
            surveyed.row(index)
        with pytest.raises(DecodeError, match=f"no logits at {index}"):
            surveyed.logits(index)


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
        rows = [one.row(index) for index in ends(runs)]
        said = [(row.token, row.logit(row.token), row.look()) for row in rows]
        assert not copied
        for index, (token, logit, found) in zip(ends(runs), said, strict=True):
            assert one.logits(index).argmax() == token
            assert one.logits(index).max() == logit == found.top
        assert len(copied) == SLOTS, "a row that is asked for comes once"
        copied.clear()


def test_a_context_that_is_made_larger_goes_on_surveying(model, copied):
    one = context(model, cells=256)
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    assert one.resize(512)
    assert one.surveyed
    runs = [Run(run.sequence, len(run.tokens), [5], 1) for run in runs]
    assert one.decode(runs)
    assert_surveyed(one, ends(runs), copied)


def test_a_context_that_there_is_no_memory_for_is_refused_and_a_smaller_one_works_on(model, copied):
    with pytest.raises(LoadError):
        context(model, cells=2**31)
    one = context(model, cells=256)
    runs = prompts(model, SLOTS)
    one.resize(2**31)
    assert (one.cells, one.surveyed) == (256, True)
    one.forget(0)
    assert one.decode(runs)
    assert_surveyed(one, ends(runs), copied)


def test_a_step_is_surveyed_once_however_many_rows_the_first_sequence_has(model, monkeypatch):
    built, added = [], device_survey.DeviceSurvey._added

    def counted(self, *facts):
        built.append(facts)
        return added(self, *facts)

    monkeypatch.setattr(device_survey.DeviceSurvey, "_added", counted)
    one = context(model)
    built.clear()
    assert one.decode([Run(0, 0, (1, 2, 3, 4, 5, 6), 6), Run(1, 0, (1, 2), 1)])
    assert len(built) == 1
    assert_alike(one.row(7), one.logits(7))


@pytest.mark.parametrize("how", ["tokens", "top", "runner-up", "probability", "order of rows"])
def test_a_device_that_says_something_else_than_the_cpu_is_not_believed(model, monkeypatch, how):
    read = device_survey._ggml().backend_tensor_get

    def wrong(tensor, into, start, size):
        read(tensor, into, start, size)
        kind, count = (ctypes.c_int32, SLOTS) if size == 4 * SLOTS else (ctypes.c_float, 3 * SLOTS)
        values = np.ctypeslib.as_array((kind * count).from_address(into))
        if size == 4 * SLOTS and how == "tokens":
            values += 1
        elif size == 4 * SLOTS and how == "order of rows":
            values[:] = values[::-1].copy()
        elif size == 12 * SLOTS and how in ("top", "runner-up", "probability"):
            values.reshape(-1, 3)[:, ["top", "runner-up", "probability"].index(how)] *= 0.999

    monkeypatch.setattr(device_survey._ggml(), "backend_tensor_get", wrong)
    one = context(model)
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    for index in ends(runs):
        row = one.row(index)
        assert row.token == int(one.logits(index).argmax())
        assert_alike(row, one.logits(index))


@pytest.mark.parametrize("value", [np.nan, -np.inf, 0.0])
def test_a_step_with_a_row_that_is_not_finite_is_left_to_the_cpu(model, monkeypatch, value):
    one = context(model)
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    one.row(ends(runs)[0])  # it is believed from now on
    read = device_survey._ggml().backend_tensor_get

    def broken(tensor, into, start, size):
        read(tensor, into, start, size)
        if size == 12 * SLOTS:
            np.ctypeslib.as_array((ctypes.c_float * (3 * SLOTS)).from_address(into))[-1] = value

    monkeypatch.setattr(device_survey._ggml(), "backend_tensor_get", broken)
    runs = [Run(run.sequence, len(run.tokens), [5], 1) for run in runs]
    assert one.decode(runs)
    for index in ends(runs):
        assert_alike(one.row(index), one.logits(index))


def test_a_first_step_finds_out_whether_the_device_is_believed(model, copied, monkeypatch):
    one = context(model)
    one.rehearse()
    copied.clear()
    runs = prompts(model, SLOTS)
    assert one.decode(runs)
    assert one.row(ends(runs)[0]).look().top
    assert not copied, "nothing is compared any more"
    monkeypatch.setattr(device_survey, "_agrees", lambda found, logits: False)
    other = context(model)
    other.rehearse()
    assert (other.doubted, other.surveyed) == (True, False)
    assert other.decode(runs)
    for index in ends(runs):
        assert_alike(other.row(index), one.logits(index))


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


def answers(model, grammars, one: Context, crew: Crew | None = None):
    """What a model says and how sure it was, of answers of all kinds at once."""
    calls, said = Calls(), {}

    def hear(of, delta) -> None:
        said.setdefault(of, []).append(delta)

    loop = Loop(one, calls, hear, crew=crew, cells=one.cells, slots=SLOTS)
    # what steps take would decide what the next ones hold, and the last bits of logits hang on that
    loop._planner.took = lambda plan, seconds: None
    for number in range(SLOTS):
        prompt = model.vocabulary.tokenize(f"Person {number}: ", special=False)
        sampler = Sampler(Sampling(temperature=0.8 if number % 4 < 2 else 0.0, seed=number))
        constraint = grammars.constrain(Shape("json", PERSON)) if number % 2 else None
        order = DecodeOrder(number + 1, tuple(prompt), 30, sampler, constraint, Assembler(), shaped=bool(constraint))
        calls.add(number + 1)
        loop.submit(Answer(order, model.vocabulary, "m"))
    while len([d for deltas in said.values() for d in deltas if d.finish]) < SLOTS:
        loop.step()
    text = {of: "".join(delta.text for delta in deltas) for of, deltas in said.items()}
    tokens = {of: [token for delta in deltas for token in delta.tokens] for of, deltas in said.items()}
    return text, tokens


@pytest.mark.parametrize("helpers", [0, 3])
def test_answers_are_the_same_and_the_model_as_sure_of_them(model, grammars, helpers):
    expected, sure = answers(model, grammars, context(model, surveyed=False))
    crew = Crew(helpers, lambda work, name: threading.Thread(target=work, name=name, daemon=True).start())
    text, found = answers(model, grammars, context(model), crew)
    assert text == expected
    for of, tokens in found.items():
        for ours, theirs in zip(tokens, sure[of], strict=True):
            assert (ours.text, ours.forced) == (theirs.text, theirs.forced)
            for name in ("logprob", "margin", "allowed_logprob", "allowed_margin"):
                assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-4)

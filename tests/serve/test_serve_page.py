"""The page without a browser: its headers, what it is told, and the questions that it answers."""

from __future__ import annotations

import json
import re
import threading
from decimal import Decimal
from importlib import resources

import pytest

import rung
from rung.consent import ConfiguredConsent
from rung.limits import Cancel
from rung.serve.app import routes
from rung.serve.questions import PageQuestions
from rung.testing import QuotingTier, ScriptedTier
from rung.types import Hop
from serve.support import TOKEN

HOP = Hop("paid", rung.Zone.INTERNET, "api.example.com:443", Decimal("0.01"), 120, False, ("small: invalid",))


@pytest.fixture
def watching():
    """A person who has their page open."""
    questions = PageQuestions()
    with questions.watching("ada"):
        yield questions
    questions.close()


def asked(questions, caller="ada", cancel=None):
    """A question that waits, and what comes of it."""
    said = []
    thread = threading.Thread(target=lambda: said.append(questions.ask(caller, HOP, cancel or Cancel())), daemon=True)
    thread.start()
    while thread.is_alive() and not questions.of(caller):
        pass
    return thread, said


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js"])
def test_the_page_needs_no_token_and_lets_nothing_foreign_in(serve, path):
    answer = serve(ScriptedTier("small")).get(path, authorization=None)
    assert answer.status == 200
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(rb"https?://|innerHTML|\son[a-z]+=|style=|<script>", answer.body)


@pytest.mark.parametrize("path", ["/page/state", "/page/consent"])
def test_what_the_page_is_told_needs_a_token(serve, path):
    assert serve(ScriptedTier("small")).get(path, authorization=None).status == 401


def state(served):
    """The first state that the page is told."""
    head = f"GET /page/state HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    found = served.raw(head.encode(), seconds=1).decode()
    return json.loads(re.search(r"event: state\ndata: (.*)", found)[1])


@pytest.mark.slow
def test_the_page_is_told_the_ladder_and_the_ways_of_the_latest_requests_and_no_prompt(serve):
    served = serve(ScriptedTier("small", "no idea", "none"), ScriptedTier("mid", '{"total": 3}'))
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
    served.chat("a secret question", response_format=shape)
    told = state(served)
    assert [tier["name"] for tier in told["tiers"]] == ["small", "mid"]
    assert told["reach"] == "host"
    assert told["queue"] == {"running": 0, "waiting": 0}
    [request] = told["requests"]
    assert [(a["tier"], a["verdict"]) for a in request["attempts"]] == [
        ("small", "repair"),
        ("small", "escalate"),
        ("mid", "accept"),
    ]
    assert "secret" not in json.dumps(told)


def test_a_hop_waits_for_the_answer_of_the_person_who_asked(watching):
    for yes in (True, False):
        thread, said = asked(watching)
        [question] = watching.of("ada")
        assert (question["destination"], question["max_cost_usd"]) == ("api.example.com:443", "0.01")
        assert watching.of("bob") == []
        assert not watching.answer("bob", question["id"], True)
        assert watching.answer("ada", question["id"], yes)
        thread.join(10)
        assert said == [yes]


def test_where_nobody_has_the_page_open_the_answer_is_no_at_once(watching):
    assert watching.ask("bob", HOP, Cancel()) is False


def test_a_client_that_leaves_takes_its_question_along(watching):
    cancel = Cancel()
    thread, said = asked(watching, cancel=cancel)
    cancel.set()
    thread.join(10)
    assert said == [False]
    assert watching.of("ada") == []


def test_a_server_that_stops_answers_no(watching):
    thread, said = asked(watching)
    watching.close()
    thread.join(10)
    assert said == [False]


def test_without_a_page_a_hop_that_needs_a_person_is_refused(serve):
    paid = QuotingTier("paid", "yes", zone=rung.Zone.INTERNET, price=rung.Price(1, 4))
    nobody = ConfiguredConsent(False, frozenset(), frozenset(), None)
    answer = serve(paid, reach=rung.Zone.INTERNET, consent=nobody).chat()
    assert answer.error["code"] == "consent_refused"
    assert paid.calls == []


def test_the_page_loads_nothing_from_elsewhere():
    page = resources.files("rung.serve").joinpath("page", "page.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"data:,", "/page.css", "/page.js", "#prompt"}


@pytest.mark.slow
def test_the_description_has_every_endpoint(serve):
    served = serve(ScriptedTier("small"))
    described = served.get("/openapi.json").json["paths"]
    known = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in routes()
        for method in route.methods - {"HEAD"}
        if route.path != "/openapi.json"
    }
    assert {(path, method) for path, methods in described.items() for method in methods} == known

"""A server that several people share: their tokens, how much and how far they may ask, and what is known of it."""

from __future__ import annotations

import shutil
import ssl
import stat
import subprocess
import threading
import urllib.request

import pytest

import rung
from rung.errors import ConfigError
from rung.ledger import Ledger, LedgerFile, asked_since, requests
from rung.serve import listening
from rung.serve.app import ServeApp
from rung.serve.door import Caller, one_token
from rung.serve.errors import ApiError
from rung.serve.host import LadderHost
from rung.serve.server import Server
from rung.serve.tokens import NamedTokens, Quotas, TokenFile
from rung.testing import QuotingTier, ScriptedTier
from serve.support import TOKEN

NOON = 1_800_014_400.0


@pytest.fixture
def tokens(tmp_path):
    return TokenFile(tmp_path / "data" / "serve-tokens.json")


def test_a_token_is_told_once_and_only_its_hash_is_kept_for_this_user_alone(tokens):
    secret = tokens.add("ada", per_day=2, reach=rung.Zone.HOST)
    assert secret not in tokens.path.read_text()
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    found = NamedTokens(tokens)(secret)
    assert found == Caller("ada", rung.Zone.HOST, 2)
    assert NamedTokens(tokens)(secret + "x") is None


def test_a_token_that_is_removed_is_refused_within_a_second_and_no_start(tokens):
    secret, now = tokens.add("ada"), [0.0]
    find = NamedTokens(tokens, clock=lambda: now[0])
    assert find(secret) == Caller("ada")
    tokens.remove("ada")
    now[0] = 1.0
    assert find(secret) is None


def test_a_file_of_tokens_that_is_damaged_lets_nobody_in(tokens):
    secret = tokens.add("ada")
    tokens.path.write_text("{}")
    assert NamedTokens(tokens)(secret) is None
    with pytest.raises(ConfigError, match="doesn't hold the tokens"):
        tokens.read()


@pytest.mark.parametrize("name", ["", "token", "a b", "a\nb", "x" * 65, "../x"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(tokens, name):
    with pytest.raises(ConfigError):
        tokens.add(name)


def test_names_are_given_once_and_a_wrong_one_gets_the_nearest(tokens):
    tokens.add("ada")
    with pytest.raises(ConfigError, match="there is a token"):
        tokens.add("ada")
    with pytest.raises(ConfigError) as caught:
        tokens.remove("adda")
    assert "ada" in caught.value.hint


def test_a_quota_counts_what_the_ledger_knows_and_begins_anew_at_midnight():
    now = [NOON]
    quotas = Quotas(lambda name, since: 1, lambda: now[0])
    ada = Caller("ada", per_day=3)
    quotas.take(ada, 2)
    with pytest.raises(ApiError) as caught:
        quotas.take(ada, 1)
    assert (caught.value.status, caught.value.code) == (429, "insufficient_quota")
    assert int(caught.value.headers["retry-after"]) <= 86_401
    now[0] += 86_400
    quotas.take(ada, 2)
    quotas.take(Caller("bob"), 1000)


@pytest.fixture
def shared(serve, tokens, tmp_path):
    """A server with the tokens of two people, and its ledger."""
    ledger = Ledger(tmp_path / "ledger.sqlite3")

    def start(*tiers, **settings):
        keys = {"ada": tokens.add("ada", per_day=1), "bob": tokens.add("bob", reach=rung.Zone.HOST)}
        served = serve(*tiers, tokens=NamedTokens(tokens, one_token(TOKEN)), also=(ledger,), **settings)
        return served, {name: f"Bearer {key}" for name, key in keys.items()}, ledger

    yield start
    ledger.close()


def ask(served, key):
    body = {"model": "rung", "messages": [{"role": "user", "content": "Is water wet?"}]}
    return served.request("POST", "/v1/chat/completions", body, authorization=key)


@pytest.mark.slow
def test_who_asked_is_in_the_ledger_and_what_they_asked_is_not(shared, tmp_path):
    served, keys, ledger = shared(ScriptedTier("small", "It is.", "It is."))
    assert ask(served, keys["ada"]).text == "It is."
    assert ask(served, keys["bob"]).text == "It is."
    ledger.flush()
    with LedgerFile(ledger.path) as file:
        assert sorted(it.caller for it in requests(file)) == ["ada", "bob"]
        assert asked_since(file, "ada", 0) == 1
        [mine] = requests(file, caller="ada")
        assert mine.messages is None


@pytest.mark.slow
def test_each_token_has_its_own_quota(shared):
    served, keys, _ = shared(ScriptedTier("small", *3 * ["It is."]))
    assert ask(served, keys["ada"]).status == 200
    assert ask(served, keys["ada"]).error["code"] == "insufficient_quota"
    assert ask(served, keys["bob"]).status == 200


@pytest.mark.slow
def test_each_token_has_its_own_reach(shared):
    far = QuotingTier("far", "from afar", zone=rung.Zone.LAN)
    served, keys, _ = shared(far, reach=rung.Zone.LAN)
    assert ask(served, keys["bob"]).error["code"] == "beyond_reach"
    assert ask(served, keys["ada"]).text == "from afar"


@pytest.mark.slow
def test_nobody_goes_on_from_the_conversation_of_another(shared):
    served, keys, _ = shared(ScriptedTier("small", "It is."))
    body = {"model": "rung", "input": "Is water wet?"}
    first = served.request("POST", "/v1/responses", body, authorization=keys["ada"]).json["id"]
    answer = served.request("POST", "/v1/responses", {**body, "previous_response_id": first}, authorization=keys["bob"])
    assert answer.error["code"] == "previous_response_not_found"


@pytest.mark.slow
def test_unresolved_requests_of_everybody_form_a_queue(shared):
    served, keys, ledger = shared(ScriptedTier("small", "", "It is."))
    assert ask(served, keys["bob"]).status == 422
    assert ask(served, f"Bearer {TOKEN}").status == 200
    ledger.flush()
    with LedgerFile(ledger.path) as file:
        [waiting] = requests(file, unresolved=True)
        assert (waiting.caller, waiting.accepted) == ("bob", False)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)]
)
def test_only_this_machine_reaches_loopback(host, loopback):
    assert listening.is_loopback(host) is loopback


def test_a_server_for_all_addresses_answers_to_those_of_this_machine_and_the_names_it_is_given():
    known = listening.names("0.0.0.0", ("Box.example",))
    assert {"127.0.0.1", "box.example"} <= known
    assert listening.names("127.0.0.1", ("box.example",)) == {"127.0.0.1", "::1", "localhost"}


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine that vouches for itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    chain, key = tmp_path / "site.pem", tmp_path / "site.key"
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    named = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *named, "-keyout", key, "-out", chain], check=True, capture_output=True
    )
    return chain, key


@pytest.mark.slow
def test_with_a_certificate_everything_is_encrypted(certificate):
    listening.certified(*certificate)
    app = ServeApp(LadderHost(rung.Ladder(ScriptedTier("small"))), tokens=one_token(TOKEN))
    up, listener = threading.Event(), listening.tcp("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = Server(app, stop_seconds=1, started=up.set, certificate=certificate)
    thread = threading.Thread(target=server.run, args=(listener,))
    thread.start()
    try:
        assert up.wait(20)
        trusted = ssl.create_default_context(cafile=str(certificate[0]))
        with urllib.request.urlopen(f"https://localhost:{port}/health", context=trusted) as answer:
            assert answer.read() == b'{"status":"ok"}'
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://localhost:{port}/health", timeout=10)
    finally:
        server.stop(at_once=True)
        thread.join(20)


def test_a_certificate_that_is_none_is_said_before_anything_is_loaded(tmp_path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("hello")
    with pytest.raises(ConfigError, match="not a certificate and its key"):
        listening.certified(wrong, wrong)

"""What a token may spend in a day: it is never passed, and doesn't hinder what costs nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from decimal import Decimal

import pytest

import rung
from rung.errors import ConfigError
from rung.ledger import Ledger
from rung.serve.app import ServeApp
from rung.serve.door import Caller, one_token
from rung.serve.errors import used_up
from rung.serve.host import LadderHost
from rung.serve.tokens import NamedTokens, TokenFile
from rung.testing import QuotingTier, Reply, ScriptedTier
from serve.support import TOKEN, Served

NOON = 1_800_014_400.0
PRICE = rung.Price(0, 1000)
"""A thousandth of a dollar for each token of an answer."""


@pytest.fixture
def tokens(tmp_path):
    return TokenFile(tmp_path / "data" / "serve-tokens.json")


def paid(*texts, tokens=400):
    """A tier whose answers cost 0.40 dollars, and may cost a dollar."""
    script = [Reply(text, usage=rung.Usage(100, tokens)) for text in texts]
    return QuotingTier("paid", *script, zone=rung.Zone.INTERNET, price=PRICE)


@pytest.fixture
def priced(serve, tokens, tmp_path):
    """A server with the tokens of two people: `ada` may spend a dollar a day, `bob` as much as the ladder."""
    keys, ledgers = {}, []

    def start(*tiers, **settings):
        if not keys:
            keys.update(ada=f"Bearer {tokens.add('ada', usd_per_day='1.00')}", bob=f"Bearer {tokens.add('bob')}")
        ledger = Ledger(tmp_path / "ledger.sqlite3")
        ledgers.append(ledger)
        named = NamedTokens(tokens, one_token(TOKEN))
        return serve(*tiers, tokens=named, also=(ledger,), ledger=ledger, reach=rung.Zone.INTERNET, **settings), keys

    yield start
    for ledger in ledgers:
        ledger.close()


def ask(served, key, path="/v1/chat/completions", **fields):
    body = {"model": "rung", "max_tokens": 900, **fields}
    if path.endswith("responses"):
        body["max_output_tokens"] = body.pop("max_tokens")
        body |= {"input": "Is water wet?"}
    elif path.endswith("chat/completions"):
        body |= {"messages": [{"role": "user", "content": "Is water wet?"}]}
    else:
        body |= {"prompt": "Is water wet?"}
    return served.request("POST", path, body, authorization=key)


PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_a_request_that_could_cost_more_never_reaches_the_paid_tier(priced, path):
    tier = paid("It is.", "It is.", "It is.")
    served, keys = priced(tier)
    assert ask(served, keys["ada"], path).status == 200
    # of the dollar 0.60 is left: the answer is capped to it, and 0.20 is left after that
    assert ask(served, keys["ada"], path).status == 200
    refused = ask(served, keys["ada"], path)
    assert (refused.status, refused.error["code"], refused.error["type"]) == (429, *2 * ["insufficient_quota"])
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["x-should-retry"] == "false"
    assert len(tier.calls) == 2
    assert ask(served, keys["bob"], path).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_in_a_stream_the_refusal_is_an_event_of_the_same_words(priced, path):
    tier = paid(tokens=900)
    served, keys = priced(tier)
    Ledger(served.app.parts.host._ledger.path).purse_of("ada", 1).reserve(Decimal("0.9"))
    last = ask(served, keys["ada"], path, stream=True).events[-1][1]
    if path.endswith("responses"):
        assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "rate_limit_exceeded")
    else:
        assert last["error"]["code"] == "insufficient_quota"
    assert tier.calls == []


@pytest.mark.slow
def test_tiers_of_this_machine_go_on_answering(priced):
    tier = paid()
    served, keys = priced(ScriptedTier("small", "", "It is."), tier)
    Ledger(served.app.parts.host._ledger.path).purse_of("ada", 1).reserve(Decimal(1))
    refused = ask(served, keys["ada"])
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert ask(served, keys["ada"]).text == "It is."
    assert tier.calls == []


@pytest.mark.slow
def test_two_servers_on_one_ledger_share_what_is_left(priced):
    one, other = paid("It is.", "It is."), paid("It is.")
    (first, keys), (second, _) = priced(one), priced(other)
    assert ask(first, keys["ada"]).status == 200
    assert ask(first, keys["ada"]).status == 200
    assert ask(second, keys["ada"]).error["code"] == "insufficient_quota"
    assert other.calls == []


def test_where_no_ledger_keeps_what_is_spent_a_token_with_a_limit_spends_nothing():
    tier = paid("It is.")
    host = LadderHost(rung.Ladder(tier, reach=rung.Zone.INTERNET))
    app = ServeApp(host, tokens=one_token(TOKEN))
    purse = app.parts.host._purse(None, Caller("ada", usd_per_day=Decimal(5)))
    with pytest.raises(rung.BudgetExceeded):
        purse.reserve(Decimal("0.01"))
    assert app.parts.host._purse(None, Caller("bob")) is None


def test_a_refusal_lasts_until_midnight_utc():
    assert used_up("nothing is left", NOON).headers["retry-after"] == "43200"
    assert used_up("nothing is left", NOON + 43_199.5).headers["retry-after"] == "1"


def test_the_money_of_a_token_is_kept_to_the_last_digit(tokens):
    secret = tokens.add("ada", usd_per_day="1.50")
    assert NamedTokens(tokens)(secret) == Caller("ada", usd_per_day=Decimal("1.50"))
    assert json.loads(tokens.path.read_text())["tokens"][0]["usd_per_day"] == "1.50"


def test_tokens_that_an_earlier_version_made_have_no_limit_of_money(tokens):
    secret = tokens.add("ada", per_day=3)
    body = json.loads(tokens.path.read_text())
    del body["tokens"][0]["usd_per_day"]
    tokens.path.write_text(json.dumps(body))
    assert NamedTokens(tokens)(secret) == Caller("ada", per_day=3)


@pytest.mark.parametrize("amount", ["-1", "NaN", "inf", "1,50", "5000000", "1e99"])
def test_what_is_not_an_amount_makes_no_token(tokens, amount):
    with pytest.raises(ConfigError):
        tokens.add("ada", usd_per_day=amount)
    assert tokens.read() == ()


@pytest.mark.parametrize("amount", ["0", "0.000000000000000001", "4000000", "1e-30", "1E+3"])
def test_every_amount_that_makes_a_token_can_be_read_again(tokens, amount):
    tokens.add("ada", usd_per_day=amount)
    assert tokens.read()[0].usd_per_day == Decimal(amount)


CONFIG = """
[[tier]]
name = "paid"
kind = "openai"
model = "m"
base_url = "http://127.0.0.1:9/v1"
price = { input = 1, output = 1 }
max_tokens = 100
[ledger]
record = false
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it is stopped by a signal")
def test_a_server_that_records_nothing_keeps_the_money_of_its_tokens(tmp_path):
    (tmp_path / "rung.toml").write_text(CONFIG)
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    environment.pop("RUNG_LEDGER", None)
    rung_ = [sys.executable, "-m", "rung", "serve"]
    add = [*rung_, "token", "add", "ada", "--usd-per-day"]
    made = subprocess.run([*add, "0"], env=environment, text=True, check=True, capture_output=True)
    options = ["--config", tmp_path / "rung.toml", "--port", "0", "--ready-file", tmp_path / "ready.json"]
    with subprocess.Popen([*rung_, *options, "--exit-on-stdin-eof"], env=environment, stdin=subprocess.PIPE) as server:
        try:
            deadline = time.monotonic() + 60
            while not (tmp_path / "ready.json").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            served = Served(json.loads((tmp_path / "ready.json").read_text())["port"], None, None, None)
            refused = ask(served, f"Bearer {made.stdout.strip()}")
            assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
            server.stdin.close()
            assert server.wait(20) == 0
        finally:
            server.kill()

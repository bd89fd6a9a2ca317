"""The page in a real browser: a prompt climbs, consent is asked, and everybody can use it."""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

import pytest

import rung
from rung.consent import ConfiguredConsent
from rung.testing import QuotingTier, Reply, ScriptedTier
from serve.support import TOKEN

pytestmark = pytest.mark.surfaces

SCHEMA = '{"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}'
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("needs chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def opened(browser, serve):
    """Open the page of a server on these tiers; gives the page. It must not complain by the end of the test."""
    contexts, complaints = [], []

    def start(*tiers, width=1280, scheme="light", token=TOKEN, **settings):
        served = serve(*tiers, **settings)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda it: complaints.append(it.text) if it.type in ("error", "warning") else None)
        page.on("pageerror", lambda it: complaints.append(str(it)))
        page.goto(f"http://127.0.0.1:{served.port}/" + (f"#token={token}" if token else ""))
        return page

    start.complaints = complaints
    yield start
    for context in contexts:
        context.close()
    assert complaints == []


def ladder():
    """A ladder whose first two answers fail, and whose last tier costs money."""
    small = ScriptedTier("small", Reply("no idea", seconds=0.2), "none at all")
    mid = ScriptedTier("mid", '{"total": "three"}', '{"total": "drei"}')
    paid = QuotingTier("cloud", '{"total": 3}', zone=rung.Zone.INTERNET, price=rung.Price(1, 4))
    return small, mid, paid


PERSON = {"reach": rung.Zone.INTERNET, "consent": ConfiguredConsent(False, frozenset(), frozenset(), None)}


def ask(page, prompt="What is the total?", schema=SCHEMA):
    page.get_by_label("Prompt", exact=True).fill(prompt)
    if schema:
        page.get_by_text("The answer has to fit a JSON Schema").click()
        page.get_by_label("JSON Schema, or empty for text").fill(schema)
    page.get_by_role("button", name="Ask").click()


def offences(page):
    """What axe-core finds."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [(it["id"], [node["html"] for node in it["nodes"]]) for it in found]


def look(page, name):
    """Keep a picture for a person to look at, where RUNG_SCREENSHOTS names a folder."""
    folder = os.environ.get("RUNG_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_prompt_climbs_and_consent_is_asked(opened, width, scheme):
    page = opened(*ladder(), width=width, scheme=scheme, **PERSON)
    ask(page)
    send = page.get_by_role("button", name="Send it")
    send.wait_for()
    assert offences(page) == []
    look(page, f"asked-{width}-{scheme}")
    send.click()
    answer = page.get_by_label("Answer")
    answer.wait_for()
    assert answer.inner_text() == '{"total": 3}'
    marks = page.locator("#attempts > li").evaluate_all("all => all.map(it => it.className)")
    assert marks == ["withdrawn"] * 4 + ["accepted"]
    page.locator("#latest > li").wait_for()
    assert "left this machine" in page.locator("#said").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert offences(page) == []
    look(page, f"answered-{width}-{scheme}")


def test_a_no_keeps_the_prompt_here(opened):
    *local, paid = ladder()
    page = opened(*local, paid, **PERSON)
    ask(page)
    page.get_by_role("button", name="Keep it here").click()
    page.locator("#said.error").wait_for()
    assert paid.calls == []
    assert page.get_by_label("Answer").is_hidden()


def test_the_lamp_says_that_nothing_leaves(opened):
    page = opened(ScriptedTier("small", "It is."))
    page.locator("#lamp.home").wait_for()
    assert page.locator("#lamp").inner_text() == "offline: nothing leaves this machine"


def test_it_is_used_by_keyboard_alone(opened):
    page = opened(ScriptedTier("small", "It is wet."))
    page.locator("#model option").first.wait_for(state="attached")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.type("Is water wet?")
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "ask"
    page.keyboard.press("Enter")
    page.get_by_label("Answer").wait_for()
    assert page.get_by_label("Answer").inner_text() == "It is wet."


def test_the_token_leaves_the_address_and_stays_in_the_tab(opened):
    page = opened(ScriptedTier("small", "It is."))
    page.locator("#inside").wait_for()
    assert TOKEN not in page.url
    page.reload()
    page.locator("#inside").wait_for()
    assert page.evaluate("localStorage.length") == 0


def test_without_a_token_it_asks_for_one(opened):
    page = opened(ScriptedTier("small", "It is."), token=None, width=390)
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    assert offences(page) == []
    look(page, "door-390-light")
    page.get_by_role("button", name="Open").click()
    page.locator("#inside").wait_for()


def test_an_answer_is_text_and_never_markup(opened):
    evil = "<img src=x onerror=\"document.title='gone'\">"
    page = opened(ScriptedTier("small", evil))
    ask(page, schema=None)
    page.get_by_label("Answer").wait_for()
    assert page.get_by_label("Answer").inner_text() == evil
    assert page.title() == "rung"
    assert page.locator("#answer img").count() == 0

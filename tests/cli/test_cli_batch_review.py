"""The page of `rung batch --sample` in a real browser: answers are marked by clicks, and the marks calibrate a task."""

from __future__ import annotations

import json
import os
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.learn import calibrating
from rung.learn.making import make_task

if TYPE_CHECKING:
    from conftest import Program

pytestmark = pytest.mark.surfaces
ROWS = 180
LADDER = """
[[tier]]
name = "small"
kind = "doubling"
right = {good}
counts = "{counts}"

[[tier]]
name = "mid"
kind = "doubling"
right = {everything}
counts = "{counts}"
"""


@pytest.fixture
def page():
    """A page of the system's Chromium, which must not complain, or ask for anything but the file itself."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("needs chromium")
    from playwright.sync_api import sync_playwright

    complaints, asked = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.set_default_timeout(20_000)
        page.on("console", lambda it: complaints.append(it.text) if it.type in ("error", "warning") else None)
        page.on("pageerror", lambda it: complaints.append(str(it)))
        page.on("request", lambda it: asked.append(it.url))
        yield page
        browser.close()
    assert complaints == []
    assert all(url.startswith(("file:", "blob:")) for url in asked)


def test_marks_that_a_person_clicks_calibrate_the_task(program: Program, page, capsys, monkeypatch):
    everything = list(range(ROWS + 1))
    counts = (program.home / "counts").as_posix()
    program.config(LADDER.format(good=[n for n in everything if n % 4], everything=everything, counts=counts))
    make_task(program.home / "tasks" / "double", {"prompt": "double {n}", "regex": "[0-9]+"})
    monkeypatch.chdir(program.work)
    monkeypatch.setattr(calibrating, "_DRAWS", 30)
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("outside")))
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(program.home))

    def run(*words: str) -> tuple[int, str, str]:
        code = invoke((*words, "--task", "double", "--config", str(program.home / "rung.toml")), Interrupts())
        return code, *capsys.readouterr()

    (program.work / "data.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1, ROWS + 1)))
    code, _, said = run("batch", "data.csv", "--out", "out.jsonl", "--sample", str(ROWS))
    assert code == 0, said

    page.goto((program.work / "out.jsonl.review.html").as_uri())
    save, cards = page.get_by_role("button", name="Save the labels"), page.locator("article")
    assert cards.count() == ROWS
    assert save.is_disabled()
    # the fourth answer is wrong, and a wrong one can't be saved without the right one
    cards.nth(3).get_by_role("button", name="wrong").click()
    assert "1 wrong one needs the right answer." in page.locator("#sum").inner_text()
    assert save.is_disabled()
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    assert [it["id"] for it in page.evaluate("axe.run()")["violations"]] == []
    if folder := os.environ.get("RUNG_SCREENSHOTS"):
        cards.nth(0).get_by_role("button", name="right").click()
        page.screenshot(path=str(Path(folder) / "review.png"))
        cards.nth(0).get_by_role("button", name="right").click()
    for number in range(1, ROWS + 1):
        card = cards.nth(number - 1)
        assert f"double {number}" in card.inner_text()
        if number % 4:
            card.get_by_role("button", name="right").click()
        else:
            if number != 4:
                card.get_by_role("button", name="wrong").click()
            card.get_by_label("The right answer").fill(str(2 * number))
    assert page.locator("#sum").inner_text() == f"{ROWS - ROWS // 4} right, {ROWS // 4} wrong, 0 not marked."
    with page.expect_download() as download:
        save.click()
    download.value.save_as(program.work / "labels.jsonl")

    labels = [json.loads(line) for line in (program.work / "labels.jsonl").read_text().splitlines()]
    assert [row["expected"] for row in labels] == [str(2 * n) for n in range(1, ROWS + 1)]
    code, answer, said = run("calibrate", "labels.jsonl", "--record", "calls", "--json")
    assert code == 0, said
    assert json.loads(answer)["rows"] == ROWS

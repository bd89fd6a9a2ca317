"""The example of a desktop app, driven at the keyboard under a display of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from apps.conftest import MODEL, bare

pytestmark = [pytest.mark.surfaces, pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")]

DRIVER = Path(__file__).with_name("drive.py")
SLACK = 50.0
"""Milliseconds by which the window's loop may be later than the idle one, in 99 of 100 turns."""
LONGEST = 250.0
"""Milliseconds that it may ever be late: what a person begins to notice."""
TRIES = 3
"""Runs of which one has to keep both: another program on the machine can hold up any of them."""


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A display of its own, which picks its number."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "2600x1600x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as told:
        yield f":{told.readline().strip()}"
    server.terminate()
    server.wait()


@pytest.fixture
def drive(display, tmp_path, weights):
    """Plays a scenario of drive.py, and gives what came of it."""
    pytest.importorskip("PySide6", reason="needs PySide6")

    def play(*scenario: object, inside: Sequence[str] = (), **variables: str) -> dict:
        done = subprocess.run(
            [*inside, sys.executable, DRIVER, *map(str, scenario)],
            capture_output=True,
            text=True,
            env={**os.environ, "DISPLAY": display, "PICTURES": str(tmp_path), **variables},
            check=False,
            timeout=400,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return play


def test_fields_fill_and_the_window_never_freezes(drive, weights):
    weights(MODEL)
    for last in reversed(range(TRIES)):
        seen = drive("fills")
        gaps = seen["gaps"]
        busy = {name: it for name, it in gaps.items() if name != "idle"}
        late = {n: it for n, it in busy.items() if it["p99"] > gaps["idle"]["p99"] + SLACK or it["most"] > LONGEST}
        if not late or not last:
            break
    assert all(seen["fields"].values()), seen
    assert all(0 <= it <= 1 for it in seen["sure"].values())
    assert seen["tiers"] == {"small": "accepted"}
    assert "Nothing left this computer" in seen["says"]
    assert {"AttemptStarted", "Preparing", "Provisional", "Finished"} <= set(seen["events"])
    assert busy.keys() == {"load", "prefill", "decode"}
    assert late == {}, gaps


def test_stop_acts_at_once(drive, weights):
    weights(MODEL)
    seen = drive("stops")
    assert seen["ends"] == ["Stopped."] * 3
    assert seen["tiers"] == {"small": "stopped"}
    assert min(seen["took"]) < 0.2


def test_a_killed_worker_is_a_tier_that_failed_and_the_next_request_works(drive, weights):
    weights(MODEL)
    seen = drive("killed")
    assert seen["after"]["tiers"] == {"small": "failed"}
    assert not any(seen["after"]["fields"].values())
    assert seen["next"]["tiers"] == {"small": "accepted"}
    assert all(seen["next"]["fields"].values())


def test_consent_is_asked_with_price_and_size_and_a_no_sends_nothing(drive):
    seen = drive("consents", "no")
    assert "characters leave this computer, and it costs at most $0.0" in seen["asked"]
    assert seen["tiers"] == {"small": "rejected", "paid": "refused"}
    assert not any(seen["fields"].values())


def test_consent_that_is_given_asks_the_paid_tier(drive):
    seen = drive("consents", "yes")
    assert seen["tiers"] == {"small": "rejected", "paid": "accepted"}
    assert seen["fields"]["total"] == "1,240.50"
    assert "It was sent out" in seen["says"]


def test_stop_closes_the_dialogue_and_is_a_no(drive):
    seen = drive("consents", "stop")
    assert seen["says"] == "Stopped."
    assert not any(seen["fields"].values())


def test_offline_nobody_is_asked_and_the_lamp_says_so(drive):
    seen = drive("offline")
    assert not seen["dialogue"]
    assert seen["tiers"] == {"small": "rejected", "paid": "skipped"}
    assert seen["lamp"] == "Offline: nothing leaves this computer"


def test_a_draft_that_is_wrong_is_withdrawn_visibly(drive):
    seen = drive("withdraws")
    assert seen["tiers"] == {"small": "rejected", "mid": "accepted"}
    assert "<s>vendor: ACME GmbH" in seen["draft"]
    assert "Withdrawn: " in seen["draft"]
    assert seen["fields"]["date"] == "2026-05-03"


def test_on_battery_it_waits_for_the_plug(drive):
    seen = drive("battery")
    assert seen["paused"]["says"].startswith("Paused: this computer runs on its battery")
    assert seen["tiers"] == {"small": "accepted"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scale", ["1.25", "2"])
def test_the_window_draws_itself_at_any_scale_and_in_both_schemes(drive, tmp_path, scheme, scale):
    from PySide6.QtGui import QImage

    drive("looks", SCHEME=scheme, QT_SCALE_FACTOR=scale)
    for name in ("first", "download", "read"):
        image = QImage(str(tmp_path / f"{name}.png"))
        assert image.width() > 500 * float(scale)
        corner = image.pixelColor(3, 3).lightness()
        assert (corner < 80) == (scheme == "dark"), corner


def test_a_full_disk_is_said_and_with_room_the_download_goes_on(drive, weights, tmp_path):
    """The app's folder is on a small disk of its own, which another program fills in the middle of the download."""
    alone = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("a disk of its own can't be mounted here")
    seen = drive("full", weights(MODEL).resolve(), str(tmp_path), inside=alone)
    assert "no space left for the model store" in seen["full"]["says"], seen
    assert not any(seen["full"]["fields"].values())
    assert f"{98_362_432 - seen['kept']:,} bytes are needed" in seen["full"]["says"], "what was fetched stays"
    assert seen["kept"] > 20e6
    assert all(seen["then"]["fields"].values()), seen["then"]


@pytest.mark.parametrize("kind", ["onedir", "onefile"])
def test_frozen_it_says_what_is_missing_and_then_reads_an_invoice(frozen, shut, display, home, tmp_path, kind):
    program = frozen("invoices", kind)
    invoice = tmp_path / "invoice.txt"
    invoice.write_text("ACME GmbH\nInvoice 2026-117\n3 May 2026\nTotal: 1,240.50 EUR\n", encoding="utf-8")

    def run(place: Path) -> tuple[int, dict]:
        done = subprocess.run(
            [*shut, program, invoice, "--once", "--home", place, "--model", MODEL],
            capture_output=True,
            text=True,
            env=bare(tmp_path, QT_QPA_PLATFORM="offscreen", LANG="C.UTF-8"),
            check=False,
            timeout=400,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    code, first = run(tmp_path / "new")
    assert (code, first["fields"]) == (1, None)
    assert first["says"] == f"To read invoices, this app needs {MODEL}: 98 MB to download, once."
    code, then = run(home)
    assert code == 0, then
    assert all(then["fields"].values())
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_of_twenty_killed_windows_nothing_is_left_after_two_seconds(frozen, start, home, tmp_path):
    """The launcher and the app in turn, some while the model loads and some in the middle of the answer."""
    invoice = tmp_path / "invoice.txt"
    invoice.write_text("ACME GmbH\nInvoice 2026-117\n3 May 2026\nTotal: 1,240.50 EUR\n", encoding="utf-8")
    left, options = {}, {"says_ready": False, "QT_QPA_PLATFORM": "offscreen", "LANG": "C.UTF-8"}
    for number in range(20):
        program = frozen("invoices", "onedir" if number % 5 == 4 else "onefile")
        run = start(program, invoice, "--home", home, "--model", MODEL, **options)
        assert len(run.family) == 2 + (number % 5 < 4), "launcher, app and worker"
        time.sleep(0.3 * (number % 4))
        if still := run.killed(launcher=number % 2 == 1):
            left[number] = still
    assert left == {}
    assert [*(tmp_path / "tmp").iterdir()] == []

"""Drives the window of examples/desktop by events, and prints what came of it: `drive.py SCENARIO [SETTING]`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "desktop"))

from asking import Asker
from parts import use_scheme
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from window import Window

import rung
from rung.store.entries import own_catalogue
from rung.testing import QuotingTier, ScriptedTier

ENTRY = """name = "tiny"
licence = "Apache-2.0"
size = {size}
sha256 = "{sha256}"

[[source]]
kind = "folder"
path = "{shelf}"
"""
GOOD = '{"vendor": "ACME GmbH", "number": "2026-117", "date": "2026-05-03", "total": 1240.50, "currency": "EUR"}'
BAD = '{"vendor": "ACME GmbH", "number": "2026-117", "date": "in spring", "total": 1240.50, "currency": "EUR"}'


def waits(until: Callable[[], object], seconds: float = 120.0) -> bool:
    """Let the window live until something holds. Returns whether it came to hold."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QTest.qWait(5)
    return bool(until())


def made(*tiers: rung.Tier) -> Callable[[rung.Consent], rung.Ladder]:
    return lambda consent: rung.Ladder(*tiers, reach=rung.Zone.INTERNET, consent=consent)


def paid(*script: object) -> QuotingTier:
    return QuotingTier("paid", *script, zone=rung.Zone.INTERNET, price=rung.Price(input=1.0, output=4.0))


def small() -> rung.Tier:
    return rung.llama("smollm2-135m", name="small", context=2048)


def state(window: Window) -> dict[str, object]:
    return {
        "fields": {name: field.text() for name, field in window.fields.items()},
        "sure": {name: bar.value for name, bar in window.sure.items()},
        "tiers": {name: chip.state for name, chip in window.chips.items()},
        "says": window.says.text(),
        "lamp": window.lamp_says.text(),
        "draft": window.draft.text(),
    }


def read(window: Window) -> None:
    """As a person at the keyboard does."""
    window.activateWindow()
    waits(window.isActiveWindow, 10)
    window.text.setFocus()
    QTest.keyClick(window.text, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)


class Gaps:
    """The gaps of a timer of 10 ms in the window's loop, in milliseconds, in phases."""

    def __init__(self) -> None:
        self.phases: dict[str, list[float]] = {}
        self._now, self._last = "", time.monotonic()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(10)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._now:
            self.phases.setdefault(self._now, []).append(1000 * (now - self._last))
        self._last = now

    def phase(self, name: str) -> None:
        self._now = name

    def figures(self) -> dict[str, dict[str, float]]:
        return {
            name: {"n": len(gaps), "p99": sorted(gaps)[int(0.99 * (len(gaps) - 1))], "most": max(gaps)}
            for name, gaps in self.phases.items()
        }


def fills() -> dict[str, object]:
    """Fields fill from the 135M, while a timer of 10 ms is watched: idle, load, prefill, decode."""
    window = Window(Asker(made(small())))
    window.show()
    gaps = Gaps()
    waits(lambda: False, 1.0)  # the window's first painting
    gaps.phase("idle")
    waits(lambda: False, 3.0)
    gaps.phase("load")
    seen: list[str] = []

    def follow(event: object) -> None:
        seen.append(type(event).__name__)
        if isinstance(event, rung.Provisional):
            gaps.phase("decode")

    window.asker.happened.connect(follow)
    read(window)
    waits(lambda: not window.busy)
    first = state(window)
    long = "\n".join(f"{n} hours at 103.37 for work on part {n} of the order" for n in range(1, 60))
    window.text.setPlainText(f"ACME GmbH, Berlin\nInvoice 2026-117\n3 May 2026\n{long}\nTotal: 1,240.50 EUR")
    gaps.phase("prefill")
    read(window)
    waits(lambda: not window.busy)
    window.asker.close()
    return {**first, "events": sorted(set(seen)), "gaps": gaps.figures()}


def stops() -> dict[str, object]:
    """Stop while the model decodes, by the Escape key."""
    window = Window(Asker(made(small())))
    window.show()
    window.asker.ladder.warm()
    took, ends = [], []
    for _ in range(3):
        drafts: list[object] = []

        def note(event: object, drafts: list[object] = drafts) -> None:
            if isinstance(event, rung.Provisional):
                drafts.append(event)

        window.asker.happened.connect(note)
        read(window)
        waits(lambda drafts=drafts: len(drafts) > 2)
        began = time.monotonic()
        QTest.keyClick(window.text, Qt.Key.Key_Escape)
        waits(lambda: not window.busy, 20)
        took.append(time.monotonic() - began)
        ends.append(window.says.text())
    window.asker.close()
    return {"took": took, "ends": ends, **state(window)}


def killed() -> dict[str, object]:
    """The worker is killed in the middle of an answer, and the next request works."""
    tier = small()
    window = Window(Asker(made(tier)))
    window.show()
    window.asker.ladder.warm()
    drafts: list[object] = []
    window.asker.happened.connect(lambda event: drafts.append(event) if isinstance(event, rung.Provisional) else None)
    read(window)
    waits(lambda: len(drafts) > 2)
    os.kill(tier.worker_pid, signal.SIGKILL)
    waits(lambda: not window.busy)
    after = state(window)
    read(window)
    waits(lambda: not window.busy)
    window.asker.close()
    return {"after": after, "next": state(window)}


def consents(button: str) -> dict[str, object]:
    """The small tier's answer isn't valid, and the person is asked whether the paid one may be."""
    window = Window(Asker(made(ScriptedTier("small", BAD, BAD), paid(GOOD))))
    window.show()
    window.online.setChecked(True)
    picture(window, "online")
    read(window)
    waits(lambda: window.dialogue is not None)
    box = window.dialogue
    asked = f"{box.text()} {box.informativeText()}"
    picture(box, f"consent-{button}")
    if button == "stop":
        window.stop()
    else:
        buttons = {it.text().replace("&", ""): it for it in box.buttons()}
        QTest.mouseClick(buttons[{"yes": "Send", "no": "Don't send"}[button]], Qt.MouseButton.LeftButton)
    waits(lambda: not window.busy)
    window.asker.close()
    return {"asked": asked, **state(window)}


def offline() -> dict[str, object]:
    """The box for the paid service isn't ticked."""
    window = Window(Asker(made(ScriptedTier("small", BAD, BAD), paid(GOOD))))
    window.show()
    read(window)
    waits(lambda: not window.busy)
    window.asker.close()
    return {"dialogue": window.dialogue is not None, **state(window)}


def withdraws() -> dict[str, object]:
    """A draft that isn't valid is struck out, and the next tier's answer stands."""
    window = Window(Asker(made(ScriptedTier("small", BAD, BAD), ScriptedTier("mid", GOOD))))
    window.show()
    read(window)
    waits(lambda: not window.busy)
    picture(window, "withdrawn")
    window.asker.close()
    return state(window)


def battery() -> dict[str, object]:
    """On battery nothing begins, and it goes on when the plug is in."""
    on_battery = [True]
    window = Window(Asker(made(ScriptedTier("small", GOOD)), on_battery=lambda: on_battery[0]))
    window.show()
    window.saver.setChecked(True)
    read(window)
    paused = state(window)
    on_battery[0] = False
    window._battery.setInterval(10)
    waits(lambda: window.says.text().startswith("Read by"), 10)
    window.asker.close()
    return {"paused": paused, **state(window)}


def full(model: str, place: str) -> dict[str, object]:
    """The disk fills up in the middle of the first download, because of another program. Later there is room again."""
    disk, shelf = Path(place) / "disk", Path(place) / "shelf"
    disk.mkdir()
    shelf.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=130m", "none", disk], check=True)
    rung.home(disk / "home")
    shutil.copyfile(model, shelf / "tiny.gguf")
    entry = {"size": Path(model).stat().st_size, "sha256": Path(model).stem[-64:], "shelf": shelf}
    own_catalogue().mkdir(parents=True)
    (own_catalogue() / "tiny.toml").write_text(ENTRY.format(**entry))
    window = Window(Asker(made(rung.llama("tiny", name="small", context=2048))))
    window.show()
    others = disk / "others"

    def fill(event: object) -> None:
        if (
            isinstance(event, rung.Preparing)
            and event.phase == "fetching"
            and event.done > 20e6
            and not others.exists()
        ):
            with contextlib.suppress(OSError), others.open("wb") as file:
                while file.write(bytes(1 << 16)):
                    file.flush()

    # on the thread that copies: it waits for the other program
    window.asker.happened.connect(fill, Qt.ConnectionType.DirectConnection)
    QTest.mouseClick(window.get, Qt.MouseButton.LeftButton)
    waits(lambda: not window.busy)
    window.asker.happened.disconnect(fill)
    picture(window, "full")
    seen = {"full": state(window), "free": shutil.disk_usage(disk).free}
    seen["kept"] = sum(it.stat().st_size for it in disk.rglob("*.part"))
    others.unlink()
    QTest.mouseClick(window.get, Qt.MouseButton.LeftButton)
    waits(lambda: not window.busy)
    read(window)
    waits(lambda: not window.busy)
    window.asker.close()
    return {**seen, "then": state(window)}


def looks() -> dict[str, object]:
    """Pictures of the window: first start, download, an answer."""
    first = Window(Asker(made(rung.llama("smollm2-360m", name="small"), rung.llama("qwen3-0.6b", name="mid"))))
    first.show()
    waits(lambda: False, 0.3)
    picture(first, "first")
    first._happened(rung.Preparing("small", "fetching", 112_000_000, 386_404_992, "the hub"))
    first.busy = True
    first._show_notice(progress=True)
    waits(lambda: False, 0.3)
    picture(first, "download")
    first.close()
    sure = rung.testing.Reply(GOOD, logprob=-0.05)
    window = Window(Asker(made(ScriptedTier("small", BAD, BAD), ScriptedTier("mid", sure), paid(GOOD))))
    window.show()
    read(window)
    waits(lambda: not window.busy)
    waits(lambda: False, 0.3)
    picture(window, "read")
    return state(window)


def picture(widget: object, name: str) -> None:
    folder = os.environ.get("PICTURES")
    if folder:
        widget.grab().save(str(Path(folder) / f"{name}.png"))


SCENARIOS = {it.__name__: it for it in (fills, stops, killed, consents, offline, withdraws, battery, full, looks)}

if __name__ == "__main__":
    app = QApplication(sys.argv[:1])
    if scheme := os.environ.get("SCHEME"):
        use_scheme(app, dark=scheme == "dark")
    print(json.dumps(SCENARIOS[sys.argv[1]](*sys.argv[2:])), flush=True)
    os._exit(0)

"""The window: an invoice on the left, its fields on the right, and above them who is answering."""

from __future__ import annotations

import html
import json
from pathlib import Path

from asking import Answer, Asker, Invoice, confidence
from parts import BUSY, GOOD, Confidence, Field, Lamp, TierChip
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)
from wording import price, readable, size

import rung

LABELS = {"vendor": "Vendor", "number": "Number", "date": "Date", "total": "Total", "currency": "Currency"}
SAMPLE = (
    "ACME GmbH, Hauptstraße 1, Berlin\n\nInvoice 2026-117\nDate: 3 May 2026\n\n12 hours at 103.37\nTotal: 1,240.50 EUR"
)
LOOK_AT_BATTERY = 5_000  # milliseconds


class Window(QWidget):
    """The window of the app.

    Args:
        asker: asks the ladder.
        once: whether the first result is printed and the app ends.
    """

    def __init__(self, asker: Asker, *, once: bool = False) -> None:
        super().__init__()
        self.asker, self.once = asker, once
        self.busy = self.waits = False
        self.ended: int | None = None
        self.dialogue: QMessageBox | None = None
        self.setWindowTitle("Invoices")
        self._build()
        asker.happened.connect(self._happened)
        asker.prepared.connect(self._prepared)
        asker.failed.connect(self._failed)
        asker.consent_wanted.connect(self._ask_person)
        self._battery = QTimer(self)
        self._battery.timeout.connect(self._go_on)
        self._look()

    # what it looks like

    def _build(self) -> None:
        self.chips = {rung_.tier.name: TierChip(rung_.tier.name) for rung_ in self.asker.ladder.rungs}
        self.lamp, self.lamp_says = Lamp(), QLabel()
        top = QHBoxLayout()
        for number, chip in enumerate(self.chips.values()):
            if number:
                top.addWidget(QLabel("→"))
            top.addWidget(chip)
        top.addStretch()
        top.addWidget(self.lamp)
        top.addWidget(self.lamp_says)

        self.notice, self.notice_says = QFrame(), QLabel()
        self.notice.setFrameShape(QFrame.Shape.StyledPanel)
        self.notice_says.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)  # what it would say stands beside it, in full
        self.get, self.choose, self.leave = (
            QPushButton("&Download"),
            QPushButton("Choose a &file …"),
            QPushButton("Cancel"),
        )
        self.get.clicked.connect(self._download)
        self.choose.clicked.connect(self._choose_file)
        self.leave.clicked.connect(self.stop)
        row = QHBoxLayout(self.notice)
        row.addWidget(self.notice_says, 2)
        row.addWidget(self.bar, 1)
        for part in (self.get, self.choose, self.leave):
            row.addWidget(part)

        self.text = QPlainTextEdit(SAMPLE)
        self.text.setAccessibleName("Invoice")
        self.text.setTabChangesFocus(True)
        left = QVBoxLayout()
        title = QLabel("&Invoice")
        title.setBuddy(self.text)
        left.addWidget(title)
        left.addWidget(self.text)

        grid = QGridLayout()
        self.fields, self.sure = {}, {}
        for line, (name, words) in enumerate(LABELS.items()):
            label = QLabel(words)
            self.fields[name], self.sure[name] = Field(words), Confidence()
            label.setBuddy(self.fields[name])
            for column, part in enumerate((label, self.fields[name], self.sure[name])):
                grid.addWidget(part, line, column)
        grid.setColumnStretch(1, 1)
        self.draft = QLabel()
        self.draft.setWordWrap(True)
        self.draft.setTextFormat(Qt.TextFormat.RichText)
        self.draft.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.draft.setAccessibleName("Draft")
        right = QVBoxLayout()
        right.addWidget(QLabel("Fields"))
        right.addLayout(grid)
        right.addSpacing(self.fontMetrics().height() // 2)
        right.addWidget(self.draft, 1)

        halves = QSplitter()
        for layout in (left, right):
            half = QWidget()
            half.setLayout(layout)
            layout.setContentsMargins(0, 0, 0, 0)
            halves.addWidget(half)
        halves.setChildrenCollapsible(False)

        self.says = QLabel()
        self.says.setWordWrap(True)
        self.online = QCheckBox("Ask a &paid service where these models fail")
        self.online.setVisible(any(it.tier.zone > rung.Zone.HOST for it in self.asker.ladder.rungs))
        self.online.toggled.connect(self._show_lamp)
        self.saver = QCheckBox("Pause on &battery")
        self.read_it, self.halt = QPushButton("&Read"), QPushButton("&Stop")
        self.read_it.setDefault(True)
        self.read_it.setToolTip("Ctrl+Return")
        self.halt.setToolTip("Escape")
        self.read_it.clicked.connect(lambda: self.read())
        self.halt.clicked.connect(self.stop)
        QShortcut(QKeySequence("Ctrl+Return"), self, self.read_it.click)
        QShortcut(QKeySequence("Escape"), self, self.halt.click)
        options, buttons = QHBoxLayout(), QHBoxLayout()
        for part in (self.saver, self.online):
            options.addWidget(part)
        options.addStretch()
        buttons.addWidget(self.says, 1)
        for part in (self.halt, self.read_it):
            buttons.addWidget(part)

        whole = QVBoxLayout(self)
        whole.addLayout(top)
        whole.addWidget(self.notice)
        whole.addWidget(halves, 1)
        whole.addLayout(options)
        whole.addLayout(buttons)
        unit = self.fontMetrics().height()
        self.resize(unit * 50, unit * 28)
        halves.setSizes([unit * 24, unit * 26])

    # what a person does

    def read(self, text: str | None = None) -> None:
        """Read an invoice: the one that is given, or what stands on the left."""
        if text is not None:
            self.text.setPlainText(text)
        if self.busy or self.asker.missing:
            return
        if self.saver.isChecked() and self.asker.on_battery():
            self.waits = True
            self._battery.start(LOOK_AT_BATTERY)
            self._say("Paused: this computer runs on its battery. It goes on when it is plugged in.")
            self._look()
            return
        self.waits = False
        self._battery.stop()
        for name in LABELS:
            self.fields[name].clear()
            self.sure[name].show_as(None)
        for chip in self.chips.values():
            chip.show_as("idle")
        self.draft.clear()
        self.kept = ""
        self._begin("Reading …")
        self.asker.ask(self.text.toPlainText(), online=self.online.isChecked())

    def stop(self) -> None:
        """Stop what is under way."""
        if self.waits:
            self.waits = False
            self._battery.stop()
            self._say("Stopped.")
        self.asker.stop()
        if self.dialogue is not None:
            self.dialogue.reject()
        self._look()

    def _download(self) -> None:
        asks = [it for it in self.asker.missing if it.asks]
        if asks:
            said = "\n".join(f"{it.model}: {it.licence}, {it.licence_address}" for it in asks)
            box = QMessageBox.question(
                self, "Licences", f"These models have licences to be accepted:\n\n{said}\n\nAccept?"
            )
            if box != QMessageBox.StandardButton.Yes:
                return
        self._begin("")
        self.asker.prepare(accept=bool(asks))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "A model file", "", "Models (*.gguf)")
        for it in self.asker.missing if path else ():
            try:
                rung.store.adopt(it.model, Path(path))
                self.asker.look()
                break
            except rung.RungError:
                continue
        else:
            if path:
                self._say("That file is none of the models that are missing.")
        self._look()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.asker.stop()
        event.accept()

    # what rung tells

    def _happened(self, event: rung.Event) -> None:
        match event:
            case rung.Preparing():
                self._show_progress(event)
            case rung.AttemptStarted():
                self.chips[event.tier].show_as("asking")
                self._draft_of, self._drafted = event.tier, ""
            case rung.Provisional():
                self.chips[event.tier].show_as("asking")
                self._drafted += event.text
                self._show_draft(f"<i>Draft of {event.tier}:</i> {readable(self._drafted)}")
            case rung.Withdrawn():
                why = "; ".join(issue.message for issue in event.issues) or event.reason.replace("_", " ")
                draft = f"<p><s>{readable(self._drafted)}</s><br>Withdrawn: {html.escape(why)}.</p>"
                self.kept += draft if draft not in self.kept else ""
                self._show_draft("")
            case rung.AttemptEnded():
                self._show_attempt(event.attempt)
            case rung.Finished():
                self._show_outcome(event.outcome)

    def _show_progress(self, it: rung.Preparing) -> None:
        words = {"fetching": "Downloading", "checking": "Checking", "loading": "Loading", "waiting": "Waiting for"}
        if it.phase == "loading" and it.tier in self.chips:
            self.chips[it.tier].show_as("loading")
        if it.phase in words:
            source = f" from {it.source}" if it.source else ""
            self.notice_says.setText(f"{words[it.phase]} {it.tier}{source}: {size(it.done)} of {size(it.total)}")
            self.bar.setValue(int(1000 * (it.share or 0)))
        self._show_notice(progress=it.phase != "ready")

    def _prepared(self) -> None:
        self._end("Ready.")

    def _failed(self, error: rung.RungError) -> None:
        stopped = isinstance(error, rung.Cancelled)
        self._end("Stopped. What was downloaded is kept." if stopped else f"That didn't work: {error.message}.")
        self._close_once(1)

    def _show_draft(self, now: str) -> None:
        self.draft.setText(self.kept + now)

    def _show_attempt(self, attempt: rung.Attempt) -> None:
        chip, reason = self.chips[attempt.tier], str(attempt.reason)
        if attempt.verdict is rung.Verdict.ACCEPT:
            chip.show_as("accepted")
        elif isinstance(attempt.error, rung.Cancelled):
            chip.show_as("stopped")
        elif attempt.error is not None:
            chip.show_as("failed", str(attempt.error))
        elif attempt.candidate is not None:
            chip.show_as("rejected", attempt.detail or reason)
        else:
            chip.show_as("refused" if reason == "consent_refused" else "skipped", attempt.detail or reason)

    def _show_outcome(self, outcome: rung.Outcome[Invoice]) -> None:
        shown = outcome.attempts[-1] if outcome.accepted else outcome.best
        value = outcome.value if outcome.accepted else None
        if value is not None and shown is not None:
            self.draft.setText(self.kept)
            for name in LABELS:
                found = getattr(value, name)
                self.fields[name].setText(f"{found:,.2f}" if name == "total" else str(found))
                self.sure[name].show_as(confidence(shown, name))
            where = (
                "Nothing left this computer."
                if not outcome.left_machine
                else f"It was sent out, for {price(outcome.cost)}."
            )
            self._end(f"Read by {outcome.tier} in {outcome.seconds:.1f} s. {where}")
        elif outcome.reason == rung.Reason.CANCELLED:
            self._end("Stopped.")
        else:
            self._end("No model could read this invoice. Point at a model above to see why.")
        self._close_once(0 if outcome.accepted else 2)

    def _ask_person(self, hop: rung.Hop, answer: Answer) -> None:
        price = "an unknown price" if hop.max_cost is None else f"at most ${hop.max_cost.normalize():f}"
        box = self.dialogue = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Send this invoice?")
        box.setText(f"The models on this computer could not read it. Send it to {hop.destination or hop.tier}?")
        box.setInformativeText(f"{hop.characters:,} characters leave this computer, and it costs {price}.")
        yes = box.addButton("&Send", QMessageBox.ButtonRole.AcceptRole)
        no = box.addButton("&Don't send", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(no)
        box.setEscapeButton(no)

        def closed() -> None:
            self.dialogue = None
            answer.give(box.clickedButton() is yes)

        box.finished.connect(closed)
        box.open()

    # the state of things

    def _begin(self, words: str) -> None:
        self.busy = True
        self._say(words)
        self._look()

    def _end(self, words: str) -> None:
        self.busy = False
        self._say(words)
        self._look()

    def _say(self, words: str) -> None:
        self.says.setText(words)

    def _look(self) -> None:
        """Bring buttons, notice and lamps in line with what is here and under way."""
        missing = self.asker.missing
        for it in missing:
            self.chips[it.tier].show_as("missing")
        self.read_it.setEnabled(not self.busy and not missing)
        self.halt.setEnabled(self.busy or self.waits)
        if missing and not self.busy:
            names = ", ".join(it.model for it in missing)
            left = sum(it.missing or 0 for it in missing)
            self.notice_says.setText(f"To read invoices, this app needs {names}: {size(left)} to download, once.")
        self._show_notice(progress=False)
        self._show_lamp()
        if missing and self.once and not self.busy:
            self._say(self.notice_says.text())
            self._close_once(1)

    def _show_notice(self, *, progress: bool) -> None:
        missing = bool(self.asker.missing) if not progress else True
        self.notice.setVisible(missing)
        self.bar.setVisible(progress)
        self.leave.setVisible(progress)
        self.get.setVisible(not self.busy)
        self.choose.setVisible(not self.busy)

    def _show_lamp(self) -> None:
        online = self.online.isChecked()
        self.lamp.show_as(BUSY if online else GOOD)
        self.lamp_says.setText(
            "Online: you are asked before anything is sent" if online else "Offline: nothing leaves this computer"
        )

    def _go_on(self) -> None:
        if self.waits and not self.asker.on_battery():
            self.read()

    def _close_once(self, code: int) -> None:
        """With --once: print what came of it, and end."""
        if not self.once:
            return
        fields = {name: self.fields[name].text() for name in LABELS} if code == 0 else None
        print(json.dumps({"fields": fields, "says": self.says.text()}), flush=True)
        self.ended = code  # for what happens before the window's loop begins
        QApplication.exit(code)

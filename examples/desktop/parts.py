"""The small parts of the window. They take their colours from the palette, so that light and dark both work."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPalette, QPen
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QLineEdit, QSizePolicy, QWidget

GOOD, BUSY, BAD = QColor("#2e9e5b"), QColor("#d98e04"), QColor("#d0453e")
IDLE = QColor("#8a8f98")


class Lamp(QWidget):
    """A round lamp. What it means always stands beside it in words."""

    def __init__(self) -> None:
        super().__init__()
        self._colour = IDLE
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        side = self.fontMetrics().height() * 3 // 4
        return QSize(side, side)

    def show_as(self, colour: QColor) -> None:
        """Change its colour."""
        self._colour = colour
        self.update()

    def paintEvent(self, _: object) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._colour.darker(120), 1))
        painter.setBrush(self._colour)
        radius = min(self.width(), self.height()) / 2 - 1
        painter.drawEllipse(QPointF(self.width() / 2, self.height() / 2), radius, radius)


class TierChip(QFrame):
    """A tier of the ladder: its name, and what it is doing."""

    STATES = {
        "idle": ("ready", IDLE),
        "missing": ("not on this computer", IDLE),
        "asking": ("answering …", BUSY),
        "loading": ("loading …", BUSY),
        "accepted": ("answered", GOOD),
        "rejected": ("not good enough", BAD),
        "failed": ("failed", BAD),
        "refused": ("not asked: you said no", IDLE),
        "skipped": ("not asked", IDLE),
        "stopped": ("stopped", IDLE),
    }

    def __init__(self, name: str) -> None:
        super().__init__()
        self.state = "idle"
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._lamp, self._name, self._says = Lamp(), QLabel(name), QLabel()
        bold = self._name.font()
        bold.setBold(True)
        self._name.setFont(bold)
        row = QHBoxLayout(self)
        for part in (self._lamp, self._name, self._says):
            row.addWidget(part)
        self.show_as("idle")

    def show_as(self, state: str, detail: str = "") -> None:
        """Change what it shows.

        Args:
            state: a key of `STATES`.
            detail: more of it, for a tooltip and in place of the state's words.
        """
        words, colour = self.STATES[state]
        self.state = state
        self._lamp.show_as(colour)
        self._says.setText(words)
        self.setToolTip(detail)
        self.setAccessibleName(f"{self._name.text()}: {words}")


class Confidence(QWidget):
    """How sure the model was of a field: a bar and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.value: float | None = None
        self.setFixedWidth(self.fontMetrics().horizontalAdvance("100% sure") * 3 // 2)

    def sizeHint(self) -> QSize:
        return QSize(self.width(), self.fontMetrics().height())

    def show_as(self, value: float | None) -> None:
        """Change it.

        Args:
            value: in [0, 1]; `None` shows nothing.
        """
        self.value = value
        self.setAccessibleName("" if value is None else f"{value:.0%} sure")
        self.setToolTip("How sure the model was of its least sure piece. It is no promise that the field is right.")
        self.update()

    def paintEvent(self, _: object) -> None:
        if self.value is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        words = f"{self.value:.0%}"
        text = self.fontMetrics().horizontalAdvance("100% ")
        height = self.fontMetrics().height() / 3
        bar = QRectF(0, (self.height() - height) / 2, self.width() - text, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.palette().color(QPalette.ColorRole.Midlight))
        painter.drawRoundedRect(bar, height / 2, height / 2)
        painter.setBrush(GOOD if self.value >= 0.9 else BUSY if self.value >= 0.6 else BAD)
        painter.drawRoundedRect(
            QRectF(bar.x(), bar.y(), max(height, bar.width() * self.value), height), height / 2, height / 2
        )
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, words)


class Field(QLineEdit):
    """A value that was read. It can be copied and corrected."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.setPlaceholderText("—")
        self.setAccessibleName(label)


def use_scheme(app: QApplication, *, dark: bool) -> None:
    """Use a colour scheme in place of the system's.

    A desktop that Qt knows has one and follows it by itself. On any other, Qt's own style is given the colours.

    Args:
        app: the application.
        dark: whether it is the dark one.
    """
    scheme = Qt.ColorScheme.Dark if dark else Qt.ColorScheme.Light
    app.styleHints().setColorScheme(scheme)
    if not dark or app.styleHints().colorScheme() == scheme:
        return
    role, off = QPalette.ColorRole, QPalette.ColorGroup.Disabled
    text, window, base = QColor("#e6e6e6"), QColor("#2b2d30"), QColor("#1e1f22")
    colours = {
        role.Window: window,
        role.WindowText: text,
        role.Base: base,
        role.AlternateBase: window,
        role.Text: text,
        role.PlaceholderText: QColor("#8a8f98"),
        role.Button: QColor("#3a3d41"),
        role.ButtonText: text,
        role.ToolTipBase: base,
        role.ToolTipText: text,
        role.Light: QColor("#4a4e53"),
        role.Midlight: QColor("#45494e"),
        role.Mid: QColor("#36393d"),
        role.Dark: QColor("#1a1b1d"),
        role.Shadow: QColor("#0f1011"),
        role.Highlight: QColor("#3d7edb"),
        role.HighlightedText: QColor("#ffffff"),
        role.Link: QColor("#7ab0ff"),
    }
    palette = QPalette()
    for name, colour in colours.items():
        palette.setColor(name, colour)
    for name in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(off, name, QColor("#7d8188"))
    app.setPalette(palette)

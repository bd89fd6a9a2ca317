"""Run a command on a terminal of its own and keep what a person would see there as pictures.

    .venv/bin/python scripts/record_terminal.py OUT [--columns 80] [--lines 24] [--every 0.5] -- rung ask "Why?"

OUT gets a PNG for each moment at which the screen had changed, at most one in `--every` seconds, and one for the end.
Needs the extra `dev`: the terminal is pyte's, the letters are those that come with matplotlib.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import matplotlib
import pyte
from PIL import Image, ImageDraw, ImageFont

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
SIZE, ABOVE, CELL = 16, 20, 10
PAPER, INK, FAINT, CURSOR = "#1c1c22", "#e4e4e4", "#808088", "#5f87af"


class Screen(pyte.Screen):
    """pyte's, which doesn't know dimmed text: here it has a colour of its own."""

    def select_graphic_rendition(self, *attrs: int, **kwargs: Any) -> None:
        super().select_graphic_rendition(*(a for a in attrs if a != 2), **kwargs)
        if 2 in attrs:
            self.cursor.attrs = self.cursor.attrs._replace(fg="dim")


def picture(screen: Screen, font: ImageFont.FreeTypeFont) -> Image.Image:
    """What stands on the screen, with the cursor."""
    image = Image.new("RGB", (screen.columns * CELL + 16, screen.lines * ABOVE + 16), PAPER)
    draw = ImageDraw.Draw(image)
    x, y = screen.cursor.x * CELL + 8, screen.cursor.y * ABOVE + 8
    draw.rectangle((x, y, x + CELL - 1, y + ABOVE - 1), fill=CURSOR)
    for row in range(screen.lines):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            if cell.data.strip():
                at = (column * CELL + 8, row * ABOVE + 8)
                draw.text(at, cell.data, font=font, fill=FAINT if cell.fg == "dim" else INK)
    return image


def record(command: list[str], out: Path, columns: int, lines: int, every: float) -> int:
    """Run the command to its end; its exit code."""
    out.mkdir(parents=True, exist_ok=True)
    font = ImageFont.truetype(str(FONT), SIZE)
    screen = Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    shown = " ".join(word if word.isalnum() or word.startswith("-") else repr(word) for word in command)
    stream.feed(f"$ {shown}\r\n".encode())
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (lines, columns))
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={**os.environ, "TERM": "xterm"}
    )
    os.close(slave)
    taken, last, kept = 0, 0.0, b""
    changed = False
    while True:
        if changed and time.monotonic() - last >= every:
            now = picture(screen, font)
            if now.tobytes() != kept:
                taken, last, kept = taken + 1, time.monotonic(), now.tobytes()
                now.save(out / f"{taken:03}.png")
            changed = False
        if not select.select([master], [], [], every / 2)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # the command has ended
            break
        if not piece:
            break
        stream.feed(piece)
        changed = True
    picture(screen, font).save(out / f"{taken + 1:03}.png")
    return process.wait()


def main() -> int:
    if "--" not in sys.argv:
        print(__doc__)
        return 2
    at = sys.argv.index("--")
    parser = argparse.ArgumentParser(description="Keep a terminal session as pictures.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--lines", type=int, default=24)
    parser.add_argument("--every", type=float, default=0.5)
    given = parser.parse_args(sys.argv[1:at])
    return record(sys.argv[at + 1 :], given.out, given.columns, given.lines, given.every)


if __name__ == "__main__":
    sys.exit(main())

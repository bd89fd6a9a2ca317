"""A target for the fuzzer's own tests: what it is given is what it does."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path
from typing import ClassVar

from fuzzing.cases import Broken, Case
from rung.errors import ConfigError

SINS = (b"foreign", b"spin", b"hoard", b"die", b"leave", b"look", b"break")


class Sinner:
    name: ClassVar[str] = "sinner"

    def make(self, dice: random.Random) -> Case:
        noise = bytes(dice.choices(b"abc. ", k=20))
        return Case(self.name, {}, noise + dice.choice((b"", b"refuse", *SINS)) + noise)

    def prepare(self, folder: Path) -> None:
        pass

    def run(self, case: Case) -> bool:
        sin = next((it for it in (b"refuse", *SINS) if it in case.data), b"")
        match sin:
            case b"refuse":
                raise ConfigError("no")
            case b"foreign":
                raise KeyError("x")
            case b"spin":
                while True:
                    pass
            case b"hoard":
                _ = b"x" * (80 << 20)
            case b"die":
                os.abort()
            case b"leave":
                os._exit(3)
            case b"look":
                with socket.socket() as far:
                    far.setblocking(False)
                    try:
                        far.connect(("192.0.2.1", 9))
                    except OSError:
                        pass
            case b"break":
                raise Broken("a promise")
        return True


class Leaker:
    name: ClassVar[str] = "leaker"

    def make(self, dice: random.Random) -> Case:
        return Case(self.name, {}, b"")

    def prepare(self, folder: Path) -> None:
        self.kept: list[bytes] = []

    def run(self, case: Case) -> bool:
        self.kept.append(b"x" * (25 << 20))
        return True

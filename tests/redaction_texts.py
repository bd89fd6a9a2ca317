"""Generated texts with e-mail addresses, card numbers, IBANs and keys in them; nobody's."""

from __future__ import annotations

import random
import string

WORDS = (
    *("Please", "pay", "the", "invoice", "of", "Müller", "&", "Söhne", "by", "Friday,", "thanks!"),
    *("[EMAIL_1]", "KEY_3", "ref", "4711", "x@y", "12:30", "1.234,56", "EUR"),
)


def email(dice: random.Random) -> str:
    local = dice.choice(["bob", "anne.b", "o'brien", "a+tag", "x_y-z", "jürgen", "info%2"])
    domain = dice.choice(["example.org", "mail.example.co.uk", "münchen.example", "a-b.example.museum"])
    return f"{local}{dice.randrange(1000)}@{domain}"


def card(dice: random.Random) -> str:
    length = dice.choice([13, 15, 16, 16, 16, 19])
    digits = [dice.randrange(1, 10) for _ in range(length - 1)]
    doubled = [d * (1 + n % 2) for n, d in enumerate([0, *reversed(digits)])]
    digits.append(-sum(d - 9 if d > 9 else d for d in doubled) % 10)
    plain = "".join(map(str, digits))
    gap = dice.choice(["", " ", "-", "\u00a0"])
    groups = [plain[:4], plain[4:10], plain[10:]] if length == 15 else [plain[n : n + 4] for n in range(0, length, 4)]
    return gap.join(groups)


def iban(dice: random.Random) -> str:
    country, length = dice.choice([("DE", 18), ("GB", 18), ("NL", 14), ("NO", 11), ("MT", 27)])
    letters = string.digits if country in ("DE", "NO") else string.digits + string.ascii_uppercase
    account = "".join(dice.choices(letters, k=length))
    rest = int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
    plain = f"{country}{98 - rest:02}{account}"
    if dice.random() < 0.5:
        return plain if dice.random() < 0.5 else plain.lower()
    return " ".join(plain[n : n + 4] for n in range(0, len(plain), 4))


def key(dice: random.Random) -> str:
    def some(count: int, letters: str = string.ascii_letters + string.digits) -> str:
        return "".join(dice.choices(letters, k=count))

    return dice.choice(
        [
            f"sk-proj-{some(40)}",
            f"sk_live_{some(24)}",
            f"ghp_{some(36)}",
            f"AKIA{some(16, string.ascii_uppercase + string.digits)}",
            f"AIza{some(35)}",
            f"hf_{some(34)}",
            f"eyJ{some(20)}.{some(30)}.{some(43)}",
            some(32, "0123456789abcdef"),
        ]
    )


VALUES = {"EMAIL": email, "CARD": card, "IBAN": iban, "KEY": key}


def text_with(dice: random.Random) -> tuple[str, list[str]]:
    """A text, and the values in it."""
    values = [VALUES[dice.choice(list(VALUES))](dice) for _ in range(dice.randrange(1, 6))]
    parts: list[str] = []
    for value in values:
        parts += dice.choices(WORDS, k=dice.randrange(1, 6))
        parts.append(dice.choice(["{}", "({})", "{}.", "<{}>", '"{}"', "is {},", "\n{}\n"]).format(value))
    return " ".join(parts), values

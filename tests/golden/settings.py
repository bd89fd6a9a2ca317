"""Every setting that a file can hold, and what is said to one that it can't."""

from __future__ import annotations

import re
import tomllib

POLICY = """
reach = "internet"
hosts = ["api.example.com", "127.0.0.1", "192.168.7.7"]
kinds = ["llama", "openai", "golden"]
ledger = "metadata"
models = ["hub", "packages", "{home}/files"]
linger = "10m"
"""

TOP = """
reach = "lan"
paid_after = "any_failure"
redact = true
unload_after = 90.5
linger = "20m"
drafts = false

[budget]
seconds = 20.5
tokens = 9000
money = 0.25
money_per_day = 1.5
money_per_month = 20

[ledger]
record = true
content = true
retention_days = 12
path = "{home}/settings.sqlite3"

[models]
from = ["{home}/files"]
packages = true

[shadow]
share = 0.25
busy = 0.75

[serve]
concurrent = 3
queue = 7
queue_seconds = 12.5
body_mib = 2
body_seconds = 4.5
request_seconds = 90.5
stop_seconds = 2.5
drop_system_lines = ["x-session:"]
"""

TIERS = """
[[tier]]
name = "first"
kind = "golden"
script = [{ text = "good" }]

[[tier]]
name = "local"
kind = "llama"
repairs = 0
max_seconds = 45.5
min_confidence = 0.25
feedback = "issues+answer"
max_tokens = 300
max_cost_usd = 0.01
consent = "ask"
redact = false
model = "{home}/nothing.gguf"
context = 2048
threads = 2
top_p = 0.9
min_p = 0.05
chat_template = "{{ messages[0].content }}"
slots = 2
gpu_layers = 0
thinking = true
prefix_mib = 64

[[tier]]
name = "named"
kind = "openai"
consent = "never"
model = "m-1"
base_url = "https://api.example.com/v1"
api_key = { env = "GOLDEN_KEY" }
price = { input = 0.5, output = 2.0 }
zone = "internet"
leads_to = "lan"
store = false
constraint = "structured_outputs"
extra_body = { top_k = 5 }
leave_out = ["seed"]
merge_system = true
token_limit = "max_completion_tokens"
max_tokens = 400
context = 8000
logprobs = true
ca_bundle = "{home}/certificates.pem"
retries = 1
connect_seconds = 3.5
stall_seconds = 30
max_answer_bytes = 100000

[[tier]]
name = "loopback"
kind = "openai"
model = "m-2"
base_url = "http://127.0.0.1:8111/v1"
stays_here = true
price = { input = 0, output = 0 }

[[tier]]
name = "proxied"
kind = "openai"
model = "m-3"
base_url = "http://192.168.7.7:8111/v1"
proxy = "http://127.0.0.1:3128"
price = { input = 0, output = 0 }
"""
"""The first one answers, so that the others are made, and none of them is asked."""

UNKNOWN = "zzzzzzzz = 1"
"""Like no key at all, so that what is known is listed instead of the nearest key."""

LEVELS = {
    "top level": (f"{UNKNOWN}\n", ""),
    "[budget]": (f"[budget]\n{UNKNOWN}\n", ""),
    "[ledger]": (f"[ledger]\n{UNKNOWN}\n", ""),
    "[models]": (f"[models]\n{UNKNOWN}\n", ""),
    "[[tier]] llama": (f'[[tier]]\nname = "a"\nkind = "llama"\nmodel = "m"\n{UNKNOWN}\n', ""),
    "[[tier]] openai": (f'[[tier]]\nname = "a"\nkind = "openai"\nmodel = "m"\n{UNKNOWN}\n', ""),
    "[[tier]] openai price": (
        '[[tier]]\nname = "a"\nkind = "openai"\nmodel = "m"\nprice = { input = 1, output = 1, zzzzzzzz = 1 }\n',
        "",
    ),
    "policy": ("", f"{UNKNOWN}\n"),
}
"""For each level a configuration and a policy with a key that nobody knows there."""

NEARLY = {
    "top level": "raech = 1\n",
    "[budget]": "[budget]\nsecond = 1\n",
    "[ledger]": "[ledger]\nretention = 1\n",
    "[models]": "[models]\nform = 1\n",
    "[[tier]] of the ladder": '[[tier]]\nname = "a"\nkind = "llama"\nmodel = "m"\nrepair = 1\n',
    "[[tier]] llama": '[[tier]]\nname = "a"\nkind = "llama"\nmodel = "m"\nthread = 1\n',
    "[[tier]] openai": '[[tier]]\nname = "a"\nkind = "openai"\nmodel = "m"\nbase = 1\n',
    "[[tier]] kind": '[[tier]]\nname = "a"\nkind = "lama"\nmodel = "m"\n',
}
"""The same with a key, or a kind, that is nearly one."""


def known(sentence: str) -> set[str]:
    """The keys that a sentence lists as known."""
    listed = re.search(r"known: ([\w, ]+)", sentence)
    return set(listed[1].split(", ")) if listed else set()


def written(text: str) -> set[str]:
    """Every key that a TOML text holds, at whatever depth."""

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    return keys(tomllib.loads(text))

"""`rung serve` under load: throughput beside other servers, chaos, and a long conversation.

    python scripts/bench_serve.py throughput --clients 16 --requests 200
    python scripts/bench_serve.py chaos --clients 32 --requests 500
    python scripts/bench_serve.py conversation --turns 10 --rules 300

Every server runs in a process of its own with the same file, and rests while another one works. Trust the ratios, not
the seconds. xllamacpp is wanted in an environment of its own: --xllamacpp-python DIR/bin/python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import psutil

from engine_bench.files import file_of

LEFT_AFTER = 0.3
"""Seconds after which a client of the chaos leaves: long enough that its answer has begun."""

OBJECT = 32
"""Tokens that hold a whole object of the chaos."""

TOPICS = ("rivers", "bread", "clocks", "maps", "tea", "bridges", "snow", "letters")


@contextmanager
def rung(model: str, slots: int):
    """`rung serve` with one tier; gives base URL, token and process."""
    with tempfile.TemporaryDirectory() as folder:
        config, ready = Path(folder, "rung.toml"), Path(folder, "ready.json")
        config.write_text(
            f"[ledger]\nrecord = false\n[serve]\nqueue = 1000\nqueue_seconds = 600\n"
            f'[[tier]]\nname = "small"\nkind = "llama"\nmodel = "{model}"\nslots = {slots}\n'
        )
        command = [sys.executable, "-m", "rung", "serve", "--config", config, "--port", "0", "--ready-file", ready]
        with ended(subprocess.Popen(command, stderr=subprocess.DEVNULL)) as process:
            wait(ready.exists, process)
            told = json.loads(ready.read_text())
            yield told["url"], told["token"], process


@contextmanager
def llama_cpp(model: str):
    """llama-cpp-python's own server."""
    port = free_port()
    path = file_of(model)
    command = [sys.executable, "-m", "llama_cpp.server", "--model", path, "--port", str(port), "--n_ctx", "8192"]
    with ended(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)) as process:
        wait(lambda: answers(f"http://127.0.0.1:{port}/v1/models"), process)
        yield f"http://127.0.0.1:{port}/v1", "none", process


XLLAMACPP = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
path, port, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
p.model.path, p.hostnames, p.port, p.n_ctx, p.n_parallel = path, ["127.0.0.1"], port, 2048 * slots, slots
s = xllamacpp.Server(p)
print("up", flush=True)
time.sleep(3600)
"""


@contextmanager
def xllamacpp(model: str, slots: int, python: str):
    """xllamacpp's server, which is llama.cpp's."""
    port = free_port()
    command = [python, "-c", XLLAMACPP, file_of(model), str(port), str(slots)]
    with ended(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)) as process:
        wait(lambda: answers(f"http://127.0.0.1:{port}/v1/models"), process)
        yield f"http://127.0.0.1:{port}/v1", "none", process


@contextmanager
def ended(process: subprocess.Popen):
    """A process that doesn't outlive the block."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def wait(ready, process: subprocess.Popen, seconds: float = 120) -> None:
    """Wait until a server takes requests."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args[:4]} did not come up")
        time.sleep(0.1)


def body(number: int, tokens: int, **more) -> dict:
    topic = TOPICS[number % len(TOPICS)]
    text = f"Write a short note, number {number}, about {topic}."
    return {"model": "rung", "messages": [{"role": "user", "content": text}], "max_tokens": tokens, **more}


async def crowd(url: str, token: str, clients: int, numbers: range, ask) -> None:
    """So many clients, each with its next request as soon as it has an answer."""
    left = iter(numbers)
    limits = httpx2.Limits(max_connections=clients)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=900, limits=limits) as client:

        async def one() -> None:
            for number in left:
                await ask(client, number)

        await asyncio.gather(*(one() for _ in range(clients)))


def throughput(chosen) -> None:
    """Tokens a second of each server, with the same requests. They take turns, so that what else the machine does
    slows all of them.
    """
    parties = {"rung": rung(chosen.model, chosen.slots), "llama_cpp.server": llama_cpp(chosen.model)}
    if chosen.xllamacpp_python:
        parties["xllamacpp"] = xllamacpp(chosen.model, chosen.slots, chosen.xllamacpp_python)
    written = dict.fromkeys(parties, 0)
    seconds, used = dict.fromkeys(parties, 0.0), dict.fromkeys(parties, 0.0)
    share = -(-chosen.requests // chosen.turns)
    with ExitStack() as stack:
        running = {name: stack.enter_context(party) for name, party in parties.items()}

        def asked(name: str, clients: int, numbers: range) -> None:
            async def ask(client, number) -> None:
                answer = await client.post("/chat/completions", json=body(number, chosen.tokens, temperature=0))
                answer.raise_for_status()
                written[name] += answer.json()["usage"]["completion_tokens"]

            url, token, _ = running[name]
            asyncio.run(crowd(url, token, clients, numbers, ask))

        for name in parties:
            asked(name, 2, range(4))  # loads the model
            written[name] = 0
        for turn in range(chosen.turns):
            numbers = range(turn * share, min((turn + 1) * share, chosen.requests))
            for name in parties if turn % 2 == 0 else reversed(parties):
                process = running[name][2]
                before, spent, began = written[name], cpu_seconds(process), time.monotonic()
                asked(name, chosen.clients, numbers)
                took = time.monotonic() - began
                seconds[name] += took
                used[name] += cpu_seconds(process) - spent
                new = written[name] - before
                print(f"turn {turn + 1}, {name}: {new:,} tokens, {new / took:.1f} a second", flush=True)
            ours, cost = written["rung"] / seconds["rung"], used["rung"] / max(1, written["rung"])
            for name in parties:
                speed, each = written[name] / seconds[name], used[name] / max(1, written[name])
                print(
                    f"{name} so far: {written[name]:,} tokens, {speed:.1f} a second, {1000 * each:.1f} ms of CPU; "
                    f"rung: {ours / speed:.2f} times the speed, {cost / each:.2f} times the CPU",
                    flush=True,
                )


def cpu_seconds(process: subprocess.Popen) -> float:
    """Processor time that a server and its workers have used, which other programs don't change much."""
    whole = psutil.Process(process.pid)
    times = [it.cpu_times() for it in (whole, *whole.children(recursive=True))]
    return sum(it.user + it.system for it in times)


def chaos(chosen) -> None:
    """A fifth of the clients leave, and the worker is killed once: every answer is right or a proper error.

    Half of the answers are objects that have to hold the number of their request, so that no answer can go to somebody
    else unseen. The time to an error counts from the kill, or from the request where that came later.
    """
    chance = random.Random(1)
    kinds: Counter[str] = Counter()
    errors: list[float] = []
    memory: list[int] = []
    done, killed = 0, 0.0
    with rung(chosen.model, chosen.slots) as (url, token, process):
        server = psutil.Process(process.pid)

        async def ask(client, number) -> None:
            nonlocal done, killed
            leaves, stream, is_object = (chance.random() < share for share in (0.2, 0.5, 0.5))
            more = {"response_format": numbered(number)} if is_object else {}
            began = time.monotonic()
            try:
                async with asyncio.timeout(LEFT_AFTER if leaves else None):
                    sent = body(number, OBJECT if is_object else chosen.tokens, stream=stream, **more)
                    answer = await client.post("/chat/completions", json=sent)
                    kind = kind_of(answer, stream, number if is_object else None)
            except TimeoutError:
                kind = "left"
            except httpx2.HTTPError as error:
                kind = f"broken: {type(error).__name__}"
            kinds[kind] += 1
            if kind.startswith("error"):
                errors.append(time.monotonic() - max(began, killed))
            done += 1
            if done % 50 == 0:
                memory.append(server.memory_info().rss >> 20)
            if done == chosen.requests // 2:
                killed = time.monotonic()
                for worker in server.children():
                    worker.kill()

        asyncio.run(crowd(url, token, chosen.clients, range(chosen.requests), ask))
        headers = {"authorization": f"Bearer {token}"}
        sent = body(0, OBJECT, response_format=numbered(0))
        after = httpx2.post(f"{url}/chat/completions", json=sent, headers=headers, timeout=120)
        print(f"afterwards: {kind_of(after, False, 0)}; {server.num_threads()} threads, {server.num_fds()} files")
    print(dict(kinds))
    print(f"memory of the server, every 50 requests, MiB: {memory}")
    if errors:
        errors.sort()
        print(f"time to an error: p99 {errors[min(len(errors) - 1, int(0.99 * len(errors)))]:.2f} s of {len(errors)}")


def numbered(number: int) -> dict:
    """An answer that holds the number of its request."""
    topic = {"type": "string", "enum": list(TOPICS)}
    fields = {"number": {"type": "integer", "const": number}, "topic": topic}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "note", "strict": True, "schema": schema}}


def kind_of(answer, stream: bool, number: int | None) -> str:
    """What an answer is, as far as it is a right one."""
    if answer.status_code != 200:
        return f"error {answer.status_code} {answer.json()['error']['code']}"
    if not stream:
        text = answer.json()["choices"][0]["message"]["content"]
    else:
        lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
        if lines[-1] != "[DONE]":
            return f"error event {json.loads(lines[-1])['error']['code']}"
        chunks = [json.loads(line) for line in lines[:-1]]
        text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    if number is None:
        return "right" if text.strip() else "EMPTY"
    return "right" if json.loads(text)["number"] == number else "SOMEBODY ELSE'S"


def conversation(chosen) -> None:
    """Turns of one conversation behind a long system prompt: what is kept of it, and the time to the first token."""
    rule = "Rule {0}: a question about topic {0} is answered with the word topic{0}."
    rules = "\n".join(rule.format(n) for n in range(chosen.rules))
    with rung(chosen.model, chosen.slots) as (url, token, _):
        headers = {"authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=900) as client:
            talk, first = [], None
            for turn in range(chosen.turns):
                talk.append({"role": "user", "content": f"Topic {turn + 1}?"})
                system = {"role": "system", "content": rules}
                sent = {"model": "rung", "messages": [system, *talk], "max_tokens": 8, "x_rung": {"text_checks": False}}
                found = client.post("/chat/completions", json=sent).json()
                if "error" in found:
                    raise SystemExit(f"turn {turn + 1}: {found['error']['message']}")
                usage, ttft = found["usage"], found["x_rung"]["attempts"][-1]["ttft"]
                first = first or ttft
                share = usage["prompt_tokens_details"]["cached_tokens"] / usage["prompt_tokens"]
                print(
                    f"turn {turn + 1}: {usage['prompt_tokens']:,} tokens, {share:.1%} kept, "
                    f"TTFT {ttft:.2f} s, {ttft / first:.2f} of the first",
                    flush=True,
                )
                talk.append({"role": "assistant", "content": found["choices"][0]["message"]["content"]})


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("throughput", "chaos", "conversation"))
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--slots", type=int, default=8, help="answers that rung and xllamacpp write together")
    parser.add_argument("--turns", type=int, default=4, help="of the servers, or of the conversation")
    parser.add_argument("--rules", type=int, default=300, help="lines of the system prompt; about 20 tokens each")
    parser.add_argument("--xllamacpp-python")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_PROC_BIND", "true")
    {"throughput": throughput, "chaos": chaos, "conversation": conversation}[chosen.what](chosen)


if __name__ == "__main__":
    main()

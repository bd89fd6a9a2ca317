"""A server around a tier that always answers, for programs that ask much: `python -m serve.endless`.

It prints its address and its token as JSON, and ends with its standard input.
"""

from __future__ import annotations

import json
import sys
import threading

import rung
from rung.config.tables import ServeTable
from rung.serve import listening
from rung.serve.app import ServeApp
from rung.serve.door import one_token
from rung.serve.host import LadderHost
from rung.serve.server import Server
from rung.testing import ScriptedTier
from rung.types import Delta, Token, Usage
from serve.support import TOKEN


class Endless(ScriptedTier):
    """Says the same to every call: a call of the first tool, an object where one is asked for, else a few words. A
    prompt that begins with "Slowly" is answered after half a minute, unless its call is given up before.
    """

    def stream(self, call):
        text = "It is wet."
        if call.shape is not None:
            text = self._of(call.shape.schema)
        call.cancel.wait(30 if call.messages[-1].text.startswith("Slowly") else 0.01)
        for word in text.split(" "):
            yield Delta(f"{word} ", tokens=(Token(f"{word} ", -0.1),))
        yield Delta(finish="stop", usage=Usage(9, 3, 4), model="endless")

    def _of(self, schema):
        found = next(_constants(schema), None) if "arguments0" in schema.get("$defs", {}) else None
        if found is not None:
            arguments = schema["$defs"]["arguments0"].get("properties", {})
            given = {name: _value(of) for name, of in arguments.items()}
            return json.dumps({"tool_calls": [{"name": found, "arguments": given}]})
        return json.dumps({name: _value(of) for name, of in schema.get("properties", {}).items()})


def _constants(node):
    """The names of the tools in the schema of an answer."""
    if isinstance(node, dict):
        if isinstance(node.get("const"), str):
            yield node["const"]
        for inner in node.values():
            yield from _constants(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _constants(inner)


def _value(schema):
    kind = schema.get("type")
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": 7, "number": 7.5, "boolean": True, "array": [], "object": {}}.get(kind, "Bonn")


def main():
    ladder = rung.Ladder(Endless("small"))
    table = ServeTable(queue=1000)
    app = ServeApp(LadderHost(ladder, seconds=60), tokens=one_token(TOKEN), settings=table)
    listener = listening.tcp("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def started():
        print(json.dumps({"url": url, "token": TOKEN}), flush=True)

    server = Server(app, stop_seconds=1, started=started)

    def ends():
        sys.stdin.read()
        server.stop(at_once=True)

    threading.Thread(target=ends, daemon=True).start()
    server.run(listener)


if __name__ == "__main__":
    main()

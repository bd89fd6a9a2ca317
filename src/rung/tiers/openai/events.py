"""Reading the bytes of a response as JSON values: from server-sent events, or from JSON instead of a stream."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

DONE = "[DONE]"
"""The data of the event that ends a stream of chat completions."""

_LINE_END = re.compile(rb"\r\n|\r|\n")


class EventDecoder:
    """Finds the data of each server-sent event, however the bytes are cut into parts.

    Lines end in CR, LF or both. Comments, other fields and events without data are left out
    (https://html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an event stream").
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._after_cr = False

    def feed(self, part: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Name and data of each event that `part` completes."""
        if not part:
            return
        if self._after_cr:
            # CR and LF are one line end, even if they come in two parts
            part = part.removeprefix(b"\n")
        self._after_cr = part.endswith(b"\r")
        *lines, rest = _LINE_END.split(part)
        for line in lines:
            yield from self._take(b"".join([*self._line, line]))
            self._line = []
        # kept in parts and joined only when the line is complete, so that a long line takes linear time
        self._line.append(rest)

    def finish(self) -> Iterator[tuple[bytes, bytes]]:
        """Name and data of a last event that no empty line ends."""
        yield from self._take(b"".join(self._line))
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[tuple[bytes, bytes]]:
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            elif field == b"event":
                self._name = value.strip()
            return
        data, name = b"\n".join(self._data), self._name
        self._data, self._name = [], b""
        if data.strip():
            yield name, data


class BodyReader:
    """Reads a response as what it is: a stream of events, one JSON value, or JSON values line by line.

    `streams` tells whether it is a stream of events; it is `None` before the first byte. `done` tells whether the
    stream has said that it ends, or the one value is complete.
    """

    def __init__(self) -> None:
        self.streams: bool | None = None
        self.done = False
        self._events = EventDecoder()
        self._begin = b""
        self._json: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[object]:
        """The values that `part` completes.

        Raises:
            ValueError: an event's data is not JSON.
        """
        if self.streams is None:
            self._begin += part
            start = self._begin.removeprefix(codecs.BOM_UTF8).lstrip()
            if not start or codecs.BOM_UTF8.startswith(self._begin):
                return
            # no meaningful line of an event stream begins with a bracket
            self.streams = start[:1] not in b"{["
            part = start
        if not self.streams:
            self._json.append(part)
            return
        for name, data in self._events.feed(part):
            yield from self._values(name, data)

    def finish(self) -> Iterator[object]:
        """The values of the remaining bytes, once the body has ended.

        Raises:
            ValueError: the body is not JSON.
        """
        if self.streams:
            for name, data in self._events.finish():
                try:
                    values = list(self._values(name, data))
                except ValueError:
                    return  # cut off in the middle, so the answer has no end
                yield from values
        elif self._json:
            text = b"".join(self._json)
            try:
                value = json.loads(text)
            except ValueError:
                yield from (json.loads(line) for line in text.splitlines() if line.strip())
            else:
                self.done = True
                yield from value if isinstance(value, list) else (value,)

    def _values(self, name: bytes, data: bytes) -> Iterator[object]:
        if self.done:
            return
        if name == b"error":  # whatever is in it
            text = data.decode("utf-8", "replace").strip()
            try:
                value = json.loads(text)
            except ValueError:
                value = text
            yield value if isinstance(value, dict) and value.get("error") else {"error": value or "an error"}
            return
        text = data.decode().strip()
        try:
            values = [self._value(text)]
        except ValueError:
            # some servers leave out the empty line between two events
            lines = [line for line in text.split("\n") if line.strip()]
            if len(lines) < 2:
                raise
            values = [self._value(line) for line in lines]
        for value in values:
            if value == DONE:
                self.done = True
                return
            yield value

    @staticmethod
    def _value(text: str) -> object:
        return DONE if text.strip() == DONE else json.loads(text)

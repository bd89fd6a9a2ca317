"""Answers that are compressed though nobody asked for that."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from openai_tier.conftest import call, text_of
from openai_tier.server import piece, usage
from rung import Usage
from rung.errors import RateLimited, TierCrashed, TierError


def compressed(data, coding, pieces=3):
    def reply(peer):
        peer.head(headers={"content-encoding": coding})
        step = len(data) // pieces + 1
        for start in range(0, len(data), step):
            peer.chunk(data[start : start + step])
        peer.end()

    return reply


STREAM = b"".join(
    f"data: {json.dumps(chunk)}\n\n".encode() for chunk in (piece("Par"), piece("is", finish="stop"), usage())
)


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (gzip.compress(STREAM), "gzip"),
        (gzip.compress(STREAM), "X-GZIP"),
        (gzip.compress(STREAM[:50]) + gzip.compress(STREAM[50:]), "gzip"),
        (zlib.compress(STREAM), "deflate"),
        (gzip.compress(gzip.compress(STREAM)), "gzip, gzip"),
        (STREAM, "identity"),
    ],
)
def test_identity_is_asked_for_and_gzip_is_read_all_the_same(serve, tier_at, data, coding):
    server = serve(compressed(data, coding))
    deltas = list(tier_at(server).stream(call()))
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert (text_of(deltas), deltas[-1].usage) == ("Paris", Usage(7, 3))


def test_a_compressed_body_is_bounded_as_it_is_unpacked_and_one_that_breaks_off_is_no_answer(serve, tier_at):
    bomb = gzip.compress(b": " + b"x" * 10_000_000 + b"\n\n" + STREAM)
    with pytest.raises(TierError, match="max_answer_bytes"):
        list(tier_at(serve(compressed(bomb, "gzip")), max_answer_bytes=1_000_000).stream(call()))
    with pytest.raises(TierCrashed):
        list(tier_at(serve(compressed(gzip.compress(STREAM)[:-9], "gzip")), retries=0).stream(call()))
    for coding in ("br", "zstd"):
        with pytest.raises(TierError, match="compressed"):
            list(tier_at(serve(compressed(STREAM, coding))).stream(call()))


def test_a_compressed_refusal_is_one_by_its_status(serve, tier_at):
    body = gzip.compress(json.dumps({"error": {"message": "no"}}).encode())

    def reply(peer):
        peer.head(429, {"content-encoding": "gzip", "retry-after": "700", "content-length": str(len(body))}, False)
        peer.send(body)

    with pytest.raises(RateLimited) as caught:
        list(tier_at(serve(reply)).stream(call()))
    assert (caught.value.retry_after, caught.value.said.text) == (700, "no")
